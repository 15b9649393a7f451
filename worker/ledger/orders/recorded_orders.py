"""Orders as the ledger holds them: read and locked for planning, written with what planning came to.

Each function works inside the transaction it is given and commits nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, insert, select, update

from worker.ledger.sql import columns_of, has_placeholders, insert_new, parts, record_of
from worker.ledger.states import OrderState
from worker.ledger.tables.runs import order_versions, orders
from worker.sources.order import Money, Order, email_key

READING: Final = 5
"""By which reading orders are recorded. Raise it whenever a source's record is read or hashed otherwise than before:
what was recorded so far is then read again, and what that adds is a question, not news."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedOrder:
    """An order as last recorded. `version` 0: the ledger has no content of it."""

    source: str
    order_id: str
    state: str
    status: str
    payment: str
    buyer_email: str
    total_minor_units: int | None
    currency: str | None
    renewal: bool
    document: dict[str, Any]
    content_hash: str
    polled_hash: str | None
    version: int
    reading: int | None
    read_anew: list[list[str]] | None
    before_start: bool
    first_seen_at: datetime
    fetched_at: datetime

    @property
    def total(self) -> Money | None:
        """What it costs, where its source says so."""
        if self.total_minor_units is None or self.currency is None:
            return None
        return Money(minor_units=self.total_minor_units, currency=self.currency)

    @property
    def places_read_anew(self) -> frozenset[tuple[str, str]]:
        """The places that a changed reading has added to it, as line and seat."""
        return frozenset((line, seat) for line, seat in self.read_anew or ())

    def places_with(self, places: Iterable[tuple[str, str]]) -> list[list[str]] | None:
        """These places beside those that a changed reading added before, as they are kept."""
        return [list(place) for place in sorted({*places, *self.places_read_anew})] or None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownOrder:
    """What a list is compared with."""

    source: str
    order_id: str
    status: str
    payment: str
    renewal: bool
    content_hash: str
    polled_hash: str | None
    offers_digest: str
    version: int
    reading: int | None
    before_start: bool
    fetched_at: datetime
    replan_at: datetime | None
    has_placeholders: bool


def unknown_order(order: Order, *, fetched_at: datetime, now: datetime) -> RecordedOrder:
    """What the ledger holds of an order that it does not know."""
    return RecordedOrder(
        source=order.source,
        order_id=order.id,
        state=OrderState.WAITING,
        status=order.status,
        payment=order.payment,
        buyer_email="",
        total_minor_units=None,
        currency=None,
        renewal=False,
        document={},
        content_hash="",
        polled_hash=None,
        version=0,
        reading=READING,
        read_anew=None,
        before_start=False,
        first_seen_at=now,
        fetched_at=fetched_at,
    )


_OF_THESE = (
    orders.c.source == bindparam("source"),
    orders.c.order_id.in_(bindparam("order_ids", expanding=True)),
)
_READ = select(*columns_of(RecordedOrder, orders)).where(*_OF_THESE).order_by(orders.c.order_id)
# FOR NO KEY UPDATE: a worker that ends a run of this order holds the run and adds another, which only refers to the
# order. With FOR UPDATE it would wait for us while we wait for its run.
_LOCK = _READ.with_for_update(key_share=True)
_KNOWN = select(
    *(orders.c[name] for name in KnownOrder.__dataclass_fields__ if name != "has_placeholders"),
    has_placeholders().label("has_placeholders"),
).where(*_OF_THESE)
_UPDATE = update(orders).where(orders.c.source == bindparam("of_source"), orders.c.order_id == bindparam("of_order_id"))
_INSERT_VERSIONS = insert(order_versions)


def lock_orders(connection: Connection, source: str, order_ids: Sequence[str]) -> dict[str, RecordedOrder]:
    """Lock orders of a source until the transaction ends; those that the ledger does not know are left out.

    Nothing keeps another from recording one of those meanwhile: `insert_orders` tells.
    """
    found = connection.execute(_LOCK, {"source": source, "order_ids": list(order_ids)})
    return {row.order_id: record_of(RecordedOrder, row) for row in found}


def recorded_order(connection: Connection, source: str, order_id: str) -> RecordedOrder | None:
    """One order, not locked; None if the ledger does not know it."""
    row = connection.execute(_READ, {"source": source, "order_ids": [order_id]}).one_or_none()
    return None if row is None else record_of(RecordedOrder, row)


