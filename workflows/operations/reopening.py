"""Taking back an operator's own answer: what was resolved or cancelled by hand is a question again."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select

from worker.errors import IllegalTransitionError
from worker.ledger.events import record_run_event
from worker.ledger.learners.erased import is_pseudonym
from worker.ledger.runs import transitions
from worker.ledger.runs.run_rows import load_run
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.runs import Run, events
from worker.reasons import Reason

_ANSWERS: Final = {"run_resolved", "run_cancelled"}


def reopen(ledger: Ledger, run_id: str, *, actor: str, reason: str, dry_run: bool, now: datetime) -> str:
    """Put a run that an operator resolved or cancelled back into review, never into work; one transaction.

    It has the reason it was in review for, else `reopened`. A LearningCart order it was resolved with stays with it, so
    that a lookup accounts for that order. Raises `NotInLedgerError`, and `IllegalTransitionError` for a run that no
    operator has answered.
    """
    with ledger.write() as connection:
        row = load_run(connection, run_id, for_update=True)
        refusal = why_not_reopen(row.state, row.reason, row.cancelled_by, row.email)
        if refusal is not None:
            raise IllegalTransitionError(f"Run {run_id} cannot be reopened: {refusal}")
        asked = _asked_before(connection, row)
        if dry_run:
            return f"would reopen {row.key} ({row.state}): in review as {asked}"
        transitions.reopen(connection, transitions.see(connection, run_id), reason=asked, now=now)
        detail = {"from": row.state, "reason": asked}
        record_run_event(connection, row, at=now, kind="run_reopened", actor=actor, reason=reason, detail=detail)
    return f"reopened {row.key}: in review as {asked}"


def why_not_reopen(state: str, reason: str | None, cancelled_by: str | None, email: str | None) -> str | None:
    """Why a run's end is not an operator's answer, in a sentence; None where it can be reopened."""
    if is_pseudonym(email):
        return "its learner was forgotten."
    if state == RunState.SUCCEEDED:
        if reason == Reason.DONE_BY_HAND:
            return None
        return "it succeeded by itself. To repeat it on purpose: cartbridge replay RUN --again --reason TEXT"
    if state == RunState.CANCELLED:
        if cancelled_by == "operator":
            return None
        if cancelled_by == "superseded":
            return "it was replaced by the runs that were planned later. See: cartbridge why with its order"
        return "the source took it back. Paying the order again revives it."
    return f"it is {state}, and nobody has settled it."


def _asked_before(connection: Connection, row: Run) -> str:
    """The reason it was in review for when the operator answered; `reopened` where it was none, or is not known."""
    query = (
        select(events.c.detail)
        .where(events.c.run_id == row.id, events.c.kind.in_(_ANSWERS))
        .order_by(events.c.id.desc())
        .limit(1)
    )
    answered = connection.scalar(query) or {}
    return str((answered.get("reason") if answered.get("from") == RunState.REVIEW else None) or Reason.REOPENED)
