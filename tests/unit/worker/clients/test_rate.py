"""`worker.clients.rate`: never more requests than the rate allows, and no waiting without need."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits.errors import StorageError
from limits.storage import MemoryStorage

from worker.clients import rate
from worker.clients.rate import RateLimit, shared_storage, window


class Time:
    """A clock that moves when somebody sleeps, for the storage too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1_000_000.0
        self.naps: list[float] = []
        monkeypatch.setattr("limits.storage.memory.time.time", lambda: self.seconds)

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.seconds += seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


def limit(time: Time, requests_per_second: float, storage: MemoryStorage | None = None) -> RateLimit:
    return RateLimit("learningcart", requests_per_second, storage=storage, now=lambda: time.seconds, sleep=time.sleep)


@pytest.mark.parametrize(
    ("requests_per_second", "amount", "seconds"),
    [(1, 1, 1), (5, 5, 1), (0.5, 1, 2), (0.4, 1, 3), (0.25, 1, 4), (0.1, 1, 10), (2.5, 5, 2), (2.3, 9, 4), (1.5, 3, 2)],
)
def test_a_window_is_short_and_not_above_the_rate_when_chosen(
    requests_per_second: float, amount: int, seconds: int
) -> None:
    assert window(requests_per_second) == (amount, seconds)


@given(st.floats(min_value=0.001, max_value=10_000))
def test_a_window_never_exceeds_the_rate_when_the_rate_is_odd(requests_per_second: float) -> None:
    amount, seconds = window(requests_per_second)
    assert amount >= 1
    assert amount / seconds <= requests_per_second * (1 + 1e-9)


def test_nobody_waits_when_the_rate_is_zero(time: Time) -> None:
    unlimited = limit(time, 0)
    for _ in range(100):
        unlimited.take()
    assert time.naps == []


def test_the_third_waits_when_two_a_second_are_allowed(time: Time) -> None:
    two = limit(time, 2)
    began = time.seconds
    for _ in range(6):
        two.take()
    assert 2.0 <= time.seconds - began < 2.1


def test_a_wait_is_no_longer_than_the_window_when_the_clock_is_set_back(
    time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = limit(time, 1)
    one.take()
    monkeypatch.setattr(one, "_now", lambda: time.seconds - 86_400)
    one.take()
    assert max(time.naps) <= 1.0


def test_two_clients_share_a_window_when_they_share_a_storage(time: Time) -> None:
    storage = MemoryStorage()
    limit(time, 1, storage).take()
    limit(time, 1, storage).take()
    assert sum(time.naps) >= 1.0


def test_no_storage_is_made_when_there_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "MemoryStorage", None)
    RateLimit("frontcore", 0).take()


class Failing(MemoryStorage):
    """A shared storage whose server is away."""

    away = True
    asked = 0

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        self.asked += 1
        if self.away:
            raise StorageError(ConnectionError("away"))
        return super().acquire_entry(key, limit, expiry, amount)


def test_this_process_keeps_the_rate_by_itself_when_the_shared_storage_is_away(time: Time) -> None:
    storage = Failing()
    limited = limit(time, 2, storage)
    began = time.seconds
    for _ in range(5):
        limited.take()
    assert time.seconds - began >= 2.0
    assert storage.asked == 1


def test_the_shared_storage_is_asked_again_when_some_seconds_have_passed(time: Time) -> None:
    storage = Failing()
    limited = limit(time, 2, storage)
    limited.take()
    storage.away = False
    time.seconds += 6
    limited.take()
    assert storage.asked == 2


@pytest.mark.parametrize(
    ("broker_url", "shared"),
    [("memory://", False), ("redis://127.0.0.1:1/0", True), ("rediss://127.0.0.1:1/0", True)],
)
def test_processes_share_the_rate_when_their_broker_is_redis(broker_url: str, shared: bool) -> None:
    assert (shared_storage(broker_url) is not None) is shared
