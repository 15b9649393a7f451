"""A holder's writes: a run is claimed, worked on, and released. Every write is fenced.

Each function works inside the transaction it is given and commits nothing itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, cast

from sqlalchemy import Connection, Dialect, Insert, Row, Table, bindparam, insert, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.dml import Update

from worker.errors import LeaseHeldError, LeaseLostError
from worker.ledger import leases
from worker.ledger.events import log_outcome, new_event
from worker.ledger.runs import breaker, transitions
from worker.ledger.runs.held import FENCED, HeldRun, HeldStep, load_attempts
from worker.ledger.runs.transitions import Ending
from worker.ledger.session import violated_constraint
from worker.ledger.sql import NOW, driver_sql, execute_on_sqlite, record_of
from worker.ledger.states import Actor, Outcome, StepState
from worker.ledger.tables.runs import Run, attempts, events, runs, steps

_KEEP: Final = update(runs).where(*FENCED).values(updated_at=NOW, **leases.RENEWED).returning(runs.c.cancel_reason)
_INTEND: Final = _KEEP.where(runs.c.cancel_reason.is_(None))

Rows = Sequence[dict[str, Any]]
"""Of one kind: each has all the columns of the kind."""

_ATTEMPT: Final = tuple(attempts.c.keys())
_EVENT: Final = ("at", "kind", "actor", "run_id", "source", "order_id", "reason", "detail")
_CLOSING: Final = ("outcome", "finished_at", "http_status", "error", "result_id", "may_have_acted")
_CLOSED_BY: Final = ("step", "number")
_STEP: Final = ("state", "output", "counted", "finished_at")
_STEP_BY: Final = ("position",)


@dataclass(frozen=True, kw_only=True)
class Closing:
    """What the last attempt of a step came to. An attempt that has an outcome keeps it."""

    step: HeldStep
    outcome: Outcome
    finished_at: datetime
    http_status: int | None = None
    error: str | None = None
    result_id: str | None = None
    may_have_acted: bool | None = None

    def row(self, held: HeldRun) -> dict[str, Any]:
        """As it is written."""
        values = {name: value for name, value in vars(self).items() if name != "step"}
        return values | {"run_id": held.id, "step": self.step.name, "number": self.step.attempts}


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
    held_steps = [
        HeldStep(position, name, StepState(state), output or {}, counted)
        for position, name, state, output, counted in sorted(row.steps)
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
        lease_until=now + timedelta(seconds=lease_seconds),
        cancel_reason=row.cancel_reason,
        steps=held_steps,
        breaker=row.breaker,
        probing=row.breaker == breaker.BreakerState.OPEN,
    )


def write_progress(
    connection: Connection,
    held: HeldRun,
    *,
    now: datetime,
    lease_seconds: float | None = None,
    closing: Closing | None = None,
) -> str | None:
    """Write the outcomes of the safe steps so far, and lengthen the lease where `lease_seconds` are given.

    `closing` gives the last attempt its outcome. Returns the reason of a cancellation that was asked for. Raises
    `LeaseLostError` where somebody else holds the run by now; then nothing is written.
    """
    lease_until = leases.renewed(held.lease_until, now=now, lease_seconds=lease_seconds)
    values = held.fence_values | {"now": now, "new_lease_until": lease_until}
    row = _write(connection, held, _KEEP, values, closing=closing)
    _lengthen(held, lease_until)
    held.cancel_reason = row.cancel_reason
    return held.cancel_reason


def write_intent(
    connection: Connection, held: HeldRun, step: HeldStep, *, reference: str, now: datetime, lease_seconds: float
) -> None:
    """Write that a call which is not safe to repeat is about to be sent, with the outcomes of the safe steps so far.

    Lengthens the lease. The attempt counts towards the cap from now on. Raises `LeaseLostError` where somebody else
    holds the run by now, or the source cancelled it; then nothing is written.
    """
    begun = replace(step, attempts=step.attempts + 1, counted=step.counted + 1)
    lease_until = leases.renewed(held.lease_until, now=now, lease_seconds=lease_seconds)
    values = held.fence_values | {"now": now, "new_lease_until": lease_until}
    intent = held.attempt(begun, started_at=now, reference=reference)
    _write(connection, held, _INTEND, values, intent=intent, also=[begun])
    _lengthen(held, lease_until)
    step.attempts, step.counted = begun.attempts, begun.counted


def _lengthen(held: HeldRun, lease_until: datetime) -> None:
    held.lease_end_seconds += (lease_until - held.lease_until).total_seconds()
    held.lease_until = lease_until


def release_run(
    connection: Connection,
    held: HeldRun,
    ending: Ending,
    *,
    now: datetime,
    detail: dict[str, Any] | None = None,
    closing: Closing | None = None,
    undisturbed: bool = False,
) -> str | None:
    """Give the run its next state, free it and its lane, and write what the holder has not written yet.

    `closing` gives the last attempt of a step its outcome, unless it has one. Returns the reason of a cancellation that
    the source asked for meanwhile. Raises `LeaseLostError` where somebody else holds the run by now, and with
    `undisturbed` also where the source cancelled it or its destination has a breaker. Then nothing is written.
    """
    statement, values = transitions.release(held, ending, now=now, undisturbed=undisturbed)
    event = {
        "at": now,
        "kind": f"run_{ending.state}",
        "actor": Actor.ENGINE,
        "run_id": held.id,
        "source": held.source,
        "order_id": held.order_id,
        "reason": ending.reason,
        "detail": detail or {},
    }
    row = _write(connection, held, statement, values, closing=closing, event=event)
    held.breaker = row.breaker
    held.next_in_lane = row.next_in_lane
    return cast("str | None", row.cancel_reason)


def _write(
    connection: Connection,
    held: HeldRun,
    statement: Update,
    values: dict[str, Any],
    *,
    closing: Closing | None = None,
    intent: dict[str, Any] | None = None,
    also: Iterable[HeldStep] = (),
    event: dict[str, Any] | None = None,
) -> Row[Any]:
    """Write what the holder has not written yet, and the rest with it, if `statement` finds the run still its own."""
    closed = [] if closing is None else [closing.row(held)]
    changed = {step.position: step for step in (*held.dirty, *also)}
    for outcome in (*held.outcomes, *closed):
        log_outcome(connection, order=held.order, **outcome)
    row = write_held(
        connection,
        statement,
        values,
        new_attempts=held.outcomes if intent is None else [*held.outcomes, intent],
        closings=closed,
        changed_steps=[_row_of(held, step) for step in changed.values()],
        new_events=[] if event is None else [new_event(connection, **event)],
    )
    if row is None:
        raise LeaseLostError(f"run {held.id} is held by somebody else by now")
    held.outcomes, held.dirty = [], []
    return row


def _row_of(held: HeldRun, step: HeldStep) -> dict[str, Any]:
    return {
        "run_id": held.id,
        "position": step.position,
        "state": str(step.state),
        "output": step.output or None,
        "counted": step.counted,
        "finished_at": step.finished_at,
    }


# A change of the run's row, and with it attempts, steps and a line of the audit trail. On PostgreSQL all of it is one
# statement, so that it costs one round trip and can be a transaction by itself; SQLite, to which nothing has to travel,
# is given one after the other.


def write_held(
    connection: Connection,
    run: Update,
    values: dict[str, Any],
    *,
    new_attempts: Rows = (),
    closings: Rows = (),
    changed_steps: Rows = (),
    new_events: Rows = (),
) -> Row[Any] | None:
    """Change the run's row by `run`. If that returns a row, write the rest and return the row; else write nothing.

    `values` are those of `run`; they include `held_id`, the run that every row belongs to. A closing gives an attempt
    its outcome, unless it has one.
    """
    rows = {"new_attempts": new_attempts, "closings": closings, "changed_steps": changed_steps}
    rows["new_events"] = new_events
    if connection.dialect.name == "postgresql":
        sql, constants = _in_one(run, connection.dialect)
        as_json = {name: json.dumps(some, default=datetime.isoformat) for name, some in rows.items()}
        return connection.exec_driver_sql(sql, constants | values | as_json).one_or_none()
    row = execute_on_sqlite(connection, run, [values]).one_or_none()
    for name, some in rows.items():
        if some and row is not None:
            given = [{f"a_{name}": value for name, value in one.items()} for one in some]
            execute_on_sqlite(connection, _ONE_BY_ONE[name], given)
    return row


@lru_cache(maxsize=32)
def _in_one(run: Update, dialect: Dialect) -> tuple[str, dict[str, Any]]:
    """The statement for PostgreSQL's driver, and the values in it that never change."""
    compiled, constants = driver_sql(run, dialect)
    added = f"{_inserted(attempts, _ATTEMPT, 'new_attempts')}), e AS ({_inserted(events, _EVENT, 'new_events')}"
    closed = _updated(attempts, _CLOSED_BY, _CLOSING, "closings", " AND attempts.outcome IS NULL")
    changed = _updated(steps, _STEP_BY, _STEP, "changed_steps")
    sql = f"WITH held AS ({compiled}), a AS ({added}), c AS ({closed}), s AS ({changed}) SELECT * FROM held"  # noqa: S608  (names of our own tables)
    return sql, constants


