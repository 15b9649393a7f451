"""A run's transitions: nothing else writes a run's `state`, or resets the columns that go with it.

Each function makes one transition, refuses one that `worker.ledger.states.RUN_TRANSITIONS` does not know, works inside
the transaction it is given and commits nothing. What a caller adds (attempts, steps, a line of the audit trail) belongs
into the same transaction.

Whatever a run becomes, `_moved` resets what goes with its state: only a running run has a holder and a lease, only a
finished one a `finished_at`, and one that was let go is not marked as sent any more. A reason, a note and a due time
last until the next transition. `lane_shut_until` is left alone unless a function says otherwise: a request may still be
under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    ScalarSelect,
    String,
    bindparam,
    exists,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.sql.dml import Update

from worker.errors import IllegalTransitionError
from worker.ledger import leases
from worker.ledger.runs import breaker
from worker.ledger.runs.held import FENCED, HELD, HeldRun, StepsOfRun
from worker.ledger.runs.run_rows import forget_spent_attempts, reset_steps
from worker.ledger.sql import NOW, Moment, execute_fixed, is_due, lane_is_taken
from worker.ledger.states import FINISHED, RUN_TRANSITIONS, Actor, RunState, check_transition
from worker.ledger.tables.runs import pauses, runs


class SeenRun(Protocol):
    """A run as the caller has read it. It is moved only while it is in that state, and nobody has claimed it since."""

    @property
    def id(self) -> str: ...

    @property
    def state(self) -> RunState: ...

    @property
    def fence(self) -> int: ...


class _Seen(NamedTuple):
    id: str
    state: RunState
    fence: int


def see(connection: Connection, run_id: str) -> SeenRun:
    """A run as it is now. Raises `NoResultFound` where there is none."""
    row = connection.execute(select(runs.c.id, runs.c.state, runs.c.fence).where(runs.c.id == run_id)).one()
    return _Seen(row.id, RunState(row.state), row.fence)


@dataclass(frozen=True)
class Ending:
    """What a running run becomes when it is let go."""

    state: RunState
    reason: str | None = None
    note: str | None = None
    result_id: str | None = None
    next_attempt_at: datetime | None = None
    lane_shut_until: datetime | None = None
    """Until then no other run of its lane may start."""


# By the engine


def claim(
    connection: Connection, run_id: str, *, system: str, holder: str, now: datetime, lease_seconds: float
) -> Row[Any] | None:
    """`pending` or `waiting` to `running`: of the run's row what its holder needs, with its destination's `breaker` and
    its `steps`; None where it may not start.

    It may where it is due, its lane is free and the destination is neither paused nor down, but for its probe. Counts
    the fence up, so that whoever held it before can write nothing any more; keeps reason and note. One statement.
    Raises `IntegrityError` where another claim of the lane won at the same moment.
    """
    lease = leases.leased(holder, now=now, lease_seconds=lease_seconds)
    values = {"claimed_id": run_id, "claimed_system": system, "now": now}
    values |= {f"new_{name}": value for name, value in lease.items()}
    return execute_fixed(connection, _CLAIM, values).one_or_none()


def release(held: HeldRun, ending: Ending, *, now: datetime, undisturbed: bool) -> tuple[Update, dict[str, Any]]:
    """`running` to `waiting`, `succeeded`, `failed`, `review` or `cancelled`, by its holder: a statement and values.

    It returns the `cancel_reason` that the source set meanwhile, the destination's `breaker`, and `next_in_lane`: the
    run to go on with. Fenced: it returns and writes nothing where the holder lost the run; where it is to be
    `undisturbed`, also where the source cancelled it or the destination has a breaker. Without a `result_id` the run
    keeps the one it has.
    """
    check_transition(RunState.RUNNING, ending.state, Actor.ENGINE)
    given = {f"new_{name}": getattr(ending, name) for name in _ENDING}
    of_run = {"held_lane": held.lane, "held_system": held.system, "now": now}
    return _RELEASES[ending.state, undisturbed], held.fence_values | of_run | given


def recover(connection: Connection, run_id: str, ending: Ending, *, fence: int, now: datetime) -> bool:
    """`running` to `waiting`, `failed` or `review`, from a holder that vanished; whether it was still that holder's.

    Without a `lane_shut_until` the lane stays as it is.
    """
    check_transition(RunState.RUNNING, ending.state, Actor.ENGINE)
    vanished = (runs.c.id == run_id, runs.c.fence == fence, runs.c.state == RunState.RUNNING)
    values = {} if ending.lane_shut_until is None else {"lane_shut_until": ending.lane_shut_until}
    return _is_moved(connection, _ended(ending, *vanished, now=now, **values))


def adopt(connection: Connection, run_id: str, *, before: RunState, result_id: str, now: datetime) -> bool:
    """`waiting`, `failed` or `review` to `succeeded`, as an effect was found that nobody waits for; opens the lane.

    The caller has locked the run's row. A run that is being worked on is refused: its holder finds the effect itself.
    """
    if before is RunState.RUNNING:
        raise IllegalTransitionError(f"run {run_id} is being worked on: its holder adopts the effect")
    check_transition(before, RunState.SUCCEEDED, Actor.ENGINE)
    at_rest = (runs.c.id == run_id, runs.c.state == before)
    return _is_moved(
        connection, _moved(RunState.SUCCEEDED, *at_rest, now=now, result_id=result_id, lane_shut_until=None)
    )


def ask_about(connection: Connection, run_ids: Sequence[str], *, reason: str, note: str, now: datetime) -> None:
    """Any open state to `review`: what a restored copy holds open, though its learner was erased since.

    Counts the fence up, so that a holder from before the restore can write nothing any more. Safe to repeat.
    """
    statement = _moved(RunState.REVIEW, runs.c.id.in_(run_ids), now=now, reason=reason, note=note)
    connection.execute(statement.values(fence=runs.c.fence + 1))


# By the source, or by an operator who plans an order again


def cancel(
    connection: Connection,
    run: SeenRun,
    *,
    actor: Actor,
    by: str,
    reason: str | None,
    note: str | None = None,
    now: datetime,
) -> bool:
    """`pending`, `waiting`, `failed` or `review` to `cancelled`; whether it was still what the caller saw.

    `by`: who may revive it, `source`, or `superseded` where other runs replaced it.
    """
    check_transition(run.state, RunState.CANCELLED, actor)
    statement = _moved(RunState.CANCELLED, *_unchanged(run), now=now, reason=reason, note=note, cancelled_by=by)
    return _is_moved(connection, statement)


def revive(
    connection: Connection, run: SeenRun, *, actor: Actor, reason: str | None, note: str | None, now: datetime
) -> bool:
    """`cancelled`, `failed` or `review` to `pending`, due now; with a reason to `review`.

    Forgets who cancelled it, that its cancellation was asked for, and what its open steps spent of their attempts.
    Returns whether it was still what the caller saw.
    """
    state = RunState.PENDING if reason is None else RunState.REVIEW
    check_transition(run.state, state, actor if state is RunState.PENDING else Actor.SOURCE)
    statement = _moved(
        state,
        *_unchanged(run),
        now=now,
        reason=reason,
        note=note,
        next_attempt_at=now if state is RunState.PENDING else None,
        cancelled_by=None,
        cancel_reason=None,
    )
    if not _is_moved(connection, statement):
        return False
    forget_spent_attempts(connection, run.id)
    return True


def start_over(connection: Connection, run: SeenRun, *, actor: Actor, now: datetime) -> bool:
    """`failed` to `pending`, due now, as its learner or its grant has changed; whether it was still failed."""
    check_transition(run.state, RunState.PENDING, actor)
    return _is_moved(connection, _moved(RunState.PENDING, *_unchanged(run), now=now, next_attempt_at=now))


def request_cancel(connection: Connection, run: SeenRun, reason: str | None, *, now: datetime) -> bool:
    """Ask for the cancellation of a run whose effect is open, or with None take that back. No transition.

    Its holder finds it at its next write, and the destination's answer decides. Returns whether the run was still in
    the state that the caller saw.
    """
    statement = update(runs).where(runs.c.id == run.id, runs.c.state == run.state)
    return _is_moved(connection, statement.values(cancel_reason=reason, updated_at=now))


# By the operator


def restart(
    connection: Connection, run: SeenRun, *, keeps_lane_shut: bool, cancel_reason: str | None, now: datetime
) -> bool:
    """Any state but `running` to `pending`, due now; whether it was still what the caller saw.

    Done steps stay done, and open ones have all their attempts again. The lane opens unless `keeps_lane_shut`.
    """
    statement = _restarted(run, keeps_lane_shut=keeps_lane_shut, cancel_reason=cancel_reason, now=now)
    if not _is_moved(connection, statement):
        return False
    forget_spent_attempts(connection, run.id)
    return True


def repeat(
    connection: Connection,
    run: SeenRun,
    *,
    step_names: Sequence[str],
    keeps_lane_shut: bool,
    generation: int,
    result_id: str | None,
    now: datetime,
) -> bool:
    """As `restart`, with these steps begun anew, in the given generation and with the effect it has in that one."""
    statement = _restarted(run, keeps_lane_shut=keeps_lane_shut, cancel_reason=None, now=now)
    if not _is_moved(connection, statement.values(generation=generation, result_id=result_id)):
        return False
    reset_steps(connection, run.id, step_names)
    return True


def resolve(
    connection: Connection, run: SeenRun, *, reason: str, note: str, result_id: str | None, now: datetime
) -> bool:
    """`pending`, `waiting`, `failed` or `review` to `succeeded`: a person did it. Opens the lane.

    Returns whether it was still what the caller saw.
    """
    check_transition(run.state, RunState.SUCCEEDED, Actor.OPERATOR)
    statement = _moved(
        RunState.SUCCEEDED,
        *_unchanged(run),
        now=now,
        reason=reason,
        note=note,
        result_id=result_id,
        lane_shut_until=None,
    )
    return _is_moved(connection, statement)


def cancel_by_hand(connection: Connection, run: SeenRun, *, reason: str, now: datetime) -> bool:
    """`pending`, `waiting`, `failed` or `review` to `cancelled`, by an operator. Opens the lane and keeps the note.

    Returns whether it was still what the caller saw.
    """
    check_transition(run.state, RunState.CANCELLED, Actor.OPERATOR)
    statement = _moved(
        RunState.CANCELLED,
        *_unchanged(run),
        now=now,
        reason=reason,
        note=runs.c.note,
        cancelled_by="operator",
        lane_shut_until=None,
    )
    return _is_moved(connection, statement)


def reopen(connection: Connection, run: SeenRun, *, reason: str, now: datetime) -> bool:
    """`succeeded` or `cancelled` to `review`, by an operator who takes an operator's answer back.

    The effect it was resolved with stays with it. Returns whether it was still what the caller saw.
    """
    check_transition(run.state, RunState.REVIEW, Actor.OPERATOR)
    return _is_moved(connection, _moved(RunState.REVIEW, *_unchanged(run), now=now, reason=reason, cancelled_by=None))


def _restarted(run: SeenRun, *, keeps_lane_shut: bool, cancel_reason: str | None, now: datetime) -> Update:
    if run.state is not RunState.PENDING:
        check_transition(run.state, RunState.PENDING, Actor.OPERATOR)
    return _moved(
        RunState.PENDING,
        *_unchanged(run),
        now=now,
        next_attempt_at=now,
        cancelled_by=None,
        cancel_reason=cancel_reason,
        lane_shut_until=runs.c.lane_shut_until if keeps_lane_shut else None,
    )


def _ended(ending: Ending, *conditions: ColumnElement[bool], now: datetime, **values: Any) -> Update:
    values = {"reason": ending.reason, "note": ending.note, "next_attempt_at": ending.next_attempt_at} | values
    return _moved(ending.state, *conditions, now=now, **values)


def _unchanged(run: SeenRun) -> tuple[ColumnElement[bool], ...]:
    return runs.c.id == run.id, runs.c.state == run.state, runs.c.fence == run.fence


def _moved(state: RunState, *conditions: ColumnElement[bool], now: Moment, **values: Any) -> Update:
    """The statement that gives the run its state, resets what goes with it, and sets `values`."""
    if state is RunState.RUNNING:
        values = {"next_attempt_at": None} | values
    else:
        at_rest = {
            "reason": None,
            "note": None,
            **leases.FREE,
            "next_attempt_at": None,
            "dispatched_at": None,
            "dispatches": 0,
            "finished_at": now if state in FINISHED else None,
        }
        values = at_rest | values
    return update(runs).where(*conditions).values(state=str(state), updated_at=now, **values)


def _is_moved(connection: Connection, statement: Update) -> bool:
    return connection.execute(statement).rowcount == 1


# The statements of an undisturbed run, which are made once


def _new(name: str) -> BindParameter[Any]:
    """The place of a column's new value."""
    return bindparam(f"new_{name}", type_=runs.c[name].type)


