from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.unit.workflows.fakes.storefront import NOW
from worker.ledger import pauses
from worker.ledger.orders import poll_requests
from worker.ledger.orders.order_rows import insert_delivery, take_deliveries
from worker.ledger.runs.due import anything_due, take_due_orders
from worker.ledger.session import Ledger
from worker.ledger.states import Via

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    ledger = Ledger(database_url)
    ledger.migrate()
    yield ledger
    ledger.close()


def test_deliveries_wait_for_the_resume_when_their_source_is_paused(ledger: Ledger) -> None:
    with ledger.write() as connection:
        for order_id in ("1109", None):
            insert_delivery(
                connection, source="studiocart", order_id=order_id, via=Via.WEBHOOK, actor="source", now=NOW, sent=True
            )
        pauses.pause(connection, "studiocart", kind="operator", reason="", actor="operator:ann", now=NOW)
    lease = {"holder": "w", "now": LATER, "lease_seconds": 60.0}
    with ledger.write() as connection:
        assert not anything_due(connection, now=LATER)
        assert take_due_orders(connection, now=LATER, limit=9) == []
        assert poll_requests.take_due_sources(connection, now=LATER) == []
        assert take_deliveries(connection, "studiocart", "1109", **lease) == []  # type: ignore[arg-type]
        insert_delivery(connection, source="studiocart", order_id="1110", via=Via.MANUAL, actor="operator:ann", now=NOW)
        assert take_due_orders(connection, now=LATER, limit=9) == [("studiocart", "1110")]
        pauses.lift(connection, "studiocart")
        pauses.wake_deliveries(connection, "studiocart")
        assert take_due_orders(connection, now=NOW, limit=9) == [("studiocart", "1109"), ("studiocart", "1110")]
        assert poll_requests.take_due_sources(connection, now=NOW) == ["studiocart"]
        assert len(take_deliveries(connection, "studiocart", "1109", **lease)) == 1  # type: ignore[arg-type]
