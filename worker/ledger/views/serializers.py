"""How a row of the ledger is shown: plain JSON-able dicts, the same for the command line and the JSON API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row

from worker.actions import RUN, NextStep, explaining
from worker.advice import advice
from worker.ledger.tables.runs import deliveries, orders, runs

Shape = dict[str, Any]
"""Ids are strings, moments ISO 8601 in UTC ending in `Z`."""


def iso(moment: datetime | None) -> str | None:
    """A moment as ISO 8601 in UTC with a `Z`; None stays None."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


RUN_COLUMNS = tuple(
    runs.c[name]
    for name in [
        "id",
        "workflow",
        "key",
        "state",
        "reason",
        "source",
        "order_id",
        "completion_id",
        "line_id",
        "seat_id",
        "title",
        "email",
        "grant",
        "result_id",
        "parent_id",
        "generation",
        "note",
        "next_attempt_at",
        "created_at",
        "updated_at",
        "finished_at",
    ]
)
ORDER_COLUMNS = tuple(
    orders.c[name]
    for name in [
        "source",
        "order_id",
        "state",
        "reason",
        "status",
        "payment",
        "buyer_email",
        "buyer_name",
        "total_minor_units",
        "currency",
        "renewal",
        "before_start",
        "version",
        "created_at",
        "first_seen_at",
        "updated_at",
    ]
)
DELIVERY_COLUMNS = tuple(
    deliveries.c[name]
    for name in [
        "id",
        "source",
        "order_id",
        "via",
        "actor",
        "state",
        "reason",
        "note",
        "duplicate",
        "attempts",
        "received_at",
        "next_attempt_at",
        "finished_at",
    ]
)


def run_shape(row: Row[Any], attempt_count: int, *, failed_attempts: int = 0) -> Shape:
    """A run, with its reason explained. `attempts` counts every try of every call and lookup, `failed_attempts` those
    that did not work: 0 for a run without trouble.

    Either `order_id` or `completion_id` says what it belongs to; the other is None.
    """
    found = advice(row.reason, run_id=row.id, source=row.source, order_id=row.order_id)
    return {
        "id": row.id,
        "workflow": row.workflow,
        "key": row.key,
        "state": row.state,
        "reason": row.reason,
        "source": row.source,
        "order_id": row.order_id,
        "completion_id": row.completion_id,
        "line_id": row.line_id,
        "seat_id": row.seat_id,
        "title": row.title,
        "email": row.email,
        "grant": row.grant,
        "attempts": attempt_count,
        "failed_attempts": failed_attempts,
        "generation": row.generation,
        "result_id": row.result_id,
        "parent_id": row.parent_id,
        "note": row.note,
        "next_attempt_at": iso(row.next_attempt_at),
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "finished_at": iso(row.finished_at),
        "advice": found.sentence if found else None,
        "action": found.action if found else None,
    }


def attempt_shape(row: Row[Any]) -> Shape:
    """One try. `outcome` None: the request was or may have been sent, and nothing is known since."""
    return {
        "number": row.number,
        "kind": row.kind,
        "generation": row.generation,
        "started_at": iso(row.started_at),
        "finished_at": iso(row.finished_at),
        "outcome": row.outcome,
        "http_status": row.http_status,
        "error": row.error,
        "reference": row.reference,
        "result_id": row.result_id,
        "holder": row.holder,
    }


def order_shape(row: Row[Any]) -> Shape:
    """An order as last seen; `total` in the currency's minor units."""
    found = advice(row.reason, source=row.source, order_id=row.order_id)
    total = None
    if row.total_minor_units is not None:
        total = {"minor_units": row.total_minor_units, "currency": row.currency}
    return {
        "source": row.source,
        "order_id": row.order_id,
        "state": row.state,
        "reason": row.reason,
        "status": row.status,
        "payment": row.payment,
        "buyer_email": row.buyer_email,
        "buyer_name": row.buyer_name,
        "total": total,
        "renewal": row.renewal,
        "before_start": row.before_start,
        "version": row.version,
        "created_at": iso(row.created_at),
        "first_seen_at": iso(row.first_seen_at),
        "updated_at": iso(row.updated_at),
        "advice": found.sentence if found else None,
        "action": _of_an_order(found.step, row).text if found else None,
    }


def _of_an_order(step: NextStep, row: Row[Any]) -> NextStep:
    """What to do about an order: where a command needs a run's id, what shows its runs."""
    return (
        NextStep.of("See {explain}.", explain=explaining(f"{row.source}/{row.order_id}")) if step.needs(RUN) else step
    )


def delivery_shape(row: Row[Any]) -> Shape:
    """One arrival of news."""
    found = advice(row.reason, source=row.source, order_id=row.order_id)
    return {
        "id": row.id,
        "source": row.source,
        "order_id": row.order_id,
        "via": row.via,
        "actor": row.actor,
        "state": row.state,
        "reason": row.reason,
        "note": row.note,
        "duplicate": row.duplicate,
        "attempts": row.attempts,
        "received_at": iso(row.received_at),
        "next_attempt_at": iso(row.next_attempt_at),
        "finished_at": iso(row.finished_at),
        "advice": found.sentence if found else None,
        "action": found.action if found else None,
    }


def event_shape(row: Row[Any]) -> Shape:
    """One line of the audit trail."""
    return {
        "at": iso(row.at),
        "kind": row.kind,
        "actor": row.actor,
        "run_id": row.run_id,
        "reason": row.reason,
        "detail": row.detail,
    }
