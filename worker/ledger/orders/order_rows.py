"""Orders and deliveries in the ledger: recording, locking, and reading them for planning."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Required, TypedDict, Unpack, cast

from sqlalchemy import Connection, Row, String, bindparam, insert, select, update

from worker.ledger import leases
from worker.ledger.keys import is_of_order, new_id
from worker.ledger.pauses import is_held_back
from worker.ledger.sql import columns_of, record_of
from worker.ledger.states import DeliveryState, Via
from worker.ledger.tables.runs import deliveries, orders
from worker.sources.order import Order

LOOK_AGAIN_SECONDS = 15.0
"""Until an order is looked at again whose last look left something, or failed."""
ANNOTATIONS = frozenset(
    {"renewal", "subscription_id", "recurring", "trial", "trial_lines", "subscription_payment", "incomplete"}
    | {"company"},
)
"""What is no content of an order: it says how the order is taken, comes from another record, or is for finding it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenDelivery:
    """A delivery that is leased for a look at its order."""

    id: str
    via: str
    actor: str
    reason: str | None
    attempts: int
    replan: bool
    body: dict[str, Any] | None
    received_at: datetime


def content_hash(order: Order) -> str:
    """Changes when anything we read from the order's own record changes.

    Unknown fields and annotations do not count, nor does when it was made: sources compute that anew for each answer.
    """
    document = json.dumps(
        # Without defaults: a field that a later version adds must not make every order look changed.
        order.model_dump(mode="json", exclude={"raw", "created_at", *ANNOTATIONS}, exclude_defaults=True),
        sort_keys=True,
        ensure_ascii=False,
    )
    return hashlib.sha256(document.encode()).hexdigest()[:32]


class Arrival(TypedDict, total=False):
    """What is known of a new delivery."""

    source: Required[str]
    order_id: Required[str | None]
    via: Required[Via]
    actor: Required[str]
    state: DeliveryState
    reason: str | None
    note: str | None
    body: dict[str, Any] | None
    duplicate: bool
    replan: bool
    next_attempt_at: datetime | None


_UNTOLD: Final[dict[str, Any]] = {
    **dict.fromkeys(("reason", "note", "body", "next_attempt_at")),
    "state": DeliveryState.RECEIVED,
    "duplicate": False,
    "replan": False,
}


def new_delivery(delivery_id: str, *, now: datetime, sent: bool = False, **arrival: Unpack[Arrival]) -> dict[str, Any]:
    """The row of a new delivery. `sent`: its message goes out right after this commit."""
    row = _UNTOLD | arrival
    return row | {
        "id": delivery_id,
        "attempts": 0,
        "received_at": now,
        "dispatched_at": now if sent else None,
        "finished_at": None if row["state"] in _OPEN else now,
    }


def insert_delivery(connection: Connection, *, now: datetime, sent: bool = False, **arrival: Unpack[Arrival]) -> str:
    """Add a delivery; returns its id."""
    delivery_id = new_id(now)
    connection.execute(_INSERT, new_delivery(delivery_id, now=now, sent=sent, **arrival))
    return delivery_id


