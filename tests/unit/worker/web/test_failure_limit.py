from __future__ import annotations

from datetime import timedelta

from freezegun import freeze_time

from worker.web.failure_limit import FAILURES_PER_MINUTE, FailureLimit


def test_address_is_asked_to_wait_when_it_failed_too_often() -> None:
    with freeze_time("2026-03-04 05:06:07") as frozen:
        failures = FailureLimit()
        assert [failures.count_failure("a") for _ in range(FAILURES_PER_MINUTE)] == [None] * FAILURES_PER_MINUTE
        assert failures.count_failure("a") == 60
        assert failures.count_failure("b") is None
        frozen.tick(timedelta(seconds=59.5))
        assert failures.count_failure("a") == 1
        frozen.tick(timedelta(seconds=1))
        assert failures.count_failure("a") is None


def test_nothing_is_counted_when_it_is_asked_whether_an_address_must_wait() -> None:
    with freeze_time("2026-03-04 05:06:07"):
        failures = FailureLimit()
        assert {failures.wait_seconds("a") for _ in range(FAILURES_PER_MINUTE + 1)} == {None}
        for _ in range(FAILURES_PER_MINUTE):
            failures.count_failure("a")
        assert failures.wait_seconds("a") == 60
