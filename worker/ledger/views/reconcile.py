"""The ledger's side of a comparison: what it holds of a source's orders, and which effects it knows of."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, exists, func, or_, select

from worker.ledger.sql import record_of, rows_among
from worker.ledger.states import DeliveryState, OrderState, RunState, Via
from worker.ledger.tables.runs import Run, attempts, cursors, deliveries, events, orders, runs

FINDING = "reconcile_finding"
"""The kind of the events that findings are kept as."""
_SENT_BEFORE = timedelta(days=3)
"""So long before its effect was dated, in whatever zone, a request may have been sent."""


DOUBTED = "ledger_doubted"
"""The kind of the event that effects were found which only another ledger can know of."""


@dataclass(frozen=True)
class Intent:
    """A call that was or may have been sent under a reference."""

    run_id: str
    step: str
    number: int | None
    """The attempt's; None where the ledger has none, and the reference alone says whose call it was."""
    generation: int
    result_id: str | None
    """The effect it is known to have had."""


def orders_in_hand(connection: Connection, source: str, order_ids: Sequence[str]) -> set[str]:
    """Which of these orders have news that is not looked at yet: somebody is at it."""
    statement = select(deliveries.c.order_id).where(
        deliveries.c.source == source, deliveries.c.state.in_([DeliveryState.RECEIVED, DeliveryState.WAITING])
    )
    return {row.order_id for row in rows_among(connection, statement, deliveries.c.order_id, order_ids)}


def seats_with_runs(connection: Connection, source: str, order_ids: Sequence[str]) -> set[tuple[str, str, str]]:
    """The seats of these orders that have a run in any state, as `(order_id, line_id, seat_id)`."""
    statement = select(runs.c.order_id, runs.c.line_id, runs.c.seat_id).where(runs.c.source == source)
    found = rows_among(connection, statement, runs.c.order_id, order_ids)
    return {(row.order_id, row.line_id, row.seat_id) for row in found}


def orders_with_access(connection: Connection, source: str, *, since: datetime, until: datetime) -> list[str]:
    """The orders made in [since, until) that gave somebody access."""
    gave = exists().where(
        runs.c.source == orders.c.source, runs.c.order_id == orders.c.order_id, runs.c.state == RunState.SUCCEEDED
    )
    statement = select(orders.c.order_id).where(
        orders.c.source == source, orders.c.created_at >= since, orders.c.created_at < until, gave
    )
    return list(connection.scalars(statement.order_by(orders.c.order_id)))


def runs_with_effect(connection: Connection, workflow: str, *, since: datetime) -> list[Run]:
    """The runs that succeeded since then and name the destination's id of their effect, oldest first."""
    statement = (
        select(runs)
        .where(
            runs.c.workflow == workflow,
            runs.c.state == RunState.SUCCEEDED,
            runs.c.result_id.is_not(None),
            runs.c.finished_at >= since,
        )
        .order_by(runs.c.id)
    )
    return [record_of(Run, row) for row in connection.execute(statement)]


def runs_by_id(connection: Connection, run_ids: Collection[str]) -> dict[str, Run]:
    """These runs, by id."""
    return {row.id: record_of(Run, row) for row in rows_among(connection, select(runs), runs.c.id, run_ids)}


def intents(connection: Connection, references: Collection[str], *, since: datetime) -> dict[str, Intent]:
    """Who sent calls under these references, by reference, for effects that the destination dates after `since`."""
    recent = connection.execute(
        select(attempts).where(attempts.c.started_at >= since - _SENT_BEFORE, attempts.c.reference.is_not(None))
    )
    found = {row.reference: _intent(row) for row in recent if row.reference in references}
    # No index leads to the few that were sent still earlier: one pass over the table finds them all.
    older = rows_among(connection, select(attempts), attempts.c.reference, set(references) - set(found))
    return found | {row.reference: _intent(row) for row in older}


def _intent(row: Row[Any]) -> Intent:
    return Intent(row.run_id, row.step, row.number, row.generation, row.result_id)


