"""What planning asks of the ledger beside an order's row, in one statement: mostly, that there is nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Final

from sqlalchemy import ColumnElement, Connection, Exists, Table, bindparam, exists, select

from worker.ledger.orders.source_cursors import SourceCursor
from worker.ledger.sql import columns_of, record_of
from worker.ledger.states import DeliveryState
from worker.ledger.tables.learners import erasures
from worker.ledger.tables.operator_entries import named_seats
from worker.ledger.tables.runs import cursors, deliveries, runs
from worker.ledger.tables.subscriptions import subscription_orders


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFacts:
    """Whether there is anything to be read of some orders of one source: each is about any of them."""

    has_erasures: bool
    """Somebody was forgotten, of whatever order."""
    has_runs: bool
    has_people_known: bool
    """One of their learners has runs, of whatever order."""
    has_named_seats: bool
    has_subscriptions: bool
    has_reviews: bool
    """Deliveries of theirs are in review."""
    has_early_deliveries: bool
    """Deliveries of theirs came before the first sweep was complete."""


ANYTHING: Final = OrderFacts(**{each.name: True for each in fields(OrderFacts)})
"""What is asked for where nobody has looked."""


def order_facts(
    connection: Connection, source: str, order_ids: Collection[str], email_keys: Collection[str]
) -> tuple[SourceCursor, OrderFacts] | None:
    """The source's cursor, and what there is of these orders and their learners; None before its first contact."""
    asked = {"of_source": source, "order_ids": list(order_ids), "email_keys": list(email_keys)}
    row = connection.execute(_FACTS, asked).one_or_none()
    return None if row is None else (record_of(SourceCursor, row), record_of(OrderFacts, row))


def _any_of(table: Table, *conditions: ColumnElement[bool]) -> Exists:
    of_orders = table.c.order_id.in_(bindparam("order_ids", expanding=True))
    return exists().where(table.c.source == bindparam("of_source"), of_orders, *conditions)


_FACTS = select(
    *columns_of(SourceCursor, cursors),
    exists().where(erasures.c.id.is_not(None)).label("has_erasures"),
    _any_of(runs).label("has_runs"),
    exists().where(runs.c.email_key.in_(bindparam("email_keys", expanding=True))).label("has_people_known"),
    _any_of(named_seats).label("has_named_seats"),
    _any_of(subscription_orders).label("has_subscriptions"),
    _any_of(deliveries, deliveries.c.state == DeliveryState.REVIEW).label("has_reviews"),
    _any_of(deliveries, deliveries.c.received_at <= cursors.c.baseline_at).label("has_early_deliveries"),
).where(cursors.c.source == bindparam("of_source"))
