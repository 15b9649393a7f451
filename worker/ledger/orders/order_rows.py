"""Orders and deliveries in the ledger: recording, locking, and reading them for planning."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import Connection, Row, exists, insert, select, update

from worker.ledger import leases
from worker.ledger.keys import new_id
from worker.ledger.pauses import is_held_back
from worker.ledger.runs.run_rows import insert_ignoring
from worker.ledger.sql import has_placeholders
from worker.ledger.states import DeliveryState, Via
from worker.ledger.tables.runs import deliveries, order_versions, orders
from worker.sources.order import Order, email_key

LOOK_AGAIN_SECONDS = 15.0
"""Until an order is looked at again whose last look left something, or failed."""
ANNOTATIONS = frozenset(
    {"renewal", "subscription_id", "recurring", "trial", "trial_lines", "subscription_payment", "incomplete"}
    | {"company"},
)
"""What is no content of an order: it says how the order is taken, comes from another record, or is for finding it."""
READING: Final = 3
"""By which reading orders are recorded. Raise it whenever a source's record is read or hashed otherwise than before:
what was recorded so far is then read again, and what that adds is a question, not news."""


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


def insert_delivery(
    connection: Connection,
    *,
    source: str,
    order_id: str | None,
    via: Via,
    actor: str,
    now: datetime,
    state: DeliveryState = DeliveryState.RECEIVED,
    reason: str | None = None,
    body: dict[str, Any] | None = None,
    duplicate: bool = False,
    replan: bool = False,
    sent: bool = False,
) -> str:
    """Add a delivery; returns its id. `sent`: its message goes out right after this commit."""
    delivery_id = new_id(now)
    finished = state not in {DeliveryState.RECEIVED, DeliveryState.WAITING}
    connection.execute(
        insert(deliveries).values(
            id=delivery_id,
            source=source,
            order_id=order_id,
            via=via,
            actor=actor,
            state=state,
            reason=reason,
            body=body,
            duplicate=duplicate,
            replan=replan,
            attempts=0,
            received_at=now,
            dispatched_at=now if sent else None,
            finished_at=now if finished else None,
        )
    )
    return delivery_id


def take_deliveries(
    connection: Connection, source: str, order_id: str, *, holder: str, now: datetime, lease_seconds: float
) -> list[Row[Any]]:
    """Lease every open delivery of an order if at least one is due and nobody holds any: one fetch answers all.

    Of a paused source only what an operator asked for. The earliest comes first. Returns none when somebody else is at
    it; what arrives meanwhile stays open for the next look.
    """
    mine = (deliveries.c.source == source, deliveries.c.order_id == order_id)
    is_open = deliveries.c.state.in_([DeliveryState.RECEIVED, DeliveryState.WAITING]) & ~is_held_back()
    # One statement at a time may take an order's deliveries: the first lock decides, the second sees its lease.
    open_ones = select(deliveries).where(*mine, is_open).order_by(deliveries.c.received_at, deliveries.c.id)
    rows = connection.execute(open_ones.with_for_update()).all()
    held = [row for row in rows if leases.is_held(row, now)]
    due = [row for row in rows if row.next_attempt_at is None or row.next_attempt_at <= now]
    if held or not due:
        return []
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_([row.id for row in rows]))
        .values(**leases.leased(holder, now=now, lease_seconds=lease_seconds))
    )
    return list(rows)


def lock_open_deliveries(connection: Connection, source: str, order_id: str) -> None:
    """Lock an order's open deliveries until the transaction ends, in the order in which `take_deliveries` does.

    Taken in another order, a look that ends and one that begins can wait for each other on PostgreSQL.
    """
    connection.execute(
        select(deliveries.c.id)
        .where(
            deliveries.c.source == source,
            deliveries.c.order_id == order_id,
            deliveries.c.state.in_([DeliveryState.RECEIVED, DeliveryState.WAITING]),
        )
        .order_by(deliveries.c.received_at, deliveries.c.id)
        .with_for_update()
    ).all()


def release_deliveries(
    connection: Connection,
    delivery_ids: list[str],
    *,
    state: DeliveryState,
    now: datetime,
    reason: str | None = None,
    note: str | None = None,
    duplicate: bool | None = None,
    next_attempt_at: datetime | None = None,
    failed: bool = False,
    holder: str | None = None,
) -> None:
    """Give leased deliveries their next state. A finished one forgets its body.

    With `holder`, only those it still holds: what another has answered since stays answered.
    """
    finished = state not in {DeliveryState.RECEIVED, DeliveryState.WAITING}
    values: dict[str, Any] = {
        "state": state,
        "reason": reason,
        "note": note,
        "next_attempt_at": next_attempt_at,
        **leases.FREE,
        "dispatched_at": None,
        "finished_at": now if finished else None,
    }
    if finished:
        values["body"] = None
    if duplicate is not None:
        values["duplicate"] = duplicate
    if failed:
        values["attempts"] = deliveries.c.attempts + 1
    mine = update(deliveries).where(deliveries.c.id.in_(delivery_ids))
    if holder is not None:
        mine = mine.where(leases.is_held_by(deliveries, holder))
    connection.execute(mine.values(**values))


def settle_reviews(connection: Connection, source: str, order_id: str, *, now: datetime) -> None:
    """An order that was found after all takes its earlier deliveries out of review."""
    connection.execute(
        update(deliveries)
        .where(
            deliveries.c.source == source,
            deliveries.c.order_id == order_id,
            deliveries.c.state == DeliveryState.REVIEW,
        )
        .values(state=DeliveryState.PLANNED, reason="settled_by_source", finished_at=now)
    )


def lock_order(connection: Connection, order: Order, *, fetched_at: datetime, now: datetime) -> tuple[Row[Any], bool]:
    """Lock the order's row until the transaction ends, making it first if it is new.

    Returns it and whether it was new.
    """
    created = insert_ignoring(
        connection,
        orders,
        {
            "source": order.source,
            "order_id": order.id,
            "state": "waiting",
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
        },
    )
    # FOR NO KEY UPDATE: a worker that ends a run of this order holds the run and adds another, which only refers to the
    # order. With FOR UPDATE it would wait for us while we wait for its run.
    mine = select(orders).where(orders.c.source == order.source, orders.c.order_id == order.id)
    return connection.execute(mine.with_for_update(key_share=True)).one(), created


def load_order(connection: Connection, source: str, order_id: str) -> Order | None:
    """The order as last recorded, without its raw record; None if it is not in the ledger."""
    document = connection.scalar(
        select(orders.c.document).where(orders.c.source == source, orders.c.order_id == order_id)
    )
    return Order.model_validate(document) if document else None


def write_content(
    connection: Connection,
    order: Order,
    row: Row[Any],
    *,
    hashed: str,
    fetched_at: datetime,
    delivery_id: str | None,
    now: datetime,
) -> None:
    """Record a new version of the order's content."""
    number = row.version + 1
    connection.execute(
        insert(order_versions).values(
            source=order.source,
            order_id=order.id,
            number=number,
            content_hash=hashed,
            raw=order.raw,
            delivery_id=delivery_id,
            seen_at=now,
            reading=READING,
        )
    )
    connection.execute(
        update(orders)
        .where(orders.c.source == order.source, orders.c.order_id == order.id)
        .values(
            status=order.status,
            payment=order.payment,
            buyer_email=order.buyer_email,
            buyer_email_key=email_key(order.buyer_email),
            buyer_name=order.buyer_name,
            total_minor_units=order.total.minor_units if order.total else None,
            currency=order.total.currency if order.total else None,
            renewal=order.renewal,
            document=order.model_dump(mode="json", exclude={"raw"}),
            content_hash=hashed,
            version=number,
            reading=READING,
            created_at=order.created_at,
            fetched_at=fetched_at,
            updated_at=now,
        )
    )


