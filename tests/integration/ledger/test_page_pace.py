from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.web.filling import add_delivery, add_order, add_run
from worker.ledger.session import Ledger
from worker.ledger.views.page.pace import HourOfWork, pace

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
