from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from freezegun import freeze_time

from tests.unit.worker.ledger.rows import add_order, add_run
from worker.cli.arguments import SourceName, SystemName, parse_moment
from worker.ledger.session import Ledger
from worker.settings.settings import PAUSABLE, SOURCES


def test_the_names_are_those_of_the_settings_when_compared() -> None:
    assert tuple(SourceName) == SOURCES
    assert tuple(SystemName) == PAUSABLE


@freeze_time("2025-03-04T12:00:00Z")
@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-03-01", datetime(2025, 3, 1)),  # noqa: DTZ001 -- in the zone of the settings, which come later
        ("2025-03-01T08:30", datetime(2025, 3, 1, 8, 30)),  # noqa: DTZ001
        (" 2025-03-01T08:30+02:00 ", datetime(2025, 3, 1, 6, 30, tzinfo=UTC)),
        ("90s", datetime(2025, 3, 4, 11, 58, 30, tzinfo=UTC)),
        ("30m", datetime(2025, 3, 4, 11, 30, tzinfo=UTC)),
        ("2h ago", datetime(2025, 3, 4, 10, tzinfo=UTC)),
        ("3d", datetime(2025, 3, 1, 12, tzinfo=UTC)),
        ("1w", datetime(2025, 2, 25, 12, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_when_written_as_people_do(text: str, moment: datetime) -> None:
    assert parse_moment(text) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "2025-13-01", "999999w", "h"])
def test_a_moment_is_refused_when_it_is_none(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no moment"):
        parse_moment(text)


def offered(*words: str) -> str:
    """What bash is offered for the last word."""
    asked = {"_CARTBRIDGE_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    code = "from worker.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | asked | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def test_a_shell_is_offered_reasons_states_and_runs_when_it_completes(ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
        run_id = add_run(connection, state="review", reason="unnamed_seat")
    assert offered("cartbridge", "runs", "list", "--reason", "unm").split() == ["unmapped_product"]
    assert "review" in offered("cartbridge", "runs", "list", "--state", "re").split()
    for command in (("runs", "show"), ("replay",), ("seats", "name")):
        assert run_id in offered("cartbridge", *command, run_id[:3]), command


def test_a_shell_is_offered_nothing_and_shown_no_error_when_there_is_no_ledger() -> None:
    assert offered("cartbridge", "runs", "show", "a").strip() == ""
