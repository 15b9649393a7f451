"""What `docs/security.md` names as a test is there, and no row of its table goes without one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
PAGE = (REPOSITORY / "docs" / "security.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
TESTS = sorted(set(re.findall(r"`(tests/[\w./-]+)`", PAGE)))
ROWS = [line for line in SECTIONS["What is protected"].splitlines() if line.startswith("| ")][2:]


def test_page_is_read_when_it_is_looked_through() -> None:
    assert len(TESTS) > 10
    assert len(ROWS) > 10
    assert SECTIONS["What is not protected"].strip()


@pytest.mark.parametrize("name", TESTS)
def test_test_is_there_when_the_page_names_it(name: str) -> None:
    assert re.search(r"^(async )?def test_", (REPOSITORY / name).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("row", ROWS)
def test_row_has_all_its_cells_when_something_is_protected(row: str) -> None:
    cells = [cell.strip() for cell in row.strip("|").split(" | ")]
    assert len(cells) == 4
    assert all(cells[1:3])
    assert "`tests/" in cells[3]
