from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from worker.ledger.views.page.pace import DayOfWork, HourOfWork
from worker.web.page.views import chart

FIRST = datetime(2026, 3, 3, 22, 0, tzinfo=UTC)


def hours(*facts: tuple[int, int, float | None, float | None]) -> list[HourOfWork]:
    return [HourOfWork(FIRST + timedelta(hours=number), *fact) for number, fact in enumerate(facts)]


def test_bars_stand_on_the_floor_and_reach_to_their_count_when_drawn() -> None:
    drawn = chart.amounts(hours((10, 0, None, None), (5, 20, None, None)))
    assert [bar.kind for bar in drawn.bars] == ["orders", "enrolments"] * 2
    assert {round(bar.y + bar.height, 1) for bar in drawn.bars} == {drawn.floor}
    heights = [bar.height for bar in drawn.bars]
    assert heights == [52.0, 0.0, 26.0, 104.0]
    assert max(bar.x + bar.width for bar in drawn.bars) <= drawn.width
    assert [row.label for row in drawn.rows] == ["0", "10", "20"]
    assert drawn.bars[3].title == "Tue 23:00 UTC: 20 enrolments"


def test_line_is_broken_when_an_hour_has_nothing_to_tell() -> None:
    drawn = chart.latencies(hours((0, 0, 1, 10), (0, 0, 2, 100), (0, 0, None, None), (0, 0, 4, 40)))
    assert [kind for kind, _ in drawn.lines] == ["p95", "median"]
    assert all(points.count(",") == 2 for _, points in drawn.lines)
    assert len(drawn.dots) == 6
    assert [row.label for row in drawn.rows] == ["1s", "10s", "1.7m"]


def test_chart_is_empty_and_has_a_scale_when_nothing_happened() -> None:
    silent = hours(*[(0, 0, None, None)] * 48)
    assert {bar.height for bar in chart.amounts(silent).bars} == {0.0}
    assert [row.label for row in chart.amounts(silent).rows] == ["0", "1", "2"]
    assert chart.latencies(silent).lines == ()
    assert [column.label for column in chart.amounts(silent).columns] == [
        *("Wed", "06:00", "12:00", "18:00"),
        *("Thu", "06:00", "12:00", "18:00"),
    ]
    assert chart.amounts([]).bars == ()


@pytest.mark.parametrize(
    ("value", "ceiling"),
    [(0, 2), (1, 2), (2, 2), (3, 4), (7, 8), (9, 10), (11, 20), (100, 100), (101, 200), (950, 1000)],
)
def test_scale_ends_at_a_round_number_when_chosen(value: float, ceiling: float) -> None:
    assert chart.nice_ceiling(value) == ceiling


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.84, "0.8s"), (1, "1s"), (12.4, "12s"), (90, "1.5m"), (3600, "1h"), (90_000, "1d"), (216_000, "2.5d")],
)
def test_length_of_time_is_short_when_spoken(seconds: float, text: str) -> None:
    assert chart.spoken(seconds) == text


def test_days_fill_the_whole_width_and_mondays_are_named_when_drawn() -> None:
    days = [DayOfWork(date(2026, 3, 1) + timedelta(days=number), number, 2 * number) for number in range(30)]
    drawn = chart.daily(days)
    assert len(drawn.bars) == 60
    assert drawn.bars[-1].x + drawn.bars[-1].width < drawn.width
    assert drawn.bars[-1].title == "Mon 2026-03-30: 58 enrolments"
    assert [tick.label for tick in drawn.columns] == ["Mar 2", "Mar 9", "Mar 16", "Mar 23", "Mar 30"]
    assert chart.daily([]).bars == ()