def known_orders(connection: Connection, source: str, order_ids: Sequence[str]) -> dict[str, KnownOrder]:
    """What the ledger holds of these orders, by order id."""
    found: dict[str, KnownOrder] = {}
    for some in parts(order_ids):
        rows = connection.execute(_KNOWN, {"source": source, "order_ids": list(some)})
        found |= {row.order_id: record_of(KnownOrder, row) for row in rows}
    return found


def content_of(order: Order, row: RecordedOrder, *, hashed: str, fetched_at: datetime, now: datetime) -> dict[str, Any]:
    """The columns of an order's next version."""
    return {
        "status": order.status,
        "payment": order.payment,
        "buyer_email": order.buyer_email,
        "buyer_email_key": email_key(order.buyer_email),
        "buyer_name": order.buyer_name,
        "total_minor_units": order.total.minor_units if order.total else None,
        "currency": order.total.currency if order.total else None,
        "content_hash": hashed,
        "version": row.version + 1,
        "reading": READING,
        "created_at": order.created_at,
        "fetched_at": fetched_at,
        "updated_at": now,
        **annotation_of(order),
    }


def annotation_of(order: Order) -> dict[str, Any]:
    """The columns that keep what another request told of an order; they alone make no new version."""
    return {"renewal": order.renewal, "document": order.model_dump(mode="json", exclude={"raw"})}


def version_of(
    order: Order, row: RecordedOrder, *, hashed: str, delivery_id: str | None, now: datetime
) -> dict[str, Any]:
    """The row of an order's next version."""
    return {
        "source": order.source,
        "order_id": order.id,
        "number": row.version + 1,
        "content_hash": hashed,
        "raw": order.raw,
        "delivery_id": delivery_id,
        "seen_at": now,
        "reading": READING,
    }


@dataclass(frozen=True, slots=True)
class OrderVersion:
    """A record of an order as its source sent it, and by which reading it was recorded."""

    content_hash: str
    raw: dict[str, Any]
    reading: int | None


def last_version(connection: Connection, source: str, order_id: str, number: int) -> OrderVersion | None:
    """The version of an order that its row was last recorded from; None where there is none."""
    asked = {"of_source": source, "of_order_id": order_id, "of_number": number}
    row = connection.execute(_VERSION, asked).one_or_none()
    return None if row is None else record_of(OrderVersion, row)


def insert_orders(connection: Connection, rows: Sequence[dict[str, Any]]) -> set[str]:
    """Add orders of one source; the ids of those that nobody has added meanwhile."""
    return {order_id for _, order_id in insert_new(connection, orders, rows)}


def reserve_orders(connection: Connection, found: Iterable[tuple[Order, datetime]], *, now: datetime) -> None:
    """Make sure of the rows of orders, each with when it was asked for; one that is new has no content yet."""
    rows = {
        order.id: {
            "source": order.source,
            "order_id": order.id,
            "state": OrderState.WAITING,
            "status": order.status,
            "payment": order.payment,
            "document": {},
            "content_hash": "",
            "offers_digest": "",
            "version": 0,
            "first_seen_at": now,
            "fetched_at": fetched_at,
            "updated_at": now,
            "buyer_email": "",
            "buyer_email_key": "",
            "buyer_name": "",
            "renewal": False,
            "before_start": False,
            "reading": READING,
        }
        for order, fetched_at in found
    }
    insert_new(connection, orders, [rows[order_id] for order_id in sorted(rows)])


def insert_versions(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Add versions of orders."""
    if rows:
        connection.execute(_INSERT_VERSIONS, list(rows))


def update_order(connection: Connection, source: str, order_id: str, **values: Any) -> None:
    """Set columns of an order's row."""
    connection.execute(_UPDATE, {"of_source": source, "of_order_id": order_id, **values})


_VERSIONS_OF_ORDER = select(*columns_of(OrderVersion, order_versions)).where(
    order_versions.c.source == bindparam("of_source"), order_versions.c.order_id == bindparam("of_order_id")
)
_VERSION = _VERSIONS_OF_ORDER.where(order_versions.c.number == bindparam("of_number"))
_LATEST_VERSIONS = _VERSIONS_OF_ORDER.order_by(order_versions.c.number.desc()).limit(bindparam("most"))


def latest_versions(connection: Connection, source: str, order_id: str, *, most: int) -> list[OrderVersion]:
    """The newest versions of an order, newest first."""
    asked = {"of_source": source, "of_order_id": order_id, "most": most}
    return [record_of(OrderVersion, row) for row in connection.execute(_LATEST_VERSIONS, asked)]
