"""From when on the time to access counts: the same for the page's chart and for the metrics."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, case, func

from worker.ledger.states import Via
from worker.ledger.tables.runs import deliveries, orders, runs


def bought_at() -> ColumnElement[Any]:
    """When the seat of a run was bought; for a query that outer-joins the run's order and its delivery.

    The order's own time where its first sight gave access, so that the wait for a poll counts. What came later to a
    known order (a payment, a seat) has no time of its own and counts from the arrival of its news; so does what an
    operator had fetched, and an order whose date is later than its news.
    """
    arrived_at = func.coalesce(deliveries.c.received_at, runs.c.created_at)
    announces_itself = and_(
        runs.c.created_at <= orders.c.first_seen_at,
        orders.c.created_at < arrived_at,
        func.coalesce(deliveries.c.via, "") != Via.MANUAL,
    )
    return case((announces_itself, orders.c.created_at), else_=arrived_at)


def of_run_order() -> ColumnElement[bool]:
    """What joins an order to its runs."""
    return and_(orders.c.source == runs.c.source, orders.c.order_id == runs.c.order_id)
