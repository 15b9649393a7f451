"""What the ledger knows of a person across orders: who was given access under an address, and what was bought."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select

from worker.ledger.sql import columns_of, record_of
from worker.ledger.states import RunState
from worker.ledger.tables.runs import orders, runs
from worker.sources.order import Payment, email_key

MOST_RUNS: Final = 2_000
"""Of so many of an address's runs, the oldest, the names are read."""


@dataclass(frozen=True, slots=True)
class AddressUse:
    """An enrolment's place in an order, and whom it is for."""

    email_key: str
    learner: dict[str, Any] | None
    grant: dict[str, Any] | None
    state: str
    reason: str | None
    source: str
    order_id: str | None
    line_id: str
    seat_id: str

    @property
    def keeps_profile(self) -> bool:
        """Whether the name was not sent, since the profile has another."""
        return bool((self.learner or {}).get("keeps_profile"))


def uses_of_addresses(connection: Connection, keys: Collection[str]) -> dict[str, list[AddressUse]]:
    """The enrolments of each address, by its key, oldest first."""
    found: defaultdict[str, list[AddressUse]] = defaultdict(list)
    for row in connection.execute(_USES, {"keys": sorted(keys)}):
        found[row.email_key].append(record_of(AddressUse, row))
    return found


_USES = (
    select(*columns_of(AddressUse, runs))
    .where(runs.c.email_key.in_(bindparam("keys", expanding=True)), runs.c.workflow == "enrolment")
    .order_by(runs.c.created_at, runs.c.id)
    .limit(MOST_RUNS)
)


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
