"""Records that cannot be read or recorded: each is a delivery in review until it reads again, and holds nobody up."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from worker.clients.unreadable import problem_of
from worker.errors import ApiError, ConfigurationError, LeaseLostError
from worker.ledger.events import without_people
from worker.ledger.orders import order_rows
from worker.ledger.session import Ledger
from worker.ledger.states import Actor, DeliveryState, Via
from worker.ledger.tables.page_indexes import IN_REVIEW, by_index_of
from worker.ledger.tables.runs import deliveries
from worker.reasons import Reason
from worker.sources.source import Page, Unreadable
from workflows.execution.attempts import describe

log = logging.getLogger(__name__)

CONCERNS_ALL = (ApiError, ConfigurationError, LeaseLostError, OperationalError, InterfaceError)
"""Errors that say nothing about the order at hand: of a request, the offers, a lease, or the ledger itself."""
_FINGERPRINT = "unreadable"
"""The field of a delivery's body that tells records without an id from each other. It holds nothing of theirs."""


def describe_failure(
    error: Exception,
    ledger: Ledger,
    *,
    run_id: str | None = None,
    source: str | None = None,
    order_id: str | None = None,
) -> str:
    """Why a poll failed, or a look at what belongs to this run or order, in one line.

    A refusal may quote whom it is about: their people, and whoever else the ledger knows, are left out of it.
    """
    if isinstance(error, ApiError) and error.notice.message:
        try:
            with ledger.read() as connection:
                return without_people(connection, describe(error), run_id=run_id, source=source, order_id=order_id)
        except SQLAlchemyError:  # nobody knows then whom it names
            return f"{type(error).__name__}: {error.system} {error.operation} answered HTTP {error.status}"
    if isinstance(error, ApiError | LeaseLostError):
        return describe(error)
    if isinstance(error, ConfigurationError):
        return str(error)[:500]
    return f"Cartbridge itself failed: {problem_of(error)}. Please report it."[:500]


def set_aside(
    connection: Connection, source: str, found: Iterable[Unreadable], *, via: Via = Via.POLL, now: datetime
) -> list[Unreadable]:
    """Put each record into review that is not there yet; returns those. Safe to repeat with every poll."""
    by_name = {each.order_id or each.fingerprint: each for each in found}
    if not by_name:
        return []
    known = {row.order_id or (row.body or {}).get(_FINGERPRINT) for row in _open(connection, source)}
    fresh = [each for name, each in sorted(by_name.items()) if name not in known]
    for each in fresh:
        order_rows.insert_delivery(
            connection,
            source=source,
            order_id=each.order_id,
            via=via,
            actor=Actor.SOURCE,
            now=now,
            state=DeliveryState.REVIEW,
            reason=Reason.RECORD_UNREADABLE,
            note=f"The record cannot be read: {each.problem}"[:500],
            body=None if each.order_id else {_FINGERPRINT: each.fingerprint},
        )
        log.warning("%s order %s was set aside: %s", source, each.order_id or "without an id", each.problem)
    return fresh


def settle_read(connection: Connection, page: Page, source: str, *, unread: Collection[str] = (), now: datetime) -> int:
    """Take the orders of a page, which was recorded without the `unread`, out of review again; returns how many."""
    read = {order.id for order in page.orders} - set(unread)
    return _settle(connection, [row.id for row in _open(connection, source) if row.order_id in read], now=now)


def settle_absent(connection: Connection, source: str, fingerprints: Collection[str], *, now: datetime) -> int:
    """Take records without an id out of review that a whole sweep did not meet again: they read now, or are gone."""
    absent = [
        row.id
        for row in _open(connection, source)
        if row.order_id is None and (row.body or {}).get(_FINGERPRINT) not in fingerprints
    ]
    return _settle(connection, absent, now=now)


def _open(connection: Connection, source: str) -> list[Row[str, str | None, dict[str, str] | None]]:
    statement = select(deliveries.c.id, deliveries.c.order_id, deliveries.c.body).where(
        deliveries.c.state == DeliveryState.REVIEW,
        deliveries.c.reason == Reason.RECORD_UNREADABLE,
        deliveries.c.source == source,
        by_index_of(connection, "deliveries", IN_REVIEW),
    )
    return list(connection.execute(statement).all())


def _settle(connection: Connection, delivery_ids: list[str], *, now: datetime) -> int:
    for delivery_id in delivery_ids:
        connection.execute(
            update(deliveries)
            .where(deliveries.c.id == delivery_id, deliveries.c.state == DeliveryState.REVIEW)
            .values(state=DeliveryState.PLANNED, reason=Reason.SETTLED_BY_SOURCE, body=None, finished_at=now)
        )
    return len(delivery_ids)
