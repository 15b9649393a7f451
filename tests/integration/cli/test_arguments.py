from __future__ import annotations

from datetime import UTC, datetime

import pytest
import typer
from freezegun import freeze_time

from worker.cli.arguments import SourceName, SystemName, parse_moment
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
