"""The read side: listings of runs, orders and deliveries, and one of each in full, as records.

The command line, the JSON API and the operator's page are made from the same records.
Nothing here writes. Listings read page by page along an index, and count nothing beyond their page.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Unpack

from sqlalchemy import ColumnElement, Connection, case, func, select

from worker.errors import NotInLedgerError
from worker.ledger.keys import is_of_order
from worker.ledger.orders.catalog import product_names
from worker.ledger.orders.operator_entries import named_now, notes_of
from worker.ledger.sql import columns_of, record_of
from worker.ledger.states import Outcome
from worker.ledger.tables.runs import attempts, deliveries, events, order_versions, orders, runs, steps
from worker.ledger.views.paging import Filters, chosen, mark_of, pages
from worker.ledger.views.records import (
    DELIVERY_COLUMNS,
    ORDER_COLUMNS,
    RUN_COLUMNS,
    AttemptItem,
    DeliveryDetail,
    DeliveryItem,
    EventItem,
    LineItem,
    OrderDetail,
    OrderItem,
    RunDetail,
    RunItem,
    StepItem,
    VersionItem,
)
from worker.ledger.views.timeline import subscription_line

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


def show_run(connection: Connection, run_id: str) -> RunDetail:
    """One run with its steps, their attempts and its events, oldest first. Raises `NotInLedgerError`.

    A step that is no longer planned (its offer's groups were changed) is kept, as `removed`, for its attempts.
    """
    row = connection.execute(select(runs).where(runs.c.id == run_id)).one_or_none()
    if row is None:
        raise NotInLedgerError(f"There is no run {run_id}.")
    tries: dict[str, list[AttemptItem]] = {}
    found = connection.execute(select(attempts).where(attempts.c.run_id == run_id).order_by(attempts.c.number))
    for attempt in found:
        tries.setdefault(attempt.step, []).append(record_of(AttemptItem, attempt))
    planned = connection.execute(select(steps).where(steps.c.run_id == run_id).order_by(steps.c.position))
    shown = [record_of(StepItem, step, output=step.output or {}, attempts=tries.pop(step.name, [])) for step in planned]
    shown += [
        StepItem(name=name, state="removed", output={}, finished_at=None, attempts=rest) for name, rest in tries.items()
    ]
    outcomes = [attempt.outcome for step in shown for attempt in step.attempts]
    failed = sum(outcome in FAILED_OUTCOMES for outcome in outcomes)
    trail = _events(connection, events.c.run_id == run_id)
    return RunDetail.of(row, len(outcomes), failed_attempts=failed, steps=shown, events=trail)


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


def show_order(connection: Connection, source: str, order_id: str) -> OrderDetail:
    """One order with its lines, the versions seen of it, its runs, deliveries and events. Raises `NotInLedgerError`."""
    row = connection.execute(select(orders).where(is_of_order(orders, source, order_id))).one_or_none()
    if row is None:
        raise NotInLedgerError(f"There is no order {source}/{order_id}.")
    versions = connection.execute(
        select(*columns_of(VersionItem, order_versions))
        .where(is_of_order(order_versions, source, order_id))
        .order_by(order_versions.c.number)
    )
    trail = _events(connection, is_of_order(events, source, order_id))
    changed = {event.detail["version"]: event.detail.get("changes", []) for event in trail if "version" in event.detail}
    return OrderDetail.of(
        row,
        subscription=subscription_line(connection, source, order_id),
        lines=_lines(connection, source, (row.document or {}).get("lines", [])),
        versions=[record_of(VersionItem, row, changes=changed.get(row.number, [])) for row in versions],
        runs=list(list_runs(connection, source=source, order_id=order_id)),
        deliveries=list(list_deliveries(connection, source=source, order_id=order_id)),
        notes=notes_of(connection, [(source, order_id)]),
        events=trail,
    )


def named_seats_of(connection: Connection, order: OrderDetail) -> dict[tuple[str, str], str]:
    """The addresses that operators gave the order's seats, by line and seat; `lines` has what the source says."""
    places = {(line.id, seat.id): seat.learner for line in order.lines for seat in line.seats}
    return named_now(connection, order.source, order.order_id, places)


def _lines(connection: Connection, source: str, lines: list[dict[str, Any]]) -> list[LineItem]:
    """The lines; those whose source sends a product's number alone have the name it gives that product elsewhere."""
    numbers = {
        line["id"]: (line.get("product") or {}).get("product_id") or "" for line in lines if not line.get("title")
    }
    names = product_names(connection, source, set(numbers.values()) - {""})
    return [LineItem.of(line, line.get("title") or names.get(numbers[line["id"]], "")) for line in lines]


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


def show_delivery(connection: Connection, delivery_id: str) -> DeliveryDetail:
    """One delivery, with its order (None while it is not known) and the runs it caused. Raises `NotInLedgerError`."""
    row = connection.execute(select(*DELIVERY_COLUMNS).where(deliveries.c.id == delivery_id)).one_or_none()
    if row is None:
        raise NotInLedgerError(f"There is no delivery {delivery_id}.")
    order = connection.execute(
        select(*ORDER_COLUMNS).where(is_of_order(orders, row.source, row.order_id))
    ).one_or_none()
    caused = select(runs.c.id).where(is_of_order(runs, row.source, row.order_id), runs.c.delivery_id == delivery_id)
    return DeliveryDetail.of(
        row,
        order=OrderItem.of(order) if order is not None else None,
        run_ids=list(connection.scalars(caused.order_by(runs.c.id))),
        events=_events(
            connection,
            events.c.source == row.source,
            events.c.order_id == row.order_id,
            events.c.delivery_id == delivery_id,
        ),
    )


def _attempt_counts(connection: Connection, run_ids: list[str]) -> dict[str, tuple[int, int]]:
    """All attempts of each run, and those that failed."""
    failed = func.count(case((attempts.c.outcome.in_(FAILED_OUTCOMES), 1)))
    counted = (
        select(attempts.c.run_id, func.count().label("tries"), failed.label("failed"))
        .where(attempts.c.run_id.in_(run_ids))
        .group_by(attempts.c.run_id)
    )
    return {row.run_id: (row.tries, row.failed) for row in connection.execute(counted)}


def _events(connection: Connection, *conditions: ColumnElement[bool]) -> list[EventItem]:
    found = connection.execute(select(events).where(*conditions).order_by(events.c.id))
    return [EventItem.of(row) for row in found]