def runs_of_orders(connection: Connection, workflow: str, names: Collection[tuple[str, str]]) -> list[Run]:
    """The runs of a workflow that these orders, named `(source, order_id)`, have, but those that never execute."""
    statement = select(runs).where(runs.c.workflow == workflow, runs.c.grant.is_not(None))
    rows = rows_among(connection, statement, (runs.c.source, runs.c.order_id), names)
    found = [record_of(Run, row) for row in rows]
    return sorted(found, key=lambda run: run.id)  # here, as SQLite would read all runs in their order instead


def withdrawn_orders(connection: Connection, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Which of these orders are cancelled or refunded at their source, with its own word for it."""
    name = (orders.c.source, orders.c.order_id)
    statement = select(*name, orders.c.status, orders.c.payment).where(orders.c.state == OrderState.CANCELLED)
    found = rows_among(connection, statement, name, names)
    return {(row.source, row.order_id): row.status or row.payment for row in found}


def answered_results(connection: Connection, run_ids: Collection[str]) -> set[tuple[str, str]]:
    """The effects that the destination itself has named in an answer, as `(run_id, result_id)`."""
    statement = select(attempts.c.run_id, attempts.c.result_id).where(attempts.c.result_id.is_not(None))
    return {(row.run_id, row.result_id) for row in rows_among(connection, statement, attempts.c.run_id, run_ids)}


def accounted_results(connection: Connection, result_ids: Collection[str]) -> set[str]:
    """Which of a destination's effect ids the ledger knows, from any run or attempt."""
    return {
        row.result_id
        for column in (runs.c.result_id, attempts.c.result_id)
        for row in rows_among(connection, select(column), column, result_ids)
    }


def runs_by_result(connection: Connection, result_ids: Collection[str]) -> dict[str, Run]:
    """The runs that name one of these effects as theirs, by the effect."""
    claiming = rows_among(connection, select(runs), runs.c.result_id, result_ids)
    return {row.result_id: record_of(Run, row) for row in claiming}


def open_questions(connection: Connection, workflow: str, reasons: Collection[str]) -> list[Run]:
    """The runs of a workflow that wait for a person for one of these reasons, oldest first."""
    statement = select(runs).where(
        runs.c.workflow == workflow, runs.c.state == RunState.REVIEW, runs.c.reason.in_(sorted(reasons))
    )
    return [record_of(Run, row) for row in connection.execute(statement.order_by(runs.c.id))]


def keys_in_use(connection: Connection, keys: Collection[str]) -> set[str]:
    """Which of these run keys a run has."""
    return {row.key for row in rows_among(connection, select(runs.c.key), runs.c.key, keys)}


def findings_since(connection: Connection, since: datetime) -> set[str]:
    """The marks of the findings that were kept as events since then."""
    found = connection.scalars(select(events.c.detail).where(events.c.at >= since, events.c.kind == FINDING))
    return {str(detail.get("mark")) for detail in found}


def missed_by_webhook(connection: Connection, sources: Collection[str], *, since: datetime) -> dict[str, int]:
    """By source, how many orders made since then a poll or a reconciliation found and no webhook ever told of.

    Orders from before the source's first contact do not count: there was nobody to be told. `sources` are those that
    have webhooks; each has its number, 0 too.
    """
    of_order = (deliveries.c.source == orders.c.source, deliveries.c.order_id == orders.c.order_id)
    statement = (
        select(orders.c.source, func.count().label("missed"))
        .join(cursors, cursors.c.source == orders.c.source)
        .where(
            orders.c.source.in_(sorted(sources)),
            # What was made since then was seen since then: the index is on that.
            orders.c.updated_at >= since,
            orders.c.created_at >= since,
            orders.c.created_at >= cursors.c.first_contact_at,
            exists().where(*of_order, or_(deliveries.c.via == Via.POLL, deliveries.c.via == Via.RECONCILE)),
            ~exists().where(*of_order, deliveries.c.via == Via.WEBHOOK),
        )
        .group_by(orders.c.source)
    )
    found = {row.source: row.missed for row in connection.execute(statement)}
    return dict.fromkeys(sorted(sources), 0) | found


def effects_doubted_since(connection: Connection, since: datetime) -> set[str]:
    """The effects that a pause was made for since then, because only another ledger can know of them."""
    found = connection.scalars(select(events.c.detail).where(events.c.at >= since, events.c.kind == DOUBTED))
    return {str(effect_id) for detail in found for effect_id in detail.get("effects", ())}
