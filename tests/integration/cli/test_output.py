from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from worker.cli import output
from worker.cli.output import cell, fields, print_json_array, state_cell, table
from worker.formatting import age, ago, counted, duration

ID = "01m7znn9w2jskwkptzzv"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(
    width: int, monkeypatch: pytest.MonkeyPatch, *, shortened: Sequence[str] = (), wrapped: Sequence[str] = ()
) -> list[str]:
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", str(width))
    built = table(
        ("run", "note", "error"), [[cell(ID), cell("n" * 40), cell("e" * 60)]], shortened=shortened, wrapped=wrapped
    )
    out = io.StringIO()
    Console(file=out, width=width).print(built)
    return [line.rstrip() for line in out.getvalue().splitlines() if line.strip()]


def test_ids_stay_whole_and_the_rest_gives_way_when_the_terminal_is_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    heading, _, line = shown(60, monkeypatch, shortened=["note", "error"])
    assert heading.split() == ["run", "note", "error"]
    assert ID in line
    assert line.count("…") == 2
    assert len(line) <= 60


def test_long_texts_take_several_lines_when_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, *lines = shown(100, monkeypatch, wrapped=["error"])
    assert len(lines) == 2
    assert "".join(lines).count("e") == 60
    assert "…" not in "".join(lines)


def test_columns_keep_a_few_characters_when_nothing_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(20, monkeypatch, shortened=["note", "error"])
    assert shown(20, monkeypatch)


def test_nothing_is_cut_when_stdout_is_no_terminal() -> None:
    assert output.console().width == output.PIPED_WIDTH


def test_what_came_from_outside_is_shown_as_it_is_when_it_looks_like_markup() -> None:
    assert cell("[red]x[/red]\x1b[31m\x07").plain == "[red]x[/red]\\x1b[31m\\x07"
    assert cell(None).plain == ""
    assert state_cell("unheard-of").plain == "unheard-of"


def test_empty_fields_are_left_out_when_shown() -> None:
    built = fields([("a", "1"), ("b", None), ("c", ""), ("d", state_cell("failed"))])
    assert built.row_count == 2


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.9, "59s"), (60, "1m"), (3600, "1h"), (86_399, "23h"), (86_400, "1d")]
)
def test_a_duration_is_told_in_its_largest_unit_when_shown(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_moments_are_told_relative_to_now_when_shown() -> None:
    now = datetime(2025, 3, 4, 12, tzinfo=UTC)
    assert ago(now - timedelta(hours=1), now) == "1h ago"
    assert ago(now + timedelta(minutes=5), now) == "in 5m"
    assert ago(None) == age(None) == ""
    assert age(now).endswith("d")


def test_a_number_has_its_noun_when_counted() -> None:
    assert (counted(1, "run"), counted(2, "run")) == ("1 run", "2 runs")


def test_the_array_is_written_as_it_is_read_when_streamed(capsys: pytest.CaptureFixture[str]) -> None:
    print_json_array(iter([{"a": "é"}, {"b": 2}]))
    print_json_array([])
    assert capsys.readouterr().out == '[\n{"a": "é"},\n{"b": 2}\n]\n[]\n'
