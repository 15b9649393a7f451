from __future__ import annotations

import pytest

from worker.web.webhooks import failure_limit
from worker.web.webhooks.failure_limit import FAILURES_PER_MINUTE, FailureLimit


class Seconds:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_address_is_asked_to_wait_when_it_failed_too_often() -> None:
    clock = Seconds()
    failures = FailureLimit(monotonic=clock)
    assert [failures.count_failure("a") for _ in range(FAILURES_PER_MINUTE)] == [None] * FAILURES_PER_MINUTE
    assert failures.count_failure("a") == 60
    assert failures.count_failure("b") is None
    clock.now += 59.5
    assert failures.count_failure("a") == 1
    clock.now += 0.5
    assert failures.count_failure("a") is None


def test_nothing_is_counted_when_it_is_asked_whether_an_address_must_wait() -> None:
    failures = FailureLimit(monotonic=Seconds())
    assert {failures.wait_seconds("a") for _ in range(FAILURES_PER_MINUTE + 1)} == {None}
    for _ in range(FAILURES_PER_MINUTE):
        failures.count_failure("a")
    assert failures.wait_seconds("a") == 60


def test_memory_is_bounded_when_many_addresses_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure_limit, "_MOST_ADDRESSES", 2)
    failures = FailureLimit(monotonic=Seconds())
    for address in ("a", "b", "a", "c"):
        failures.count_failure(address)
    assert list(failures._failures) == ["a", "c"]
