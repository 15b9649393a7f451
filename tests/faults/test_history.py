"""What was taken as handled stays so: orders of before the start whose dates move, and readings that change."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.faults.rig import NewRig
from tests.unit.workflows.shop import NOW, START, an_order, record, rows
from worker.ledger.models import orders, runs

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
