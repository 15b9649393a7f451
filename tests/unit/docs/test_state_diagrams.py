from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import pytest

from docs import state_diagrams
from docs.state_diagrams import DIAGRAMS, PAGE, DiagramError, draw_into
from worker.ledger.states import NEXT_ATTEMPTS, RUN_TRANSITIONS, STEP_TRANSITIONS, Actor, RunState

EMPTY_PLACES = "".join(f"<!-- diagram: {name} -->\n<!-- end of diagram -->\n" for name in DIAGRAMS)


State = TypeVar("State", bound=StrEnum)


def _moves(table: Mapping[State, Mapping[State, frozenset[Actor]]]) -> list[str]:
    return [
        f"    {before} --> {after} : {', '.join(sorted(actors))}\n"
        for before, after_it in table.items()
        for after, actors in after_it.items()
    ]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    file = tmp_path / "page.md"
    file.write_text(f"# Before\n\n{EMPTY_PLACES}\nAfter é.\n", encoding="utf-8")
    return file


def test_page_shows_the_tables_as_they_are() -> None:
    assert state_diagrams.main(["--check"]) == 0, "run: python docs/state_diagrams.py"


def test_page_is_drawn_once_and_then_up_to_date(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = page.read_text(encoding="utf-8")
    assert state_diagrams.main(["--check"], page) == 1
    assert "Run: python docs/state_diagrams.py" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == before
    assert state_diagrams.main([], page) == 0
    drawn = page.read_text(encoding="utf-8")
    assert drawn.startswith("# Before\n")
    assert drawn.endswith("After é.\n")
    assert drawn.count("```mermaid\nstateDiagram-v2\n") == len(DIAGRAMS)
    assert state_diagrams.main(["--check"], page) == 0
    assert draw_into(drawn) == drawn


def test_page_is_out_of_date_when_a_move_was_added(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state_diagrams.main([], page)
    monkeypatch.setitem(RUN_TRANSITIONS[RunState.SUCCEEDED], RunState.CANCELLED, frozenset({Actor.SOURCE}))
    assert state_diagrams.main(["--check"], page) == 1


@pytest.mark.parametrize("text", ["", EMPTY_PLACES * 2, EMPTY_PLACES.replace("diagram: steps", "diagram: stairs")])
def test_nothing_is_drawn_when_a_place_is_missing_or_double(text: str) -> None:
    with pytest.raises(DiagramError, match="the page has places for"):
        draw_into(text)


def test_every_move_is_drawn_with_who_may_make_it() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for move in (*_moves(RUN_TRANSITIONS), *_moves(STEP_TRANSITIONS)):
        assert move in text
    for kind, ends in NEXT_ATTEMPTS.items():
        for outcome, following in ends.items():
            assert f"    {kind} --> {kind}_{outcome}\n" in text
            for each in following or {"[*]"}:
                assert f"    {kind}_{outcome} --> {each}\n" in text
