"""Whether a learner has bought something already, by any source, as far as the ledger knows."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from worker.ledger.states import RunState
from worker.ledger.tables.runs import orders, runs
from worker.sources.order import Payment, email_key

_STORE = "threedcart"


def bought(connection: Connection, email: str, *, catalog_id: int, price_ids: Collection[int]) -> str | None:
    """By what a learner has bought an item of the store: `threedcart/1001`, or `run 01kk…`; None if by nothing.

    Either a paid order of the store with that item, or an enrolment that gives one of the prices and was not cancelled:
    one that failed or waits for a person was paid for all the same.
    """
    order_id = store_order(connection, email_key(email), catalog_id=catalog_id)
    if order_id is not None:
        return f"{_STORE}/{order_id}"
    found = select(runs.c.id, runs.c.grant).where(
        runs.c.email_key == email_key(email), runs.c.workflow == "enrolment", runs.c.state != RunState.CANCELLED
    )
    for row in connection.execute(found.order_by(runs.c.id)):
        if (row.grant or {}).get("price_id") in price_ids:
            return f"run {row.id}"
    return None


def store_order(
    connection: Connection, buyer_key: str | None, *, catalog_id: int, since: datetime | None = None
) -> str | None:
    """The oldest paid order of the store with this item by this buyer, made since a moment; None if there is none."""
    query = select(orders.c.order_id, orders.c.document).where(
        orders.c.source == _STORE, orders.c.buyer_email_key == buyer_key, orders.c.payment == Payment.PAID
    )
    if since is not None:
        query = query.where(orders.c.created_at >= since)
    for row in connection.execute(query.order_by(orders.c.created_at, orders.c.order_id)):
        if any(_sells(line, str(catalog_id)) for line in (row.document or {}).get("lines", [])):
            return str(row.order_id)
    return None


def _sells(line: dict[str, Any], product_id: str) -> bool:
    return (line.get("product") or {}).get("product_id") == product_id
