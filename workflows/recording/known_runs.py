"""The ledger's runs as planning sees them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from worker.ledger.runs import run_rows
from worker.ledger.runs.attempts import effect_open_runs
from worker.ledger.states import RunState
from worker.ledger.tables.runs import Run
from worker.sources.order import Learner
from workflows.planning.model import ENROLMENT, REVOCATION, KnownRun
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
    return KnownRun(
        id=run.id,
        key=run.key,
        workflow=run.workflow,
        state=RunState(run.state),
        line_id=run.line_id,
        seat_id=run.seat_id,
        reason=run.reason,
        learner=Learner.model_validate(run.learner) if run.learner else None,
        grant=Grant.model_validate(run.grant) if run.grant and run.workflow in _PLANNED_HERE else None,
        cancelled_by=run.cancelled_by,
        effect_open=effect_open,
        cancel_requested=run.cancel_reason is not None,
        fence=run.fence,
        title=run.title,
        finished_at=run.finished_at,
    )
