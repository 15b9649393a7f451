"""`worker.clients.rate`: never more requests than the rate allows, and no waiting without need."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.clients.stub import SlotsInMemory
from worker.clients.rate import OwnSlots, RateLimit, SharedSlots, Window, shared_slots, window


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.seconds += seconds


@pytest.fixture
def time() -> Time:
    return Time()


def limit(time: Time, requests_per_second: float, shared: SharedSlots | None = None) -> RateLimit:
    return RateLimit("learningcart", requests_per_second, shared=shared, now=lambda: time.seconds, sleep=time.sleep)


@pytest.mark.parametrize(
    ("requests_per_second", "amount", "seconds"),
    [(1, 1, 1), (5, 5, 1), (0.5, 1, 2), (0.4, 1, 3), (0.25, 1, 4), (0.1, 1, 10), (2.5, 5, 2), (2.3, 9, 4), (1.5, 3, 2)],
)
def test_a_window_is_short_and_not_above_the_rate_when_chosen(
    requests_per_second: float, amount: int, seconds: int
) -> None:
    assert window(requests_per_second) == Window(amount, seconds)


@given(st.floats(min_value=0.001, max_value=10_000))
def test_a_window_never_exceeds_the_rate_when_the_rate_is_odd(requests_per_second: float) -> None:
    chosen = window(requests_per_second)
    assert chosen.amount >= 1
    assert chosen.amount / chosen.seconds <= requests_per_second * (1 + 1e-9)


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


@given(
    st.integers(min_value=1, max_value=6),
    st.integers(min_value=1, max_value=3),
    st.lists(st.integers(min_value=0, max_value=96), min_size=1, max_size=60),
)
def test_no_window_holds_more_than_the_limit_whenever_slots_are_asked_for(
    amount: int, seconds: int, pauses: list[int]
) -> None:
    slots, now = OwnSlots(Window(amount, seconds)), 1000.0
    taken_at: list[float] = []
    for pause in pauses:
        now += pause / 64
        wait_seconds = slots.take(now)
        if wait_seconds is None:
            taken_at.append(now)
        else:
            assert 0 <= wait_seconds <= seconds
            assert now - taken_at[-amount] <= seconds, "a slot was there"
    assert all(later - first > seconds for first, later in zip(taken_at, taken_at[amount:], strict=False))


def test_a_slot_is_there_after_the_window_when_the_clock_was_set_back() -> None:
    slots = OwnSlots(Window(2, 1))
    assert (slots.take(1000.0), slots.take(1000.0)) == (None, None)
    assert slots.take(10.0) == 1.0
    assert slots.take(11.1) is None


def test_two_clients_share_a_window_when_they_share_slots(time: Time) -> None:
    shared = SlotsInMemory()
    limit(time, 1, shared).take()
    limit(time, 1, shared).take()
    assert sum(time.naps) >= 1.0


def test_this_process_keeps_the_rate_by_itself_when_the_shared_window_is_away(time: Time) -> None:
    shared = SlotsInMemory(away=True)
    limited = limit(time, 2, shared)
    began = time.seconds
    for _ in range(5):
        limited.take()
    assert time.seconds - began >= 2.0
    assert shared.asked == 1


def test_the_shared_window_is_asked_again_when_some_seconds_have_passed(time: Time) -> None:
    shared = SlotsInMemory(away=True)
    limited = limit(time, 2, shared)
    limited.take()
    shared.away = False
    time.seconds += 6
    limited.take()
    assert shared.asked == 2


@pytest.mark.parametrize(
    ("broker_url", "shared"),
    [("memory://", False), ("redis://127.0.0.1:1/0", True), ("rediss://127.0.0.1:1/0", True)],
)
def test_processes_share_the_rate_when_their_broker_is_redis(broker_url: str, shared: bool) -> None:
    assert (shared_slots(broker_url) is not None) is shared
