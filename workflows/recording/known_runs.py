"""The ledger's runs as planning sees them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select

from worker.ledger.runs.attempts import effect_open_runs
from worker.ledger.states import RunState
from worker.ledger.tables.runs import Run, runs
from worker.sources.order import Learner
from workflows.planning.model import ENROLMENT, REVOCATION, KnownRun
from workflows.planning.offers import Grant

_PLANNED_HERE = (ENROLMENT, REVOCATION)


def known_runs(connection: Connection, source: str, order_id: str) -> list[KnownRun]:
    """Every run of an order that planning has a say in, as it sees them: what mails a password, say, is none."""
    rows = connection.execute(
        select(runs).where(runs.c.source == source, runs.c.order_id == order_id, runs.c.workflow.in_(_PLANNED_HERE))
    ).all()
    effect_open = effect_open_runs(connection, [row.id for row in rows if row.fence > 0])
    return [known_run(row, effect_open=row.id in effect_open) for row in rows]


def known_run(row: Row[Any] | Run, *, effect_open: bool) -> KnownRun:
    """One run's row, as planning sees it; without a grant where it belongs to another workflow."""
    return KnownRun(
        id=row.id,
        key=row.key,
        workflow=row.workflow,
        state=RunState(row.state),
        line_id=row.line_id,
        seat_id=row.seat_id,
        reason=row.reason,
        learner=Learner.model_validate(row.learner) if row.learner else None,
        grant=Grant.model_validate(row.grant) if row.grant and row.workflow in _PLANNED_HERE else None,
        cancelled_by=row.cancelled_by,
        effect_open=effect_open,
        cancel_requested=row.cancel_reason is not None,
        fence=row.fence,
        title=row.title,
        finished_at=row.finished_at,
    )
