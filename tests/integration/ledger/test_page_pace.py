from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from tests.integration.web.filling import add_delivery, add_order, add_run
from worker.ledger.session import Ledger
from worker.ledger.views.page.pace import DayOfWork, HourOfWork, days_of_work, pace

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
HOUR = datetime(2026, 3, 4, 4, 0, tzinfo=UTC)


def test_every_hour_is_there_when_nothing_happened(ledger: Ledger) -> None:
    with ledger.read() as connection:
        found = pace(connection, NOW)
    assert len(found) == 48
    assert found[0] == HourOfWork(datetime(2026, 3, 2, 6, 0, tzinfo=UTC))
    assert found[-1] == HourOfWork(datetime(2026, 3, 4, 5, 0, tzinfo=UTC))


def test_hours_tell_what_came_and_was_done_and_how_long_it_took_when_there_was_work(ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection, "1109", HOUR)
        add_order(connection, "1110", HOUR + timedelta(minutes=59, seconds=59))
        add_order(connection, "1111", HOUR + timedelta(hours=1))
        # Seen long ago: today's news of it makes it no new order.
        add_order(connection, "1112", HOUR - timedelta(days=9), updated_at=HOUR)
        add_delivery(connection, "d1", HOUR)
        for seconds in range(1, 21):
            done_at = HOUR + timedelta(seconds=seconds)
            add_run(connection, f"r{seconds}", HOUR + timedelta(seconds=0.5), finished_at=done_at, delivery_id="d1")
        done_at = HOUR + timedelta(hours=1, seconds=90.5)
        add_run(connection, "alone", HOUR + timedelta(hours=1, seconds=0.5), finished_at=done_at)
        # Neither counts for access: one failed, one is no enrolment.
        add_run(connection, "failed", HOUR, state="failed", finished_at=HOUR)
        add_run(connection, "revoked", HOUR, workflow="revocation", finished_at=HOUR + timedelta(hours=1))
    with ledger.read() as connection:
        *_, before, last = pace(connection, NOW, hours=3)
    assert (before.begins_at, before.orders, before.enrolments) == (HOUR, 2, 20)
    assert before.median_seconds == pytest.approx(10, abs=0.01)
    assert before.p95_seconds == pytest.approx(19, abs=0.01)
    assert (last.orders, last.enrolments) == (1, 2)
    assert last.median_seconds == last.p95_seconds == pytest.approx(90, abs=0.01)


def test_access_counts_from_the_order_s_own_time_when_its_first_sight_gave_it(ledger: Ledger) -> None:
    seen_at, bought_at = HOUR + timedelta(minutes=5), HOUR
    with ledger.write() as connection:
        add_order(connection, "1109", bought_at, first_seen_at=seen_at)
        add_order(connection, "1110", bought_at - timedelta(days=1), first_seen_at=HOUR - timedelta(days=1))
        add_order(connection, "1111", bought_at, first_seen_at=seen_at)
        add_order(connection, "1112", seen_at + timedelta(days=1), first_seen_at=seen_at)
        for number, (order_id, via) in enumerate(
            [("1109", "poll"), ("1110", "poll"), ("1111", "manual"), ("1112", "webhook")]
        ):
            add_delivery(connection, f"d{number}", seen_at, order_id=order_id, via=via)
            done_at = seen_at + timedelta(seconds=5) + timedelta(hours=1) * number
            values = {"order_id": order_id, "delivery_id": f"d{number}", "finished_at": done_at}
            add_run(connection, f"r{number}", seen_at, **values)
    with ledger.read() as connection:
        found = [hour.median_seconds for hour in pace(connection, HOUR + timedelta(hours=3, minutes=59), hours=4)]
    # Its own time; a payment of an order known for a day; an operator's ingest; a date later than its news.
    assert found == [pytest.approx(seconds, abs=0.01) for seconds in (305, 3605, 7205, 10805)]


def test_days_tell_what_came_and_was_done_when_there_was_work(ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection, "1109", NOW)
        add_order(connection, "1110", NOW - timedelta(days=2))
        add_order(connection, "1111", NOW - timedelta(days=30))
        add_run(connection, "r1", NOW, finished_at=NOW)
        add_run(connection, "r2", NOW, finished_at=NOW - timedelta(days=29))
    with ledger.read() as connection:
        found = days_of_work(connection, NOW)
    assert len(found) == 30
    assert found[0] == DayOfWork(date(2026, 2, 3), 0, 1)
    assert found[-3:] == [
        DayOfWork(date(2026, 3, 2), 1),
        DayOfWork(date(2026, 3, 3)),
        DayOfWork(date(2026, 3, 4), 1, 1),
    ]