def _inserted(table: Table, names: Sequence[str], rows: str) -> str:
    given = ", ".join(f"r.{name}" for name in names)
    return f"INSERT INTO {table} ({', '.join(names)}) SELECT {given} FROM held, {_recordset(table, rows)}"  # noqa: S608


def _updated(table: Table, key: Sequence[str], names: Sequence[str], rows: str, condition: str = "") -> str:
    given = ", ".join(f"{name} = r.{name}" for name in names)
    # The run is named too: PostgreSQL takes the rows for a hundred, and would read the whole table for so many.
    same = " AND ".join([f"{table}.run_id = %(held_id)s", *(f"{table}.{name} = r.{name}" for name in key)])
    return f"UPDATE {table} SET {given} FROM held, {_recordset(table, rows)} WHERE {same}{condition}"  # noqa: S608


def _recordset(table: Table, rows: str) -> str:
    return f"json_populate_recordset(NULL::{table}, %({rows})s::json) AS r"


def _given(table: Table) -> Callable[[str], Any]:
    return lambda name: bindparam(f"a_{name}", type_=table.c[name].type)


def _keyed(table: Table, key: Sequence[str], names: Sequence[str]) -> Update:
    given = _given(table)
    statement = update(table).where(*(table.c[name] == given(name) for name in ("run_id", *key)))
    return statement.values({name: given(name) for name in names})


_ONE_BY_ONE: Final[dict[str, Insert | Update]] = {
    "new_attempts": insert(attempts).values({name: _given(attempts)(name) for name in _ATTEMPT}),
    "new_events": insert(events).values({name: _given(events)(name) for name in _EVENT}),
    "closings": _keyed(attempts, _CLOSED_BY, _CLOSING).where(attempts.c.outcome.is_(None)),
    "changed_steps": _keyed(steps, _STEP_BY, _STEP),
}


def lock_run(connection: Connection, run_id: str, *, now: datetime) -> Run | None:
    """Lock a run's row until the transaction ends, whoever holds its lease, and read it; None if there is none."""
    statement = update(runs).where(runs.c.id == run_id).values(updated_at=now).returning(runs)
    row = connection.execute(statement).one_or_none()
    return None if row is None else record_of(Run, row)
