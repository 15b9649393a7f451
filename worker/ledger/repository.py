"""The run's life in the ledger: claim, progress, end, recovery. Every write of a holder is fenced.

Each function works inside the transaction it is given and commits nothing itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Connection, Row, and_, bindparam, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from worker.errors import LeaseHeldError, LeaseLostError
from worker.ledger import breaker
from worker.ledger.events import log_outcome
from worker.ledger.events import record_event as record_event  # noqa: PLC0414  (called as ours by all who write runs)
from worker.ledger.models import attempts, pauses, runs, steps
from worker.ledger.session import violated_constraint
from worker.ledger.states import CLAIMABLE, FINISHED, Actor, Outcome, RunState, StepState, check_transition


@dataclass
class HeldStep:
    """One step of a held run, as the holder knows it."""

    position: int
    name: str
    state: StepState = StepState.PENDING
    output: dict[str, Any] = field(default_factory=dict)
    counted: int = 0
    attempts: int = 0
    """The number of the last attempt."""
    first_sent_at: datetime | None = None
    """When the first call of this generation was begun, None when none was."""
    unresolved: bool = False
    """A call may have been carried out, and no lookup has told since."""
    finished_at: datetime | None = None
    spent_unknown: bool = False
    """The last call of this generation ended with an unknown outcome."""


@dataclass
class HeldRun:
    """A run under a lease. `fence` is the holder's number: a write with an older one is refused."""

    id: str
    key: str
    workflow: str
    system: str
    """The destination it was claimed for."""
    source: str
    order_id: str | None
    """None for a run that belongs to no order."""
    lane: str
    learner: dict[str, Any]
    grant: dict[str, Any]
    """What it was planned with."""
    generation: int
    fence: int
    holder: str
    claimed_at: datetime
    lease_until: datetime
    cancel_reason: str | None
    steps: list[HeldStep]
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    """Ended attempts of safe steps that are not committed yet."""
    dirty: list[HeldStep] = field(default_factory=list)
    """Steps whose state is not committed yet."""
    breaker: str | None = None
    """The state of the destination's breaker when it was last looked at, None where it has none."""
    probing: bool = False
    """It was claimed to find out whether a destination that is down answers again."""
    lease_end_seconds: float = math.inf
    """The lease's end on the holder's own clock that never goes back."""

    @property
    def order(self) -> str | None:
        """Its order for a log line, `source/id`."""
        return None if self.order_id is None else f"{self.source}/{self.order_id}"

    @property
    def next_step(self) -> HeldStep | None:
        """The first step that is not done."""
        return next((step for step in self.steps if step.state is StepState.PENDING), None)

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """What the done steps gave, by name."""
        return {step.name: step.output for step in self.steps if step.state is StepState.DONE}


def claim_run(
    connection: Connection, run_id: str, *, system: str, holder: str, now: datetime, lease_seconds: float
) -> HeldRun:
    """Take a due run under a lease, together with its lane.

    Raises `LeaseHeldError` when it is not due, its lane is taken, or its destination is paused, down, or recovering and
    busy enough. The partial unique index on the lane decides between two claims at the same moment.
    """
    other = runs.alias("other")
    lane_taken = exists().where(
        other.c.lane == runs.c.lane,
        other.c.id != runs.c.id,
        or_(other.c.state == RunState.RUNNING, other.c.lane_shut_until > now),
    )
    statement = (
        update(runs)
        .where(
            runs.c.id == run_id,
            runs.c.state.in_(sorted(CLAIMABLE)),
            or_(runs.c.next_attempt_at.is_(None), runs.c.next_attempt_at <= now),
            ~exists().where(pauses.c.system == system),
            ~lane_taken,
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
    if row.breaker is not None and not breaker.admits(connection, system, run_id, now=now):
        raise LeaseHeldError(f"run {run_id} must wait: {system} is down or recovering")
    return _held(connection, row, holder, now)


def _held(connection: Connection, row: Row[Any], holder: str, now: datetime) -> HeldRun:
    held_steps = [
        HeldStep(step.position, step.name, StepState(step.state), step.output or {}, step.counted)
        for step in connection.execute(select(steps).where(steps.c.run_id == row.id).order_by(steps.c.position))
    ]
    if row.fence > 1:  # the first holder finds no attempts
        _load_attempts(connection, row, {step.name: step for step in held_steps})
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


def _load_attempts(connection: Connection, row: Row[Any], by_name: dict[str, HeldStep]) -> None:
    found = connection.execute(
        select(attempts).where(attempts.c.run_id == row.id).order_by(attempts.c.step, attempts.c.number)
    )
    for attempt in found:
        step = by_name.get(attempt.step)
        if step is None:
            continue
        step.attempts = attempt.number
        if attempt.generation != row.generation:
            continue
        if attempt.kind == "lookup":
            step.unresolved = step.unresolved and attempt.outcome not in {Outcome.ADOPTED, Outcome.ABSENT}
            continue
        step.first_sent_at = step.first_sent_at or attempt.started_at
        step.spent_unknown = attempt.outcome in {None, Outcome.UNKNOWN}
        step.unresolved = step.unresolved or step.spent_unknown


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


def accounted_results(connection: Connection, result_ids: list[str]) -> set[str]:
    """Which of a destination's effect ids the ledger knows, from any run or attempt."""
    if not result_ids:
        return set()
    known = set(connection.scalars(select(runs.c.result_id).where(runs.c.result_id.in_(result_ids))))
    known |= set(connection.scalars(select(attempts.c.result_id).where(attempts.c.result_id.in_(result_ids))))
    return known
