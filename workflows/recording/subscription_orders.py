"""A subscription's orders planned by what became of it, in one transaction."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from worker.ledger.events import record_event
from worker.ledger.orders import order_rows, subscription_rows
from worker.ledger.orders.recorded_orders import lock_orders
from worker.ledger.orders.subscription_rows import RecordedSubscription
from worker.ledger.states import Actor
from worker.reasons import Reason
from workflows.planning.offers import Offers
from workflows.recording.order_recording import Look, record_orders
from workflows.recording.source_start import note_contact
from workflows.recording.subscription_status import SubscriptionRules, stored

_KINDS: dict[str | None, str] = {None: "subscription_goes_on", Reason.UNKNOWN_STATUS: "subscription_unclear"}


def plan_orders_of(
    connection: Connection,
    source: str,
    subscription_id: str,
    offers: Offers,
    *,
    rules: SubscriptionRules,
    start_at: datetime | None,
    now: datetime,
) -> list[str]:
    """Plan the orders of a subscription that the ledger holds, from their recorded content; the runs that are due."""
    ready: list[str] = []
    note_contact(connection, source, now=now, start_at=start_at)
    row = subscription_rows.lock_row(connection, source, subscription_id)
    ids = subscription_rows.orders_of(connection, source, subscription_id)
    found = [(order_id, order_rows.load_order(connection, source, order_id)) for order_id in ids]
    readable = {order_id: order for order_id, order in found if order is not None}
    fetched = {order_id: order_rows.fetched_at(connection, source, order_id) for order_id in readable}
    lock_orders(connection, source, list(readable))  # all of them before any learner, as everywhere
    seen = [(order, Look(fetched_at=fetched[order_id], actor=Actor.SOURCE)) for order_id, order in readable.items()]
    for recorded in record_orders(connection, seen, offers, now=now, start_at=start_at, rules=rules):
        ready += recorded.ready
    if row is not None:
        _tell(connection, row, now)
        subscription_rows.note_judged(connection, source, subscription_id, now=now)
    return ready


def _tell(connection: Connection, row: RecordedSubscription, now: datetime) -> None:
    """Write an end, and its being over, into the history of the order whose access it is about, once each.

    Or a status that nobody has ruled on.
    """
    gave = subscription_rows.orders_with_access(connection, row.source, row.subscription_id)
    if not gave or row.ended_reason == row.told_reason:
        return
    subscription = stored(row)
    record_event(
        connection,
        at=now,
        kind=_KINDS.get(row.ended_reason, "subscription_ended"),
        actor=Actor.SOURCE,
        source=row.source,
        order_id=max(gave, key=int),
        reason=row.ended_reason,
        detail={
            "subscription_id": subscription.id,
            "status": subscription.status,
            "paid_until": None if subscription.period_ends_on is None else str(subscription.period_ends_on),
        },
    )
    subscription_rows.update_subscription(connection, row.source, row.subscription_id, told_reason=row.ended_reason)
