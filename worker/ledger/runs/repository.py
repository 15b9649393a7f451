"""The run's life in the ledger: claim, progress, end, recovery. Every write of a holder is fenced.

Each function works inside the transaction it is given and commits nothing itself.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Connection, Row, and_, bindparam, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from worker.errors import LeaseHeldError, LeaseLostError
from worker.ledger.events import log_outcome
from worker.ledger.events import record_event as record_event  # noqa: PLC0414  (called as ours by all who write runs)
from worker.ledger.runs import breaker
from worker.ledger.runs.held import HeldRun, HeldStep, load_attempts
from worker.ledger.session import violated_constraint
from worker.ledger.sql import lane_is_taken
from worker.ledger.states import CLAIMABLE, FINISHED, Actor, Outcome, RunState, StepState, check_transition
from worker.ledger.tables.runs import attempts, pauses, runs, steps


def claim_run(
    connection: Connection, run_id: str, *, system: str, holder: str, now: datetime, lease_seconds: float
) -> HeldRun:
    """Take a due run under a lease, together with its lane.

    Raises `LeaseHeldError` when it is not due, its lane is taken, or its destination is paused or down.
    The partial unique index on the lane decides between two claims at the same moment.
    """
    statement = (
        update(runs)
        .where(
            runs.c.id == run_id,
            runs.c.state.in_(sorted(CLAIMABLE)),
            or_(runs.c.next_attempt_at.is_(None), runs.c.next_attempt_at <= now),
            ~exists().where(pauses.c.system == system),
            ~lane_is_taken(now),
        )
        .values(
            state=RunState.RUNNING,
            fence=runs.c.fence + 1,
            system=system,
            lease_holder=holder,
            lease_until=now + timedelta(seconds=lease_seconds),
            lane_shut_until=None,
            next_attempt_at=None,
            updated_at=now,
        )
        .returning(runs, breaker.state_of(system).label("breaker"))
    )
    try:
        row = connection.execute(statement).one_or_none()
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


def effect_open_runs(connection: Connection, run_ids: list[str]) -> set[str]:
    """Which of these runs have a call whose outcome is not known: open, or unknown with no lookup's answer since."""
    if not run_ids:
        return set()
    later = attempts.alias("later")
    resolved = exists().where(
        later.c.run_id == attempts.c.run_id,
        later.c.step == attempts.c.step,
        later.c.generation == attempts.c.generation,
        later.c.number > attempts.c.number,
        later.c.kind == "lookup",
        later.c.outcome.in_([Outcome.ADOPTED, Outcome.ABSENT]),
    )
    statement = (
        select(attempts.c.run_id)
        .join(runs, and_(runs.c.id == attempts.c.run_id, runs.c.generation == attempts.c.generation))
        .join(steps, and_(steps.c.run_id == attempts.c.run_id, steps.c.name == attempts.c.step))
        .where(
            attempts.c.run_id.in_(run_ids),
            attempts.c.kind == "call",
            or_(attempts.c.outcome.is_(None), attempts.c.outcome == Outcome.UNKNOWN),
            steps.c.state == StepState.PENDING,
            ~resolved,
        )
        .distinct()
    )
    return set(connection.scalars(statement))


def write_progress(
    connection: Connection, held: HeldRun, *, now: datetime, lease_seconds: float | None = None
) -> str | None:
    """Commit-to-be: the safe steps' outcomes, and with `lease_seconds` a longer lease.

    Returns the requested cancellation.

    Raises `LeaseLostError` when somebody else holds the run by now; then nothing is written.
    """
    values: dict[str, Any] = {"updated_at": now}
    if lease_seconds is not None:
        # Never shorter than it is: a clock that was set back would end it for everybody else at once.
        values["lease_until"] = max(held.lease_until, now + timedelta(seconds=lease_seconds))
    row = connection.execute(
        update(runs).where(*_fenced(held)).values(**values).returning(runs.c.cancel_reason, runs.c.lease_until)
    ).one_or_none()
    if row is None:
        raise LeaseLostError(f"run {held.id} is held by somebody else by now")
    _flush(connection, held)
    held.lease_end_seconds += (row.lease_until - held.lease_until).total_seconds()
    held.lease_until = row.lease_until
    held.cancel_reason = row.cancel_reason
    return held.cancel_reason


