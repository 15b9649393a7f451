from __future__ import annotations

import logging
from datetime import datetime, timedelta

import pytest

from tests.unit.workflows.fakes.polled_storefront import Shop, numbered
from tests.unit.workflows.fakes.storefront import NOW, Clock
from worker.errors import ApiConnectionError
from worker.ledger.periodic.source_watches import Watch, watches
from worker.ledger.session import Ledger
from workflows.monitoring.source_health import MISSED_INTERVALS, WATCH_BROKEN_AFTER, check_sources, late_since

INTERVAL_SECONDS = 300.0
MINUTE = timedelta(minutes=1)


class Watchman:
    """Checks every minute, and polls meanwhile as the shop allows."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger = ledger
        self.clock = clock

    def check(self, poll_seconds: float = INTERVAL_SECONDS) -> Watch:
        return check_sources(self.ledger, {"studiocart": poll_seconds}, now=self.clock.now)["studiocart"]

    def wait(self, **delta: float) -> Watch:
        end = self.clock.now + timedelta(**delta)
        while self.clock.now < end - 5 * MINUTE:
            self.clock.advance(minutes=5)
            self.check()
        self.clock.advance(minutes=5)
        return self.check()


@pytest.fixture
def watchman(ledger: Ledger, clock: Clock) -> Watchman:
    return Watchman(ledger, clock)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


def test_one_alarm_is_raised_when_no_poll_succeeds_for_three_intervals(
    shop: Shop, watchman: Watchman, caplog: pytest.LogCaptureFixture
) -> None:
    shop.source.put(*numbered(1))
    shop.poll()
    polled_at = shop.clock.now
    watchman.check()
    shop.source.broken = ApiConnectionError("reset by peer", system="studiocart", operation="list")
    shop.poll()
    assert watchman.wait(minutes=5 * MISSED_INTERVALS - 5).late_since is None
    for _ in range(3):
        assert watchman.wait(minutes=5).late_since == polled_at
    (reported,) = errors(caplog)
    assert "no poll of studiocart has succeeded since 2026-03-10 12:05 UTC" in reported
    assert "reset by peer" in reported
    shop.source.broken = None
    shop.poll()
    with caplog.at_level(logging.INFO):
        assert watchman.check().late_since is None
    assert "succeed again" in caplog.text
    assert len(errors(caplog)) == 1


def test_polls_are_not_late_when_the_process_was_down(shop: Shop, watchman: Watchman) -> None:
    shop.poll()
    watchman.check()
    shop.clock.advance(days=2)
    assert watchman.check().late_since is None
    begun_at = shop.clock.now
    assert watchman.wait(minutes=5 * MISSED_INTERVALS + 5).late_since == begun_at


def test_source_is_late_when_it_was_never_reached(watchman: Watchman, caplog: pytest.LogCaptureFixture) -> None:
    assert watchman.check().late_since is None
    assert watchman.wait(minutes=20).late_since == NOW
    assert len(errors(caplog)) == 1


@pytest.mark.parametrize(
    ("last_success_at", "begun_at", "poll_seconds", "expected"),
    [
        (None, None, 0, None),
        (None, None, 300, NOW),
        (NOW - 15 * MINUTE, None, 300, None),
        (NOW - 16 * MINUTE, None, 300, NOW - 16 * MINUTE),
        (NOW - 16 * MINUTE, NOW - 15 * MINUTE, 300, None),
        (None, NOW - 16 * MINUTE, 300, NOW - 16 * MINUTE),
        (NOW - timedelta(days=9), None, 0, None),
    ],
)
def test_lateness_counts_from_the_last_success_when_somebody_watched(
    last_success_at: datetime | None, begun_at: datetime | None, poll_seconds: float, expected: datetime | None
) -> None:
    assert late_since(last_success_at, begun_at, now=NOW, poll_seconds=poll_seconds) == expected


def sell_for_weeks(shop: Shop) -> None:
    """An order every sixteen hours until now, and one poll that finds them all."""
    made = (NOW - timedelta(hours=16 * number) for number in range(24))
    shop.source.page_size = 100
    shop.source.put(*(order for number, at in enumerate(made) for order in numbered(1000 - number, created_at=at)))
    shop.poll()


def test_one_alarm_is_raised_when_a_source_is_quiet_for_unusually_long(
    shop: Shop, watchman: Watchman, caplog: pytest.LogCaptureFixture
) -> None:
    sell_for_weeks(shop)
    seen_at = shop.clock.now
    assert watchman.check().silence_limit_seconds == 24 * 3600
    shop.poll(hours=24)
    assert watchman.check().silent_since is None
    for _ in range(3):
        shop.poll(minutes=5)
        assert watchman.check().silent_since == seen_at
    (reported,) = errors(caplog)
    assert "no new order has come from studiocart since 2026-03-10 12:05 UTC" in reported
    shop.source.put(*numbered(1001, created_at=shop.clock.now))
    shop.poll()
    with caplog.at_level(logging.INFO):
        assert watchman.check().silent_since is None
    assert "orders come from studiocart again" in caplog.text


def test_silence_is_no_alarm_when_nobody_asks_the_source(shop: Shop, watchman: Watchman) -> None:
    sell_for_weeks(shop)
    watchman.check()
    late = watchman.wait(hours=25)
    assert (late.late_since is None, late.silent_since) == (False, None)
    assert watchman.check(poll_seconds=0).silent_since is not None  # its webhooks alone should have told


def test_silence_is_no_alarm_when_there_is_no_history(shop: Shop, watchman: Watchman) -> None:
    shop.source.put(*numbered(1))
    shop.poll()
    shop.poll(days=10)
    assert watchman.check() == Watch(begun_at=shop.clock.now, checked_at=shop.clock.now, learnt_at=shop.clock.now)


def test_silence_lasts_as_long_as_the_memory_when_nothing_is_remembered(shop: Shop, watchman: Watchman) -> None:
    sell_for_weeks(shop)
    watchman.check(poll_seconds=0)
    shop.clock.advance(minutes=50)
    watchman.check(poll_seconds=0)
    shop.clock.advance(days=40)
    assert watchman.check(poll_seconds=0).silence_limit_seconds is None


def test_source_is_forgotten_when_it_is_not_polled_any_more(ledger: Ledger, watchman: Watchman) -> None:
    watchman.check()
    check_sources(ledger, {"frontcore": INTERVAL_SECONDS}, now=NOW + WATCH_BROKEN_AFTER)
    with ledger.read() as connection:
        assert list(watches(connection)) == ["frontcore"]


def test_polls_are_late_in_time_when_the_clock_was_ahead_before(shop: Shop, watchman: Watchman, clock: Clock) -> None:
    """It started at a wrong time, and was set: what was noted meanwhile lies in the future for hours."""
    clock.advance(hours=3)
    shop.poll()
    watchman.check()
    clock.now -= timedelta(hours=3)
    assert watchman.wait(minutes=30).late_since is not None
