"""The read side: listings of runs, orders and deliveries, as records. One of each in full is in `details`.

The command line, the JSON API and the operator's page are made from the same records.
Nothing here writes. Listings read page by page along an index, and count nothing beyond their page.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Unpack

from sqlalchemy import Connection, case, func, select

from worker.ledger.states import Outcome
from worker.ledger.tables.runs import attempts, deliveries, orders, runs
from worker.ledger.views.paging import Filters, chosen, mark_of, pages
from worker.ledger.views.records import (
    DELIVERY_COLUMNS,
    ORDER_COLUMNS,
    RUN_COLUMNS,
    DeliveryItem,
    OrderItem,
    RunItem,
)

FAILED_OUTCOMES = (Outcome.RETRYABLE, Outcome.UNKNOWN, Outcome.FINAL)
"""How an attempt ends that did not work."""
NEWEST_RUNS = (runs.c.created_at, runs.c.id)
"""What orders runs and tells them apart."""


class RunFilters(Filters, total=False):
    """Which runs are listed; `email` is the learner's."""

    email: str | None
    order_id: str | None


class OrderFilters(Filters, total=False):
    """Which orders are listed; `email` is the buyer's."""

    email: str | None


class DeliveryFilters(Filters, total=False):
    """Which deliveries are listed."""

    order_id: str | None
    via: str | None


def list_runs(
    connection: Connection, *, limit: int | None = None, after: str | None = None, **filters: Unpack[RunFilters]
) -> Iterator[RunItem]:
    """Runs, newest first, as they are read.

    `since` (inclusive) and `until` (exclusive) bound `created_at`. `after` is the last run's id of the page before;
    `NotInLedgerError` when there is none of that id. `attempts` counts every try of every call and lookup,
    `failed_attempts` those that did not work.
    """
    query = select(*RUN_COLUMNS).where(*chosen(connection, filters, runs.c.created_at, email=runs.c.email_key))
    mark = mark_of(connection, "run", after, NEWEST_RUNS, runs.c.id == after)
    for page in pages(connection, query, NEWEST_RUNS, limit=limit, mark=mark):
        counts = _attempt_counts(connection, [row.id for row in page])
        for row in page:
            tries, failed = counts.get(row.id, (0, 0))
            yield RunItem.of(row, tries, failed_attempts=failed)


def list_orders(
    connection: Connection, *, limit: int | None = None, after: str | None = None, **filters: Unpack[OrderFilters]
) -> Iterator[OrderItem]:
    """Orders, those with the latest news first. `since` and `until` bound `updated_at`; `email` is the buyer's.

    `after` is `SOURCE/ORDER` of the last one of the page before; `NotInLedgerError` when there is none.
    """
    wanted = chosen(connection, filters, orders.c.updated_at, email=orders.c.buyer_email_key)
    query = select(*ORDER_COLUMNS).where(*wanted)
    columns = (orders.c.updated_at, orders.c.source, orders.c.order_id)
    after_source, _, after_id = (after or "").partition("/")
    is_row = (orders.c.source == after_source, orders.c.order_id == after_id)
    mark = mark_of(connection, "order", after, columns, *is_row)
    for page in pages(connection, query, columns, limit=limit, mark=mark):
        for row in page:
            yield OrderItem.of(row)


def list_deliveries(
    connection: Connection, *, limit: int | None = None, after: str | None = None, **filters: Unpack[DeliveryFilters]
) -> Iterator[DeliveryItem]:
    """Deliveries, newest first. `since` and `until` bound `received_at`.

    `after` is the last one's id of the page before; `NotInLedgerError` when there is none.
    """
    query = select(*DELIVERY_COLUMNS).where(*chosen(connection, filters, deliveries.c.received_at))
    columns = (deliveries.c.received_at, deliveries.c.id)
    mark = mark_of(connection, "delivery", after, columns, deliveries.c.id == after)
    for page in pages(connection, query, columns, limit=limit, mark=mark):
        for row in page:
            yield DeliveryItem.of(row)


def _attempt_counts(connection: Connection, run_ids: list[str]) -> dict[str, tuple[int, int]]:
    """All attempts of each run, and those that failed."""
    failed = func.count(case((attempts.c.outcome.in_(FAILED_OUTCOMES), 1)))
    counted = (
        select(attempts.c.run_id, func.count().label("tries"), failed.label("failed"))
        .where(attempts.c.run_id.in_(run_ids))
        .group_by(attempts.c.run_id)
    )
    return {row.run_id: (row.tries, row.failed) for row in connection.execute(counted)}
