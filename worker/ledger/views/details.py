"""One run, one order and one delivery in full, as records: what the listings give of it, and all that hangs on it.

Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, Row, select

from worker.errors import NotInLedgerError
from worker.ledger.keys import is_of_order
from worker.ledger.orders.catalog import product_names
from worker.ledger.orders.operator_entries import NoteItem, named_now, notes_of
from worker.ledger.sql import columns_of, record_of
from worker.ledger.tables.runs import attempts, deliveries, events, order_versions, orders, runs, steps
from worker.ledger.views.listing import FAILED_OUTCOMES, list_deliveries, list_runs
from worker.ledger.views.records import DELIVERY_COLUMNS, ORDER_COLUMNS, DeliveryItem, OrderItem, OrderOfStory, RunItem
from worker.ledger.views.timeline import subscription_line


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptItem:
    """One try of a call or a lookup. Without an outcome, the request was or may have been sent."""

    number: int
    kind: str
    generation: int
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    http_status: int | None
    error: str | None
    reference: str | None
    result_id: str | None
    holder: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepItem:
    """One step of a run, with every try of it."""

    name: str
    state: str
    output: dict[str, Any]
    finished_at: datetime | None
    attempts: list[AttemptItem]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventItem:
    """One line of the audit trail."""

    at: datetime
    kind: str
    actor: str
    run_id: str | None
    reason: str | None
    detail: dict[str, Any]

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        """From a row of `events`."""
        return record_of(cls, row, detail=row.detail or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetail(RunItem):
    """One run in full: with its steps, their attempts, and its events."""

    learner: dict[str, Any] | None
    delivery_id: str | None
    cancel_reason: str | None
    lease_holder: str | None
    lease_until: datetime | None
    lane_shut_until: datetime | None
    steps: list[StepItem]
    events: list[EventItem]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatItem:
    """One place on one line, as the source's record was read; `hold` says why it cannot be provisioned."""

    id: str
    learner: dict[str, Any] | None
    hold: str | None
    note: str
    course_date_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineItem:
    """One order line and its seats; `product` by every name that an offer may use for it."""

    id: str
    title: str
    product: dict[str, str | None]
    seats: list[SeatItem]

    @classmethod
    def of(cls, line: Mapping[str, Any], title: str) -> Self:
        """From a line of an order's stored document, which an older version may have written."""
        return cls(
            id=line["id"],
            title=title,
            product=dict(line.get("product") or {}),
            seats=[
                SeatItem(
                    id=seat["id"],
                    learner=seat.get("learner"),
                    hold=seat.get("hold"),
                    note=seat.get("note", ""),
                    course_date_id=seat.get("course_date_id"),
                )
                for seat in line.get("seats", ())
            ],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionItem:
    """One version of an order, and which of its fields changed with it."""

    number: int
    content_hash: str
    delivery_id: str | None
    seen_at: datetime
    changes: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDetail(OrderOfStory):
    """One order in full: its lines, the versions seen of it, its runs, deliveries, notes and events."""

    lines: list[LineItem]
    versions: list[VersionItem]
    runs: list[RunItem]
    deliveries: list[DeliveryItem]
    notes: list[NoteItem]
    events: list[EventItem]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryDetail(DeliveryItem):
    """One delivery in full; `order` is null while the order is not known."""

    order: OrderItem | None
    run_ids: list[str]
    events: list[EventItem]


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


def _events(connection: Connection, *conditions: ColumnElement[bool]) -> list[EventItem]:
    found = connection.execute(select(events).where(*conditions).order_by(events.c.id))
    return [EventItem.of(row) for row in found]
