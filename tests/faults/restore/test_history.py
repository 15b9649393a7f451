"""What was taken as handled stays so: orders of before the start whose dates move, and readings that change."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from tests.faults.harness.product import NewRig
from tests.unit.workflows.fakes.storefront import NOW, START, FakeSource, an_order, record, rows, states
from worker.ledger.tables.runs import orders, runs
from worker.sources.order import Payment
from workflows.recording.rereading import reread_orders

pytestmark = pytest.mark.faults

OLD = START - timedelta(hours=5)


def test_decided_order_is_not_given_when_its_site_dates_it_anew(new_rig: NewRig) -> None:
    ledger = new_rig().ledger
    record(ledger, an_order(created_at=OLD), baseline=True)
    record(ledger, an_order(created_at=NOW, status="completed"), now=NOW + timedelta(days=1))
    record(ledger, an_order(created_at=NOW), now=NOW + timedelta(days=2), polled=True)
    assert rows(ledger, runs) == []
    (order,) = rows(ledger, orders)
    assert (order.state, order.reason) == ("ignored", "before_start")


def test_order_is_not_given_when_only_a_new_version_reads_it_as_paid(new_rig: NewRig) -> None:
    ledger, source = new_rig().ledger, FakeSource(lambda: NOW)
    record(ledger, an_order(payment=Payment.WAITING, status="1 New"))
    with ledger.write() as connection:
        connection.execute(update(orders).values(reading=None))
    read = an_order(status="1 New")
    source.rereads = {read.id: read}
    reread_orders(ledger, source, now=NOW)
    for hours in (1, 2):
        record(ledger, read, now=NOW + timedelta(hours=hours))
    assert states(ledger) == {"1109/1107/buyer/501": ("review", "read_anew")}
