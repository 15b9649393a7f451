#!/usr/bin/env python
"""Draws the states' tables of `worker/ledger/states.py` into `docs/guarantees.md`; `--check` only tells whether it is.

A drawing stands between `<!-- diagram: NAME -->` and `<!-- end of diagram -->`. What is between them is never edited by
hand.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from worker.ledger.states import (
    FINISHED,
    NEXT_ATTEMPTS,
    RUN_BEGINNINGS,
    RUN_TRANSITIONS,
    STEP_TRANSITIONS,
    Actor,
    AttemptKind,
    StepState,
)

PAGE = Path(__file__).with_name("guarantees.md")
COMMAND = "python docs/state_diagrams.py"

State = TypeVar("State", bound=StrEnum)

_REGION = re.compile(r"(<!-- diagram: (?P<name>\w+) -->\n).*?(<!-- end of diagram -->)", re.DOTALL)


class DiagramError(Exception):
    """The page does not hold each drawing once; the message says which."""


def draw_runs() -> str:
    """Every state of a run, and who may move it on; those with a thick edge are finished."""
    return _diagram(
        [
            *(f"[*] --> {state} : planned" for state in sorted(RUN_BEGINNINGS)),
            *_moves(RUN_TRANSITIONS),
            "classDef finished stroke-width:3px",
            f"class {','.join(sorted(FINISHED))} finished",
        ]
    )


def draw_steps() -> str:
    """Both states of a step, and who may move it on."""
    return _diagram([f"[*] --> {StepState.PENDING} : planned", *_moves(STEP_TRANSITIONS)])


def draw_attempts() -> str:
    """How the attempts of a step that is not safe to repeat may end, and what may be tried next."""
    lines = [f"[*] --> {AttemptKind.CALL}"]
    for kind, ends in NEXT_ATTEMPTS.items():
        for outcome, following in ends.items():
            end = f"{kind}_{outcome}"
            lines += [f'state "{outcome}" as {end}', f"{kind} --> {end}"]
            lines += [f"{end} --> {each}" for each in sorted(following)]
            if not following:
                lines.append(f"{end} --> [*]")
    return _diagram(lines)


DIAGRAMS: Mapping[str, Callable[[], str]] = {"runs": draw_runs, "steps": draw_steps, "attempts": draw_attempts}


def draw_into(page: str) -> str:
    """The page with each of its drawings made anew. Raises `DiagramError` unless it has a place for each, once."""
    places = sorted(found["name"] for found in _REGION.finditer(page))
    if places != sorted(DIAGRAMS):
        raise DiagramError(f"the page has places for {', '.join(places) or 'nothing'}, not for {', '.join(DIAGRAMS)}")
    return _REGION.sub(lambda found: f"{found[1]}{DIAGRAMS[found['name']]()}{found[3]}", page)


def main(arguments: list[str] | None = None, page: Path = PAGE) -> int:
    """Draw, or with `--check` compare. 0: the page is up to date; 1: it was not, and `--check` left it so."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if the page is out of date")
    is_check = parser.parse_args(arguments).check
    before = page.read_text(encoding="utf-8")
    after = draw_into(before)
    if is_check and after != before:
        sys.stderr.write(f"{page.name} does not show the states' tables as they are. Run: {COMMAND}\n")
        return 1
    if after != before:
        page.write_text(after, encoding="utf-8")
    return 0


def _moves(transitions: Mapping[State, Mapping[State, Iterable[Actor]]]) -> list[str]:
    return [
        f"{before} --> {after} : {', '.join(sorted(actors))}"
        for before, moves in transitions.items()
        for after, actors in moves.items()
    ]


def _diagram(lines: Iterable[str]) -> str:
    return "\n".join(["```mermaid", "stateDiagram-v2", *(f"    {line}" for line in lines), "```", ""])


if __name__ == "__main__":
    sys.exit(main())
