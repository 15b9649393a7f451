"""Giving a seat's access anew, under another address, and leaving it at what was given where that is taken back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from worker.ledger import keys
from worker.ledger.events import record_run_event
from worker.ledger.runs import transitions
from worker.ledger.runs.run_rows import change_learner, load_run
from worker.ledger.search.texts import write_search_text
from worker.ledger.states import Actor, RunState
from worker.ledger.tables.runs import Run, steps
from worker.reasons import Reason
from worker.sources.order import Learner, email_key
from workflows.execution.late_results import REPEATED, earlier_effect
from workflows.planning.model import KnownRun
from workflows.recording.known_runs import known_runs


def begin_anew(
    connection: Connection, run: KnownRun, learner: Learner, *, actor: str, reason: str | None, now: datetime
) -> None:
    """Give access once more, to another: a new generation, so that its comped order has a reference of its own.

    Whose access it was is kept by the learner's id, which `forget` leaves without a name.
    """
    row = load_run(connection, run.id, for_update=True)
    change_learner(connection, run.id, learner, state=RunState.SUCCEEDED, fence=run.fence, now=now)
    write_search_text(connection, *_order_of(row))
    transitions.repeat(
        connection,
        run,
        step_names=connection.scalars(select(steps.c.name).where(steps.c.run_id == run.id)).all(),
        keeps_lane_shut=False,
        generation=row.generation + 1,
        result_id=None,
        now=now,
    )
    for question in known_runs(connection, *_order_of(row)):
        is_asked = question.key.startswith(f"{run.key}/{keys.LEARNER}") and question.state is RunState.REVIEW
        if is_asked:
            superseded: dict[str, Any] = {"by": "superseded", "reason": Reason.SUPERSEDED}
            transitions.cancel(connection, question, actor=Actor.OPERATOR, **superseded, now=now)
    detail = {"from_step": "add_customer", "generation": row.generation + 1, "result_id_before": row.result_id}
    detail |= {"learner_id_before": row.lane}
    record_run_event(connection, row, at=now, kind=REPEATED, actor=actor, reason=reason, detail=detail)


def has_access(connection: Connection, run: KnownRun, email: str) -> bool:
    """Whether a run gave this address access before it was begun anew for another, and nothing came of that yet."""
    if run.state in {RunState.SUCCEEDED, RunState.CANCELLED} or run.is_untouchable:
        return False
    earlier = earlier_effect(connection, run.id)
    return earlier is not None and earlier.email is not None and email_key(earlier.email) == email_key(email)


def leave_access(connection: Connection, run: KnownRun, learner: Learner, *, now: datetime) -> None:
    """Give a run back to whom it gave access before: it has succeeded by that, and sends nothing."""
    earlier = earlier_effect(connection, run.id)
    if earlier is None or not change_learner(connection, run.id, learner, state=run.state, fence=run.fence, now=now):
        return
    write_search_text(connection, *_order_of(load_run(connection, run.id)))
    note = f"LearningCart order {earlier.result_id} gave it, before it was to be given to another address."
    transitions.resolve(connection, run, reason=Reason.DONE_BY_HAND, note=note, result_id=earlier.result_id, now=now)


def _order_of(row: Run) -> tuple[str, str]:
    return row.source, row.order_id or ""