def _next_in_lane() -> ScalarSelect[Any]:
    """The oldest due run of the held run's lane besides itself."""
    other = runs.alias("other")
    others = (other.c.lane == bindparam("held_lane"), other.c.id != bindparam("held_id"), is_due(other, NOW))
    return select(other.c.id).where(*others).order_by(other.c.created_at, other.c.id).limit(1).scalar_subquery()


def _release(state: RunState, *, undisturbed: bool) -> Update:
    values = {name: _new(name) for name in _ENDING} | {"result_id": func.coalesce(_new("result_id"), runs.c.result_id)}
    if state is RunState.CANCELLED:
        values["cancelled_by"] = literal("source")
    its_breaker = breaker.state_of(bindparam("held_system", type_=String()))
    conditions = [runs.c.cancel_reason.is_(None), its_breaker.is_(None)] if undisturbed else []
    statement = _moved(state, *FENCED, *conditions, now=NOW, **values)
    return statement.returning(
        runs.c.cancel_reason, its_breaker.label("breaker"), _next_in_lane().label("next_in_lane")
    )


_ENDING: Final = ("reason", "note", "result_id", "next_attempt_at", "lane_shut_until")
_RELEASES: Final = {
    (state, undisturbed): _release(state, undisturbed=undisturbed)
    for state in sorted(RUN_TRANSITIONS[RunState.RUNNING])
    for undisturbed in (True, False)
}
_CLAIMED_SYSTEM: Final = bindparam("claimed_system", type_=String())
_AS_SEEN: Final = runs.alias("as_seen")
_CLAIM: Final = (
    _moved(
        RunState.RUNNING,
        runs.c.id == bindparam("claimed_id"),
        # Where PostgreSQL waited for another transaction it takes the run as that left it, and its steps as they were
        # before: such a claim is none.
        runs.c.updated_at == select(_AS_SEEN.c.updated_at).where(_AS_SEEN.c.id == runs.c.id).scalar_subquery(),
        is_due(runs, NOW),
        ~exists().where(pauses.c.system == _CLAIMED_SYSTEM),
        ~lane_is_taken(NOW),
        ~breaker.holds_back(_CLAIMED_SYSTEM, runs.c.id),
        now=NOW,
    )
    .values(
        fence=runs.c.fence + 1,
        system=_CLAIMED_SYSTEM,
        lane_shut_until=None,
        **leases.LEASED,
    )
    .returning(*HELD, breaker.state_of(_CLAIMED_SYSTEM).label("breaker"), StepsOfRun().label("steps"))
)
