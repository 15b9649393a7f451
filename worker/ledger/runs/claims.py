"""A run in its holder's hands: claimed, kept, and let go of. Every write of a holder is fenced.

Each function works inside the transaction it is given and commits nothing itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, Row, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from worker.errors import LeaseHeldError, LeaseLostError
from worker.ledger import leases
from worker.ledger.events import log_outcome, record_event
from worker.ledger.runs import breaker, transitions
from worker.ledger.runs.held import HeldRun, HeldStep, fenced, load_attempts
from worker.ledger.runs.transitions import Ending
from worker.ledger.session import violated_constraint
from worker.ledger.states import Actor, StepState
from worker.ledger.tables.runs import attempts, runs, steps


def claim_run(
    connection: Connection, run_id: str, *, system: str, holder: str, now: datetime, lease_seconds: float
) -> HeldRun:
    """Take a due run under a lease, together with its lane.

    Raises `LeaseHeldError` when it is not due, its lane is taken, or its destination is paused or down.
    The partial unique index on the lane decides between two claims at the same moment.
    """
    try:
        row = transitions.claim(connection, run_id, system=system, holder=holder, now=now, lease_seconds=lease_seconds)
    except IntegrityError as error:
        if "uq_runs_one_running_per_lane" in violated_constraint(error) or "runs.lane" in violated_constraint(error):
            raise LeaseHeldError(f"another run of the lane of {run_id} is being worked on") from None
        raise
    if row is None:
        raise LeaseHeldError(f"run {run_id} is not due, or it, its lane or its destination is taken")
    if row.breaker is not None and not breaker.admits(connection, system, run_id):
        raise LeaseHeldError(f"run {run_id} must wait: {system} is down")
    return _held(connection, row, holder, now)


def _held(connection: Connection, row: Row[Any], holder: str, now: datetime) -> HeldRun:
    held_steps = [
        HeldStep(step.position, step.name, StepState(step.state), step.output or {}, step.counted)
        for step in connection.execute(select(steps).where(steps.c.run_id == row.id).order_by(steps.c.position))
    ]
    if row.fence > 1:  # the first holder finds no attempts
        load_attempts(connection, row, {step.name: step for step in held_steps}, now)
    return HeldRun(
        id=row.id,
        key=row.key,
        workflow=row.workflow,
        system=row.system,
        source=row.source,
        order_id=row.order_id,
        lane=row.lane,
        learner=row.learner or {},
        grant=row.grant or {},
        generation=row.generation,
        fence=row.fence,
        holder=holder,
        claimed_at=now,
        lease_until=row.lease_until,
        cancel_reason=row.cancel_reason,
        steps=held_steps,
        breaker=row.breaker,
        probing=row.breaker == breaker.BreakerState.OPEN,
    )


def write_progress(
    connection: Connection, held: HeldRun, *, now: datetime, lease_seconds: float | None = None
) -> str | None:
    """Commit-to-be: the safe steps' outcomes, and with `lease_seconds` a longer lease.

    Returns the requested cancellation.

    Raises `LeaseLostError` when somebody else holds the run by now; then nothing is written.
    """
    row = connection.execute(
        update(runs)
        .where(*fenced(held))
        .values(updated_at=now, **leases.renewed(held.lease_until, now=now, lease_seconds=lease_seconds))
        .returning(runs.c.cancel_reason, runs.c.lease_until)
    ).one_or_none()
    if row is None:
        raise LeaseLostError(f"run {held.id} is held by somebody else by now")
    _flush(connection, held)
    held.lease_end_seconds += (row.lease_until - held.lease_until).total_seconds()
    held.lease_until = row.lease_until
    held.cancel_reason = row.cancel_reason
    return held.cancel_reason


def _flush(connection: Connection, held: HeldRun) -> None:
    if held.outcomes:
        connection.execute(insert(attempts), held.outcomes)
        for outcome in held.outcomes:
            log_outcome(connection, order=held.order, **outcome)
        held.outcomes = []
    if held.dirty:
        connection.execute(
            update(steps)
            .where(steps.c.run_id == bindparam("b_run"), steps.c.position == bindparam("b_position"))
            .values(
                state=bindparam("b_state"),
                output=bindparam("b_output"),
                counted=bindparam("b_counted"),
                finished_at=bindparam("b_finished_at"),
            ),
            [
                {
                    "b_run": held.id,
                    "b_position": step.position,
                    "b_state": step.state,
                    "b_output": step.output or None,
                    "b_counted": step.counted,
                    "b_finished_at": step.finished_at,
                }
                for step in held.dirty
            ],
        )
        held.dirty = []


def release_run(
    connection: Connection, held: HeldRun, ending: Ending, *, now: datetime, detail: dict[str, Any] | None = None
) -> str | None:
    """Give the run its next state and let go of it and its lane, with what the holder has not yet written.

    Returns the cancellation the source asked for meanwhile, if it did. Raises `LeaseLostError` when somebody else holds
    the run by now; then nothing is written.
    """
    row = transitions.release(connection, held, ending, now=now)
    if row is None:
        raise LeaseLostError(f"run {held.id} is held by somebody else by now")
    held.breaker = row.breaker
    _flush(connection, held)
    record_event(
        connection,
        at=now,
        kind=f"run_{ending.state}",
        actor=Actor.ENGINE,
        run_id=held.id,
        source=held.source,
        order_id=held.order_id,
        reason=ending.reason,
        detail=detail or {},
    )
    return cast("str | None", row.cancel_reason)


def lock_run(connection: Connection, run_id: str, *, now: datetime) -> Row[Any] | None:
    """Lock a run's row until the transaction ends, whoever holds its lease, and read it; None if there is none."""
    return connection.execute(
        update(runs).where(runs.c.id == run_id).values(updated_at=now).returning(runs)
    ).one_or_none()