def _fenced(held: HeldRun) -> tuple[Any, ...]:
    return (
        runs.c.id == held.id,
        runs.c.fence == held.fence,
        runs.c.lease_holder == held.holder,
        runs.c.state == RunState.RUNNING,
    )


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


def insert_intent(connection: Connection, held: HeldRun, step: HeldStep, *, reference: str, now: datetime) -> None:
    """Record that a call which is not safe to repeat is about to be sent. It counts towards the cap from here on."""
    step.attempts += 1
    step.counted += 1
    connection.execute(
        insert(attempts).values(
            run_id=held.id,
            step=step.name,
            number=step.attempts,
            kind="call",
            generation=held.generation,
            fence=held.fence,
            holder=held.holder,
            reference=reference,
            started_at=now,
        )
    )
    connection.execute(
        update(steps).where(steps.c.run_id == held.id, steps.c.position == step.position).values(counted=step.counted)
    )


def close_attempt(connection: Connection, held: HeldRun, step: HeldStep, **values: Any) -> None:
    """Give the step's last attempt its outcome. An attempt that has one keeps it."""
    connection.execute(
        update(attempts)
        .where(
            attempts.c.run_id == held.id,
            attempts.c.step == step.name,
            attempts.c.number == step.attempts,
            attempts.c.outcome.is_(None),
        )
        .values(**values)
    )
    log_outcome(connection, run_id=held.id, order=held.order, step=step.name, number=step.attempts, **values)


def end_hold(
    connection: Connection,
    held: HeldRun,
    *,
    state: RunState,
    now: datetime,
    reason: str | None = None,
    note: str | None = None,
    result_id: str | None = None,
    next_attempt_at: datetime | None = None,
    lane_shut_until: datetime | None = None,
    detail: dict[str, Any] | None = None,
) -> str | None:
    """Give the run its next state and let go of it and its lane, with what the holder has not yet written.

    Returns the cancellation the source asked for meanwhile, if it did. Raises `LeaseLostError` when somebody else holds
    the run by now; then nothing is written.
    """
    check_transition(RunState.RUNNING, state, Actor.ENGINE)
    values: dict[str, Any] = {
        "state": state,
        "reason": reason,
        "note": note,
        "lease_holder": None,
        "lease_until": None,
        "next_attempt_at": next_attempt_at,
        "lane_shut_until": lane_shut_until,
        "updated_at": now,
        "dispatched_at": None,
        "dispatches": 0,
        "finished_at": now if state in FINISHED else None,
    }
    if result_id is not None:
        values["result_id"] = result_id
    if state is RunState.CANCELLED:
        values["cancelled_by"] = "source"
    row = connection.execute(
        update(runs)
        .where(*_fenced(held))
        .values(**values)
        .returning(runs.c.cancel_reason, breaker.state_of(held.system).label("breaker"))
    ).one_or_none()
    if row is None:
        raise LeaseLostError(f"run {held.id} is held by somebody else by now")
    held.breaker = row.breaker
    _flush(connection, held)
    record_event(
        connection,
        at=now,
        kind=f"run_{state}",
        actor=Actor.ENGINE,
        run_id=held.id,
        source=held.source,
        order_id=held.order_id,
        reason=reason,
        detail=detail or {},
    )
    return cast("str | None", row.cancel_reason)


def lock_run(connection: Connection, run_id: str, *, now: datetime) -> Row[Any] | None:
    """Lock a run's row until the transaction ends, whoever holds its lease, and read it; None if there is none."""
    return connection.execute(
        update(runs).where(runs.c.id == run_id).values(updated_at=now).returning(runs)
    ).one_or_none()
