"""The ledger's side of a comparison: what it holds of a source's orders, and which effects it knows of."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, exists, func, or_, select

from worker.ledger.keys import is_among
from worker.ledger.sql import parts, record_of
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
    found: set[str] = set()
    for some in parts(order_ids):
        found |= set(
            connection.scalars(
                select(deliveries.c.order_id).where(
                    deliveries.c.source == source,
                    deliveries.c.order_id.in_(some),
                    deliveries.c.state.in_([DeliveryState.RECEIVED, DeliveryState.WAITING]),
                )
            )
        )
    return found


def seats_with_runs(connection: Connection, source: str, order_ids: Sequence[str]) -> set[tuple[str, str, str]]:
    """The seats of these orders that have a run in any state, as `(order_id, line_id, seat_id)`."""
    found: set[tuple[str, str, str]] = set()
    for some in parts(order_ids):
        statement = select(runs.c.order_id, runs.c.line_id, runs.c.seat_id).where(
            runs.c.source == source, runs.c.order_id.in_(some)
        )
        found |= {(row.order_id, row.line_id, row.seat_id) for row in connection.execute(statement)}
    return found


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
    found: dict[str, Run] = {}
    for some in parts(sorted(run_ids)):
        found |= {row.id: record_of(Run, row) for row in connection.execute(select(runs).where(runs.c.id.in_(some)))}
    return found


def intents(connection: Connection, references: Collection[str], *, since: datetime) -> dict[str, Intent]:
    """Who sent calls under these references, by reference, for effects that the destination dates after `since`."""
    recent = connection.execute(
        select(attempts).where(attempts.c.started_at >= since - _SENT_BEFORE, attempts.c.reference.is_not(None))
    )
    found = {row.reference: _intent(row) for row in recent if row.reference in references}
    # No index leads to the few that were sent still earlier: one pass over the table finds them all.
    for some in parts(sorted(set(references) - set(found))):
        older = connection.execute(select(attempts).where(attempts.c.reference.in_(some)))
        found |= {row.reference: _intent(row) for row in older}
    return found


def _intent(row: Row[Any]) -> Intent:
    return Intent(row.run_id, row.step, row.number, row.generation, row.result_id)


def runs_of_orders(connection: Connection, workflow: str, names: Collection[tuple[str, str]]) -> list[Run]:
    """The runs of a workflow that these orders, named `(source, order_id)`, have, but those that never execute."""
    found: list[Run] = []
    for some in parts(sorted(names)):
        statement = select(runs).where(
            is_among((runs.c.source, runs.c.order_id), some), runs.c.workflow == workflow, runs.c.grant.is_not(None)
        )
        found += [record_of(Run, row) for row in connection.execute(statement)]
    return sorted(found, key=lambda run: run.id)  # here, as SQLite would read all runs in their order instead


def withdrawn_orders(connection: Connection, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Which of these orders are cancelled or refunded at their source, with its own word for it."""
    found: dict[tuple[str, str], str] = {}
    for some in parts(sorted(names)):
        statement = select(orders.c.source, orders.c.order_id, orders.c.status, orders.c.payment).where(
            is_among((orders.c.source, orders.c.order_id), some), orders.c.state == OrderState.CANCELLED
        )
        found |= {(row.source, row.order_id): row.status or row.payment for row in connection.execute(statement)}
    return found


def answered_results(connection: Connection, run_ids: Collection[str]) -> set[tuple[str, str]]:
    """The effects that the destination itself has named in an answer, as `(run_id, result_id)`."""
    found: set[tuple[str, str]] = set()
    for some in parts(sorted(run_ids)):
        statement = select(attempts.c.run_id, attempts.c.result_id).where(
            attempts.c.run_id.in_(some), attempts.c.result_id.is_not(None)
        )
        found |= {(row.run_id, row.result_id) for row in connection.execute(statement)}
    return found


def accounted_results(connection: Connection, result_ids: Collection[str]) -> set[str]:
    """Which of a destination's effect ids the ledger knows, from any run or attempt."""
    found: set[str] = set()
    for some in parts(sorted(result_ids)):
        found |= set(connection.scalars(select(runs.c.result_id).where(runs.c.result_id.in_(some))))
        found |= set(connection.scalars(select(attempts.c.result_id).where(attempts.c.result_id.in_(some))))
    return found


def runs_by_result(connection: Connection, result_ids: Collection[str]) -> dict[str, Run]:
    """The runs that name one of these effects as theirs, by the effect."""
    found: dict[str, Run] = {}
    for some in parts(sorted(result_ids)):
        claiming = connection.execute(select(runs).where(runs.c.result_id.in_(some)))
        found |= {row.result_id: record_of(Run, row) for row in claiming}
    return found


def open_questions(connection: Connection, workflow: str, reasons: Collection[str]) -> list[Run]:
    """The runs of a workflow that wait for a person for one of these reasons, oldest first."""
    statement = select(runs).where(
        runs.c.workflow == workflow, runs.c.state == RunState.REVIEW, runs.c.reason.in_(sorted(reasons))
    )
    return [record_of(Run, row) for row in connection.execute(statement.order_by(runs.c.id))]


def keys_in_use(connection: Connection, keys: Collection[str]) -> set[str]:
    """Which of these run keys a run has."""
    found: set[str] = set()
    for some in parts(sorted(keys)):
        found |= set(connection.scalars(select(runs.c.key).where(runs.c.key.in_(some))))
    return found


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
