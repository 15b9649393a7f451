#!/usr/bin/env python
"""Writes the table of `docs/reasons.md` from `worker/advice.py`; `--check` only tells whether it is as written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from worker.advice import ADVICE

PAGE = Path(__file__).with_name("reasons.md")
_BEGIN, _END = "<!-- table of reasons -->\n", "<!-- end of table -->"


def table() -> str:
    """One row a reason, in the order of the code."""
    rows = [f"| `{reason}` | {found.sentence} | {found.action} |" for reason, found in ADVICE.items()]
    return "\n".join(["| reason | what it means | what to do |", "| --- | --- | --- |", *rows, ""])


def main(arguments: Sequence[str] | None = None, page: Path = PAGE) -> int:
    """0: the page holds the table, by now or before; 1: it does not, and `--check` was given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    is_check = parser.parse_args(arguments).check
    text = page.read_text(encoding="utf-8")
    begin, end = text.index(_BEGIN) + len(_BEGIN), text.index(_END)
    written = text[:begin] + table() + text[end:]
    if is_check and written != text:
        sys.stderr.write(f"{page.name} is not what the code says. Run: python docs/reasons_table.py\n")
        return 1
    if written != text:
        page.write_text(written, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
