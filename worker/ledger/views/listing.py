"""The read side: listings of runs, orders and deliveries, and one of each in full, as records.

The command line, the JSON API and the operator's page are made from the same records.
Nothing here writes. Listings read page by page along an index, and count nothing beyond their page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, select

from worker.errors import NotInLedgerError
from worker.ledger.orders.catalog import product_names
from worker.ledger.orders.operator_entries import named_now, notes_of
from worker.ledger.states import Outcome
from worker.ledger.tables.runs import attempts, deliveries, events, order_versions, orders, runs, steps
from worker.ledger.views.overview import status
from worker.ledger.views.paging import between, pages, state_in, unindexed
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
    members_of,
)
from worker.ledger.views.timeline import subscription_line
from worker.settings.settings import SOURCES
from worker.sources.order import email_key

__all__ = [
    "list_deliveries",
    "list_orders",
    "list_runs",
    "show_delivery",
    "show_order",
    "show_run",
    "status",
]

FAILED_OUTCOMES = (Outcome.RETRYABLE, Outcome.UNKNOWN, Outcome.FINAL)
"""How an attempt ends that did not work."""


def list_runs(
    connection: Connection,
    *,
    states: Sequence[str] = (),
    source: str | None = None,
    reason: str | None = None,
    email: str | None = None,
    order_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int | None = None,
    after: str | None = None,
) -> Iterator[RunItem]:
    """Runs, newest first, as they are read.

    `since` (inclusive) and `until` (exclusive) bound `created_at`. `after` is the last run's id of the page before;
    `NotInLedgerError` when there is none of that id. `attempts` counts every try of every call and lookup,
    `failed_attempts` those that did not work.
    """
    conditions: list[ColumnElement[bool]] = []
    if order_id is not None:
        # The index begins with the source.
        conditions += [runs.c.order_id == order_id, runs.c.source.in_(SOURCES if source is None else (source,))]
    elif source is not None:
        conditions.append(unindexed(connection, runs.c.source) == source)
    if email is not None:
        conditions.append(runs.c.email_key == email_key(email))
    if reason is not None:
        conditions.append(runs.c.reason == reason)
    if states:
        conditions.append(state_in(connection, runs, states))
    query = select(*RUN_COLUMNS).where(*conditions, *between(runs.c.created_at, since, until))
    mark = None
    if after is not None:
        mark = connection.execute(select(runs.c.created_at, runs.c.id).where(runs.c.id == after)).one_or_none()
        if mark is None:
            raise NotInLedgerError(f"There is no run {after} to go on after.")
    for page in pages(connection, query, (runs.c.created_at, runs.c.id), limit=limit, mark=mark):
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
        tries.setdefault(attempt.step, []).append(AttemptItem.of(attempt))
    planned = connection.execute(select(steps).where(steps.c.run_id == run_id).order_by(steps.c.position))
    shown = [
        StepItem(
            name=step.name,
            state=step.state,
            output=step.output or {},
            finished_at=step.finished_at,
            attempts=tries.pop(step.name, []),
        )
        for step in planned
    ]
    shown += [
        StepItem(name=name, state="removed", output={}, finished_at=None, attempts=rest) for name, rest in tries.items()
    ]
    outcomes = [attempt.outcome for step in shown for attempt in step.attempts]
    failed = sum(outcome in FAILED_OUTCOMES for outcome in outcomes)
    return RunDetail(
        **members_of(RunItem.of(row, len(outcomes), failed_attempts=failed)),
        learner=row.learner,
        delivery_id=row.delivery_id,
        cancel_reason=row.cancel_reason,
        lease_holder=row.lease_holder,
        lease_until=row.lease_until,
        lane_shut_until=row.lane_shut_until,
        steps=shown,
        events=_events(connection, events.c.run_id == run_id),
    )


def list_orders(
    connection: Connection,
    *,
    states: Sequence[str] = (),
    source: str | None = None,
    reason: str | None = None,
    email: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int | None = None,
    after: str | None = None,
) -> Iterator[OrderItem]:
    """Orders, those with the latest news first. `since` and `until` bound `updated_at`; `email` is the buyer's.

    `after` is `SOURCE/ORDER` of the last one of the page before; `NotInLedgerError` when there is none.
    """
    conditions: list[ColumnElement[bool]] = []
    if source is not None:
        conditions.append(unindexed(connection, orders.c.source) == source)
    if email is not None:
        conditions.append(orders.c.buyer_email_key == email_key(email))
    if reason is not None:
        conditions.append(orders.c.reason == reason)
    if states:
        conditions.append(state_in(connection, orders, states))
    query = select(*ORDER_COLUMNS).where(*conditions, *between(orders.c.updated_at, since, until))
    mark = None
    if after is not None:
        after_source, _, after_id = after.partition("/")
        mark = connection.execute(
            select(orders.c.updated_at, orders.c.source, orders.c.order_id).where(
                orders.c.source == after_source, orders.c.order_id == after_id
            )
        ).one_or_none()
        if mark is None:
            raise NotInLedgerError(f"There is no order {after} to go on after.")
    columns = (orders.c.updated_at, orders.c.source, orders.c.order_id)
    for page in pages(connection, query, columns, limit=limit, mark=mark):
        for row in page:
            yield OrderItem.of(row)


def show_order(connection: Connection, source: str, order_id: str) -> OrderDetail:
    """One order with its lines, the versions seen of it, its runs, deliveries and events. Raises `NotInLedgerError`."""
    row = connection.execute(
        select(orders).where(orders.c.source == source, orders.c.order_id == order_id)
    ).one_or_none()
    if row is None:
        raise NotInLedgerError(f"There is no order {source}/{order_id}.")
    versions = connection.execute(
        select(
            order_versions.c.number,
            order_versions.c.content_hash,
            order_versions.c.delivery_id,
            order_versions.c.seen_at,
        )
        .where(order_versions.c.source == source, order_versions.c.order_id == order_id)
        .order_by(order_versions.c.number)
    )
    trail = _events(connection, events.c.source == source, events.c.order_id == order_id)
    changed = {event.detail["version"]: event.detail.get("changes", []) for event in trail if "version" in event.detail}
    return OrderDetail(
        **members_of(OrderItem.of(row)),
        subscription=subscription_line(connection, source, order_id),
        lines=_lines(connection, source, (row.document or {}).get("lines", [])),
        versions=[
            VersionItem(
                number=version.number,
                content_hash=version.content_hash,
                delivery_id=version.delivery_id,
                seen_at=version.seen_at,
                changes=changed.get(version.number, []),
            )
            for version in versions
        ],
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
    connection: Connection,
    *,
    states: Sequence[str] = (),
    source: str | None = None,
    reason: str | None = None,
    order_id: str | None = None,
    via: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int | None = None,
    after: str | None = None,
) -> Iterator[DeliveryItem]:
    """Deliveries, newest first. `since` and `until` bound `received_at`.

    `after` is the last one's id of the page before; `NotInLedgerError` when there is none.
    """
    conditions: list[ColumnElement[bool]] = []
    if order_id is not None:
        conditions += [
            deliveries.c.order_id == order_id,
            deliveries.c.source.in_(SOURCES if source is None else (source,)),
        ]
    elif source is not None:
        conditions.append(unindexed(connection, deliveries.c.source) == source)
    if via is not None:
        conditions.append(deliveries.c.via == via)
    if reason is not None:
        conditions.append(deliveries.c.reason == reason)
    if states:
        conditions.append(state_in(connection, deliveries, states))
    query = select(*DELIVERY_COLUMNS).where(*conditions, *between(deliveries.c.received_at, since, until))
    mark = None
    if after is not None:
        mark = connection.execute(
            select(deliveries.c.received_at, deliveries.c.id).where(deliveries.c.id == after)
        ).one_or_none()
        if mark is None:
            raise NotInLedgerError(f"There is no delivery {after} to go on after.")
    for page in pages(connection, query, (deliveries.c.received_at, deliveries.c.id), limit=limit, mark=mark):
        for row in page:
            yield DeliveryItem.of(row)


def show_delivery(connection: Connection, delivery_id: str) -> DeliveryDetail:
    """One delivery, with its order (None while it is not known) and the runs it caused. Raises `NotInLedgerError`."""
    row = connection.execute(select(*DELIVERY_COLUMNS).where(deliveries.c.id == delivery_id)).one_or_none()
    if row is None:
        raise NotInLedgerError(f"There is no delivery {delivery_id}.")
    order = connection.execute(
        select(*ORDER_COLUMNS).where(orders.c.source == row.source, orders.c.order_id == row.order_id)
    ).one_or_none()
    caused = select(runs.c.id).where(
        runs.c.source == row.source, runs.c.order_id == row.order_id, runs.c.delivery_id == delivery_id
    )
    return DeliveryDetail(
        **members_of(DeliveryItem.of(row)),
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
