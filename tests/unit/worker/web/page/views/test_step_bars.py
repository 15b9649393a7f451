from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.records import record
from worker.ledger.views.details import AttemptItem, StepItem
from worker.web.page.views.step_bars import WIDTH, step_bars

BEGUN = datetime(2026, 3, 4, 5, 0, tzinfo=UTC)


def attempt(begins: float, ends: float | None, outcome: str | None = "ok") -> AttemptItem:
    """An attempt from and to so many seconds after the beginning."""
    begun, ended = BEGUN + timedelta(seconds=begins), None if ends is None else BEGUN + timedelta(seconds=ends)
    return record(AttemptItem, started_at=begun, finished_at=ended, outcome=outcome)


def step(name: str, *attempts: AttemptItem) -> StepItem:
    return record(StepItem, name=name, attempts=list(attempts))


def test_bars_are_to_scale_when_the_work_is_unbroken() -> None:
    bars = step_bars([step("one", attempt(0, 1)), step("two", attempt(1, 4)), step("three")], BEGUN)
    (one,), (two,) = bars.lanes["one"], bars.lanes["two"]
    assert (one.x, one.width) == (0, WIDTH / 4)
    assert (two.x, two.width) == (WIDTH / 4, WIDTH * 3 / 4)
    assert bars.lanes["three"] == ()
    assert bars.waits == ()


def test_wait_is_drawn_short_when_it_is_longer_than_the_work() -> None:
    day = 86_400
    bars = step_bars([step("one", attempt(0, 1, "retryable"), attempt(day, day + 1))], BEGUN)
    (wait,) = bars.waits
    assert wait.seconds == day - 1
    assert wait.width == pytest.approx(WIDTH * 0.12)
    first, second = bars.lanes["one"]
    assert first.width == second.width == pytest.approx(WIDTH * 0.44)
    assert second.x + second.width == pytest.approx(WIDTH)
    assert (first.outcome, second.outcome) == ("retryable", "ok")


def test_all_waits_leave_room_for_the_work_when_there_are_many() -> None:
    bars = step_bars([step("one", *(attempt(n * 3600, n * 3600 + 0.1) for n in range(20)))], BEGUN)
    assert sum(wait.width for wait in bars.waits) == pytest.approx(WIDTH / 2, abs=1)
    assert all(bar.x + bar.width <= WIDTH for bar in bars.lanes["one"])


def test_open_attempt_lasts_until_now_when_no_answer_came() -> None:
    now = BEGUN + timedelta(seconds=9)
    bars = step_bars([step("one", attempt(0, None, None))], now)
    assert bars.lanes["one"][0].outcome == "open"
    assert bars.ends_at == now


def test_axis_is_used_to_its_end_when_calls_took_milliseconds() -> None:
    bars = step_bars([step("one", attempt(0, 0.002), attempt(1, 1.003))], BEGUN)
    last = bars.lanes["one"][-1]
    assert last.x + last.width == pytest.approx(WIDTH, abs=0.2)


def test_bar_can_be_seen_when_a_call_took_no_time() -> None:
    bars = step_bars([step("one", attempt(0, 0)), step("two", attempt(0, 0))], BEGUN)
    assert all(bar.width > 0 for lane in bars.lanes.values() for bar in lane)


def test_there_is_no_axis_when_nothing_was_tried() -> None:
    assert step_bars([step("one")], BEGUN).begins_at is None