def insert_deliveries(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Add deliveries."""
    if rows:
        connection.execute(_INSERT, list(rows))


_OPEN = (DeliveryState.RECEIVED, DeliveryState.WAITING)
_INSERT = insert(deliveries)
_OF_ORDER = (deliveries.c.source == bindparam("of_source"), deliveries.c.order_id == bindparam("of_order_id"))
_OPEN_OF_ORDER = (*_OF_ORDER, deliveries.c.state.in_(_OPEN))
_LOCK_OPEN = (
    select(
        *columns_of(TakenDelivery, deliveries),
        deliveries.c.state,
        deliveries.c.lease_until,
        deliveries.c.next_attempt_at,
    )
    .where(*_OPEN_OF_ORDER, ~is_held_back())
    .order_by(deliveries.c.received_at, deliveries.c.id)
    .with_for_update()
)
_THESE = deliveries.c.id.in_(bindparam("ids", expanding=True))
_UPDATE_THESE = update(deliveries).where(_THESE)
_UPDATE_HELD = _UPDATE_THESE.where(leases.is_held_by(deliveries, bindparam("of_holder", type_=String())))
_SETTLE_REVIEWS = update(deliveries).where(*_OF_ORDER, deliveries.c.state == DeliveryState.REVIEW)


def take_deliveries(
    connection: Connection, source: str, order_id: str, *, holder: str, now: datetime, lease_seconds: float
) -> list[TakenDelivery]:
    """Lease every open delivery of an order if at least one is due and nobody holds any: one fetch answers all.

    Of a paused source only what an operator asked for. The earliest comes first. Returns none when somebody else is at
    it; what arrives meanwhile stays open for the next look.
    """
    # One statement at a time may take an order's deliveries: the first lock decides, the second sees its lease.
    rows = connection.execute(_LOCK_OPEN, {"of_source": source, "of_order_id": order_id}).all()
    held = [row for row in rows if leases.is_held(row, now)]
    due = [row for row in rows if row.next_attempt_at is None or row.next_attempt_at <= now]
    if held or not due:
        return []
    lease = leases.leased(holder, now=now, lease_seconds=lease_seconds)
    connection.execute(_UPDATE_THESE, {"ids": [row.id for row in rows], **lease})
    return [record_of(TakenDelivery, row) for row in rows]


def lock_open_deliveries(connection: Connection, source: str, order_id: str) -> list[str]:
    """Lock an order's open deliveries until the transaction ends, in the order in which `take_deliveries` does.

    Taken in another order, a look that ends and one that begins can wait for each other on PostgreSQL. Returns those
    that nobody has looked at yet.
    """
    rows = connection.execute(_LOCK_OPEN, {"of_source": source, "of_order_id": order_id}).all()
    return [row.id for row in rows if row.state == DeliveryState.RECEIVED and row.next_attempt_at is None]


class Answer(TypedDict, total=False):
    """What came of a delivery, beside its state."""

    reason: str | None
    note: str | None
    duplicate: bool
    next_attempt_at: datetime | None


def release_deliveries(
    connection: Connection,
    delivery_ids: Sequence[str],
    *,
    state: DeliveryState,
    now: datetime,
    failed: bool = False,
    holder: str | None = None,
    **answer: Unpack[Answer],
) -> None:
    """Give leased deliveries their next state. A finished one forgets its body.

    With `holder`, only those it still holds: what another has answered since stays answered.
    """
    if not delivery_ids:
        return
    values = dict.fromkeys(("reason", "note", "next_attempt_at")) | answer | leases.FREE
    values |= {"ids": list(delivery_ids), "state": state, "dispatched_at": None, "finished_at": None}
    if state not in _OPEN:
        values |= {"body": None, "finished_at": now}
    statement = _UPDATE_THESE
    if holder is not None:
        statement = _UPDATE_HELD
        values["of_holder"] = holder
    if failed:
        statement = statement.values(attempts=deliveries.c.attempts + 1)
    connection.execute(statement, values)


def settle_reviews(connection: Connection, source: str, order_id: str, *, now: datetime) -> None:
    """An order that was found after all takes its earlier deliveries out of review."""
    settled = {"state": DeliveryState.PLANNED, "reason": "settled_by_source", "finished_at": now}
    connection.execute(_SETTLE_REVIEWS, {"of_source": source, "of_order_id": order_id, **settled})


def put_off_received(connection: Connection, delivery_ids: Sequence[str], *, until: datetime) -> None:
    """Let locked hints that nobody has taken yet wait a moment, so that a storm of them shares one fetch."""
    if delivery_ids:
        late = {"ids": list(delivery_ids), "next_attempt_at": until, "dispatched_at": None}
        connection.execute(_UPDATE_THESE, late)


def load_order(connection: Connection, source: str, order_id: str) -> Order | None:
    """The order as last recorded, without its raw record; None if it is not in the ledger."""
    document = connection.scalar(select(orders.c.document).where(is_of_order(orders, source, order_id)))
    return Order.model_validate(document) if document else None


def order_ids_seen_until(connection: Connection, source: str, until: datetime) -> list[str]:
    """The ids of the orders that were known at a moment."""
    statement = select(orders.c.order_id).where(orders.c.source == source, orders.c.first_seen_at <= until)
    return list(connection.scalars(statement))


def announced_orders(connection: Connection, source: str, order_ids: Sequence[str], *, until: datetime) -> set[str]:
    """The orders about which something arrived until a moment, be it that it could not be read."""
    asked = {"of_source": source, "order_ids": list(order_ids), "until": until}
    return set(connection.scalars(_ANNOUNCED, asked))


_ANNOUNCED = select(deliveries.c.order_id).where(
    deliveries.c.source == bindparam("of_source"),
    deliveries.c.order_id.in_(bindparam("order_ids", expanding=True)),
    deliveries.c.received_at <= bindparam("until"),
)


def fetched_at(connection: Connection, source: str, order_id: str) -> datetime:
    """When the request for the order's newest recorded content was sent."""
    return cast(
        "datetime",
        connection.scalar(select(orders.c.fetched_at).where(is_of_order(orders, source, order_id))),
    )


def delivery_state(connection: Connection, delivery_id: str) -> Row[*tuple[Any, ...]]:
    """A delivery's `state`, `reason` and `note`."""
    return connection.execute(
        select(deliveries.c.state, deliveries.c.reason, deliveries.c.note).where(deliveries.c.id == delivery_id)
    ).one()
