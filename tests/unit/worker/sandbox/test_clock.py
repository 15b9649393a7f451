from __future__ import annotations

from datetime import UTC, datetime, timedelta

from worker.sandbox.clock import Allowance, Clock

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_present_is_aware_and_utc_when_nothing_is_shifted() -> None:
    before = datetime.now(UTC)
    assert before <= Clock().now() <= datetime.now(UTC)


def test_shifts_add_up_when_made_one_after_the_other() -> None:
    clock = Clock(lambda: NOON)
    clock.shift(60)
    clock.shift(-10)
    assert clock.now() == NOON + timedelta(seconds=50)
    assert clock.shift_seconds == 50
    clock.reset()
    assert clock.now() == NOON


def test_an_allowance_refuses_when_its_second_is_full() -> None:
    moment = 100.0
    allowance = Allowance(lambda: moment)
    assert [allowance.take(2) for _ in range(3)] == [True, True, False]
    moment = 101.0
    assert allowance.take(2)


def test_an_allowance_never_refuses_when_there_is_no_limit() -> None:
    allowance = Allowance(lambda: 0.0)
    assert all(allowance.take(None) for _ in range(100))
