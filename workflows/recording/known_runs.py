"""What the ledger holds of an order's runs, and of its lines that were planned and are gone, as planning sees it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import ValidationError
from sqlalchemy import Connection, select

from worker.clients.studiocart import models as records
from worker.ledger.keys import is_of_order
from worker.ledger.runs import run_rows
from worker.ledger.runs.attempts import effect_open_runs
from worker.ledger.sql import record_of
from worker.ledger.states import RunState
from worker.ledger.tables.runs import Run, order_versions
from worker.sources.order import Learner, Order
from worker.sources.studiocart_lines import is_name_id, lines_of, named_lines
from workflows.planning.line_keys import STUDIOCART, planned_and_gone
from workflows.planning.model import ENROLMENT, REVOCATION, KnownRun, PlannedLine
from workflows.planning.offers import Grant

_PLANNED_HERE = (ENROLMENT, REVOCATION)


def known_runs(connection: Connection, source: str, order_id: str) -> list[KnownRun]:
    """Every run of an order that planning has a say in, as it sees them: what mails a password, say, is none."""
    return runs_of_orders(connection, source, [order_id]).get(order_id, [])


def runs_of_orders(connection: Connection, source: str, order_ids: Sequence[str]) -> dict[str, list[KnownRun]]:
    """The same for several orders, by the order's id; those without a run are left out."""
    found = run_rows.runs_of_orders(connection, source, order_ids, _PLANNED_HERE)
    effect_open = effect_open_runs(connection, [run.id for run in found if run.fence > 0])
    runs: dict[str, list[KnownRun]] = {}
    for run in found:
        runs.setdefault(str(run.order_id), []).append(known_run(run, effect_open=run.id in effect_open))
    return runs


def known_run(run: Run, *, effect_open: bool) -> KnownRun:
    """One run as planning sees it; without a grant where it belongs to another workflow."""
    return record_of(
        KnownRun,
        run,
        state=RunState(run.state),
        learner=Learner.model_validate(run.learner) if run.learner else None,
        grant=Grant.model_validate(run.grant) if run.grant and run.workflow in _PLANNED_HERE else None,
        effect_open=effect_open,
    )


def planned_lines(connection: Connection, order: Order, runs: Iterable[KnownRun]) -> dict[str, PlannedLine]:
    """By the line's id: one made of a name from the first version that shows it, a product's from all of them.

    A name is what a line was called when it was first seen; a product's id is the same product under every name that
    it had. Nothing is read for an order none of whose lines needs it. A version that was forgotten with its learner
    shows nothing.
    """
    missing = planned_and_gone(order, runs) if order.source == STUDIOCART else set()
    if not missing:
        return {}
    versions = select(order_versions.c.raw).where(is_of_order(order_versions, order.source, order.id))
    found: dict[str, PlannedLine] = {}
    for raw in connection.scalars(versions.order_by(order_versions.c.number)):
        try:
            record = records.Order.model_validate(raw)
        except ValidationError:
            continue
        for line_id, shown in _shown_by(record, missing).items():
            if line_id not in found:
                found[line_id] = shown
            elif not is_name_id(line_id):
                found[line_id] = _joined(found[line_id], shown)
    return found


def _joined(one: PlannedLine, other: PlannedLine) -> PlannedLine:
    return PlannedLine(one.product_ids | other.product_ids, one.names | other.names, one.beside | other.beside)


def _shown_by(record: records.Order, missing: set[str]) -> dict[str, PlannedLine]:
    shown = named_lines(record)
    beside = frozenset(line.id for line in lines_of(record))
    found = {}
    for line_id in missing:
        matching = [line for line in shown if line_id == line.product_id or line_id in line.line_ids]
        if matching:
            ids = frozenset(line.product_id for line in matching if line.product_id is not None)
            found[line_id] = PlannedLine(ids, frozenset(line.name for line in matching), beside)
    return found