def places_of(row: Row[Any] | None) -> frozenset[tuple[str, str]]:
    """The places that a changed reading has added to an order, as line and seat."""
    return frozenset() if row is None else frozenset((line, seat) for line, seat in row.read_anew or ())


def places_document(places: Iterable[tuple[str, str]], row: Row[Any]) -> list[list[str]] | None:
    """These places beside those of the order's row, as they are kept."""
    return [list(place) for place in sorted({*places, *places_of(row)})] or None


def write_annotation(connection: Connection, order: Order) -> None:
    """Keep what another request told of an order whose own record is unchanged; it makes no new version."""
    update_order(
        connection,
        order.source,
        order.id,
        renewal=order.renewal,
        document=order.model_dump(mode="json", exclude={"raw"}),
    )


def known_rows(connection: Connection, source: str, order_ids: list[str]) -> dict[str, Row[Any]]:
    """What a poll compares a page with, by order id: `polled_hash`, `offers_digest`, and `has_placeholders`."""
    placeholders = has_placeholders().label("has_placeholders")
    found = connection.execute(
        select(orders.c.order_id, orders.c.polled_hash, orders.c.offers_digest, placeholders).where(
            orders.c.source == source, orders.c.order_id.in_(order_ids)
        )
    )
    return {row.order_id: row for row in found}


def update_order(connection: Connection, source: str, order_id: str, **values: Any) -> None:
    """Set columns of an order's row."""
    connection.execute(update(orders).where(orders.c.source == source, orders.c.order_id == order_id).values(**values))


def order_ids_seen_until(connection: Connection, source: str, until: datetime) -> list[str]:
    """The ids of the orders that were known at a moment."""
    statement = select(orders.c.order_id).where(orders.c.source == source, orders.c.first_seen_at <= until)
    return list(connection.scalars(statement))


def was_told_of(connection: Connection, source: str, order_id: str, *, until: datetime) -> bool:
    """Whether something arrived about an order until a moment, be it that it could not be read."""
    mine = (deliveries.c.source == source, deliveries.c.order_id == order_id, deliveries.c.received_at <= until)
    return bool(connection.scalar(select(exists().where(*mine))))


def put_off_received(connection: Connection, source: str, order_id: str, *, until: datetime) -> None:
    """Let the hints nobody has taken yet wait a moment, so that a storm of them shares one fetch.

    One that is being taken right now is left to whoever takes it: waiting for it could be for each other.
    """
    open_ones = (
        select(deliveries.c.id)
        .where(
            deliveries.c.source == source,
            deliveries.c.order_id == order_id,
            deliveries.c.state == DeliveryState.RECEIVED,
            deliveries.c.next_attempt_at.is_(None),
        )
        .with_for_update(skip_locked=True)
    )
    connection.execute(
        update(deliveries).where(deliveries.c.id.in_(open_ones)).values(next_attempt_at=until, dispatched_at=None)
    )


def fetched_at(connection: Connection, source: str, order_id: str) -> datetime:
    """When the request for the order's newest recorded content was sent."""
    return cast(
        "datetime",
        connection.scalar(select(orders.c.fetched_at).where(orders.c.source == source, orders.c.order_id == order_id)),
    )


def delivery_state(connection: Connection, delivery_id: str) -> Row[*tuple[Any, ...]]:
    """A delivery's `state`, `reason` and `note`."""
    return connection.execute(
        select(deliveries.c.state, deliveries.c.reason, deliveries.c.note).where(deliveries.c.id == delivery_id)
    ).one()
