"""Subscriptions in the ledger: their rows, whose orders are whose, and what is due to be looked at by them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Result, Select, Table, and_, exists, func, or_, select, update

from worker.ledger.sql import columns_of, insert_ignoring, record_of, rows_among
from worker.ledger.states import RunState
from worker.ledger.tables.runs import orders, runs
from worker.ledger.tables.subscriptions import subscription_orders, subscriptions
from worker.sources.order import email_key
from worker.sources.subscription import Subscription

_LATE_COMMIT = timedelta(minutes=10)
"""A run's end may become visible so long after the moment it bears."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSubscription:
    """A subscription as last read; what the columns hold stands with the table."""

    source: str
    subscription_id: str
    buyer_email_key: str
    initial_order_id: str | None
    document: dict[str, Any]
    content_hash: str
    live_at: datetime | None
    ended_reason: str | None
    ended_at: datetime | None
    resumed_at: datetime | None
    told_reason: str | None
    fetched_at: datetime


_READ = select(*columns_of(RecordedSubscription, subscriptions))


def content_hash(subscription: Subscription) -> str:
    """Changes when anything we read from the subscription's record changes."""
    document = json.dumps(subscription.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()[:32]


def polled_hashes(connection: Connection, source: str, subscription_ids: Sequence[str]) -> dict[str, str | None]:
    """The content a poll last saw of these subscriptions, by id; those the ledger does not know are left out."""
    name = subscriptions.c.subscription_id
    statement = select(name, subscriptions.c.polled_hash).where(subscriptions.c.source == source)
    return {row.subscription_id: row.polled_hash for row in rows_among(connection, statement, name, subscription_ids)}


def lock_subscription(
    connection: Connection, subscription: Subscription, *, fetched_at: datetime, now: datetime
) -> tuple[RecordedSubscription, bool]:
    """Lock the subscription's row until the transaction ends, making it first if it is new; and whether it was."""
    created = insert_ignoring(
        connection,
        subscriptions,
        {
            "source": subscription.source,
            "subscription_id": subscription.id,
            "status": subscription.status,
            "access": subscription.access,
            "buyer_email_key": "",
            "document": {},
            "content_hash": "",
            "first_seen_at": now,
            "fetched_at": fetched_at,
            "updated_at": now,
        },
    )
    row = lock_row(connection, subscription.source, subscription.id)
    if row is None:  # it was there or was made, and nobody deletes it meanwhile
        raise LookupError(subscription.id)
    return row, created


def lock_row(connection: Connection, source: str, subscription_id: str) -> RecordedSubscription | None:
    """The subscription's row, locked until the transaction ends; None if the ledger does not know it."""
    of_subscription = (subscriptions.c.source == source, subscriptions.c.subscription_id == subscription_id)
    return _one(connection.execute(_READ.where(*of_subscription).with_for_update()))


def write_content(connection: Connection, subscription: Subscription, *, hashed: str, now: datetime) -> None:
    """Write a subscription's content, and that its orders are still to be planned by it."""
    update_subscription(
        connection,
        subscription.source,
        subscription.id,
        status=subscription.status,
        access=subscription.access,
        product_id=subscription.product_id,
        buyer_email_key=email_key(subscription.buyer_email),
        next_bill_on=_day(subscription.next_bill_on),
        canceled_on=_day(subscription.canceled_on),
        period_ends_on=_day(subscription.period_ends_on),
        # Its buyer's address is kept in one place.
        document=subscription.model_dump(mode="json", exclude={"buyer_email", "is_partial"}),
        content_hash=hashed,
        judged_at=None,
        updated_at=now,
    )
    for order_id in sorted(invoice.order_id for invoice in subscription.invoices or ()):
        add_order(connection, subscription.source, order_id=order_id, subscription_id=subscription.id)


def add_order(connection: Connection, source: str, *, order_id: str, subscription_id: str) -> None:
    """Note that an order is one of a subscription's, which the ledger may not know yet. The first word counts."""
    values = {"source": source, "order_id": order_id, "subscription_id": subscription_id}
    insert_ignoring(connection, subscription_orders, values)


def row_of(connection: Connection, source: str, subscription_id: str) -> RecordedSubscription | None:
    """The subscription's row, not locked; None if the ledger does not know it."""
    of_subscription = (subscriptions.c.source == source, subscriptions.c.subscription_id == subscription_id)
    return _one(connection.execute(_READ.where(*of_subscription)))


def _day(day: object) -> str | None:
    return None if day is None else str(day)


def update_subscription(connection: Connection, source: str, subscription_id: str, **values: Any) -> None:
    """Set columns of a subscription's row."""
    of_subscription = (subscriptions.c.source == source, subscriptions.c.subscription_id == subscription_id)
    connection.execute(update(subscriptions).where(*of_subscription).values(**values))


def note_judged(connection: Connection, source: str, subscription_id: str, *, now: datetime) -> None:
    """Note that a subscription's orders are planned by it, and by what their runs had come to."""
    update_subscription(connection, source, subscription_id, judged_at=now - _LATE_COMMIT)


def subscription_of(connection: Connection, source: str, order_id: str) -> RecordedSubscription | None:
    """The row of the subscription that lists this order, or that it names; None if the ledger knows none."""
    listed = _READ.join(
        subscription_orders,
        and_(
            subscription_orders.c.source == subscriptions.c.source,
            subscription_orders.c.subscription_id == subscriptions.c.subscription_id,
        ),
    )
    of_order = (subscription_orders.c.source == source, subscription_orders.c.order_id == order_id)
    return _one(connection.execute(listed.where(*of_order)))


def _one(found: Result[Any]) -> RecordedSubscription | None:
    row = found.one_or_none()
    return None if row is None else record_of(RecordedSubscription, row)


def initial_order_of(connection: Connection, source: str, subscription_id: str) -> str | None:
    """The order that a subscription's purchase is; None while none is chosen, or for one the ledger does not know."""
    of_subscription = (subscriptions.c.source == source, subscriptions.c.subscription_id == subscription_id)
    found: str | None = connection.scalar(select(subscriptions.c.initial_order_id).where(*of_subscription))
    return found


def subscriptions_of_buyer(
    connection: Connection, source: str, email: str, product_id: str
) -> list[RecordedSubscription]:
    """A buyer's subscriptions to a product."""
    found = connection.execute(
        _READ.where(
            subscriptions.c.source == source,
            subscriptions.c.buyer_email_key == email_key(email),
            subscriptions.c.product_id == product_id,
        )
    )
    return [record_of(RecordedSubscription, row) for row in found]


def orders_of(connection: Connection, source: str, subscription_id: str) -> list[str]:
    """The orders of a subscription that the ledger holds, sorted as every transaction locks orders."""
    return sorted(connection.scalars(_listed(orders, source, subscription_id).where(orders.c.version > 0)))


def orders_with_access(connection: Connection, source: str, subscription_id: str) -> list[str]:
    """The orders of a subscription that gave access."""
    return list(connection.scalars(_listed(runs, source, subscription_id).where(*_gave_access()).distinct()))


def _listed(table: Table, source: str, subscription_id: str) -> Select[tuple[str]]:
    """The orders of a subscription that a table has rows of."""
    of_subscription = (subscription_orders.c.source == source, subscription_orders.c.subscription_id == subscription_id)
    of_order = and_(subscription_orders.c.source == table.c.source, subscription_orders.c.order_id == table.c.order_id)
    return select(table.c.order_id).join(subscription_orders, of_order).where(*of_subscription)


def to_judge(connection: Connection, source: str, *, limit: int) -> list[str]:
    """The subscriptions by which orders are still to be planned: their news is not applied yet, or, where they have
    ended, one of their orders gave access since that was last done.
    """
    gave_since = exists().where(
        subscription_orders.c.source == subscriptions.c.source,
        subscription_orders.c.subscription_id == subscriptions.c.subscription_id,
        runs.c.source == subscription_orders.c.source,
        runs.c.order_id == subscription_orders.c.order_id,
        *_gave_access(),
        runs.c.finished_at > subscriptions.c.judged_at,
    )
    due = or_(subscriptions.c.judged_at.is_(None), and_(subscriptions.c.ended_reason.is_not(None), gave_since))
    statement = (
        select(subscriptions.c.subscription_id)
        .where(subscriptions.c.source == source, due)
        .order_by(subscriptions.c.subscription_id)
        .limit(limit)
    )
    return list(connection.scalars(statement))


def _gave_access() -> tuple[Any, ...]:
    return (runs.c.workflow == "enrolment", runs.c.state == RunState.SUCCEEDED, runs.c.grant.is_not(None))


def subscriptions_bought(connection: Connection, email: str) -> int:
    """How many subscriptions name this buyer, of any source."""
    of_buyer = subscriptions.c.buyer_email_key == email_key(email)
    return connection.scalar(select(func.count()).select_from(subscriptions).where(of_buyer)) or 0


def forget_buyer(connection: Connection, email: str) -> int:
    """Take a buyer's address out of their subscriptions; how many there were."""
    of_buyer = subscriptions.c.buyer_email_key == email_key(email)
    return connection.execute(update(subscriptions).where(of_buyer).values(buyer_email_key="")).rowcount
