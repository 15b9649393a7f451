"""New rows for runs and their steps, and the learners whose lanes they run in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.sql.dml import Update

from worker.errors import NotInLedgerError
from worker.ledger.keys import new_id
from worker.ledger.runs import recoveries
from worker.ledger.sql import insert_new, parts, record_of
from worker.ledger.states import RunState, StepState
from worker.ledger.tables.ledger import recoveries as recoveries_table
from worker.ledger.tables.runs import Run, learners, runs, steps
from worker.sources.order import Learner, email_key


def load_run(connection: Connection, run_id: str, *, for_update: bool = False) -> Run:
    """One run as it stands; locked until the transaction ends with `for_update`. Raises `NotInLedgerError`."""
    query = select(runs).where(runs.c.id == run_id)
    row = connection.execute(query.with_for_update() if for_update else query).one_or_none()
    if row is None:
        raise NotInLedgerError(f"There is no run {run_id}. See: cartbridge runs list")
    return record_of(Run, row)


def runs_of_orders(
    connection: Connection, source: str, order_ids: Sequence[str], workflows: Sequence[str]
) -> list[Run]:
    """The runs of these orders that are of one of these workflows."""
    asked = {"of_source": source, "order_ids": list(order_ids), "workflows": list(workflows)}
    return [record_of(Run, row) for row in connection.execute(_OF_ORDERS, asked)]


_OF_ORDERS = select(runs).where(
    runs.c.source == bindparam("of_source"),
    runs.c.order_id.in_(bindparam("order_ids", expanding=True)),
    runs.c.workflow.in_(bindparam("workflows", expanding=True)),
)


def lanes_of(connection: Connection, people: Iterable[Learner], *, now: datetime) -> dict[str, str]:
    """The lanes of these learners' runs, by the learner's key: the learner's own id, whose row is made if it is new.

    Always in one order, so that two transactions never wait for each other.
    """
    by_key = {email_key(learner.email): learner for learner in people}
    if not by_key:
        return {}
    rows = [{"id": new_id(now), "email": by_key[key].email, "email_key": key} for key in sorted(by_key)]
    made = insert_new(connection, learners, rows)
    lanes = {row["email_key"]: row["id"] for row in rows if (row["id"],) in made}
    for some in parts(sorted(by_key.keys() - lanes.keys())):
        lanes |= {row.email_key: row.id for row in connection.execute(_LANES, {"keys": some})}
    return lanes


def add_learners(connection: Connection, people: Iterable[Learner], *, now: datetime, lock: bool = False) -> None:
    """Make sure of several learners' rows, as `lanes_of`.

    `lock` keeps them from others that ask for that too, until the transaction ends.
    """
    keys = sorted(lanes_of(connection, people, now=now))
    if lock and keys:
        connection.execute(_LOCK_LEARNERS, {"keys": keys}).all()


_LANES = select(learners.c.id, learners.c.email_key).where(learners.c.email_key.in_(bindparam("keys", expanding=True)))
_LOCK_LEARNERS = _LANES.order_by(learners.c.email_key).with_for_update(key_share=True)


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run as it is planned."""

    key: str
    workflow: str
    state: RunState
    source: str
    order_id: str | None
    line_id: str
    seat_id: str
    completion_id: str | None = None
    title: str = ""
    reason: str | None = None
    note: str | None = None
    learner: Learner | None = None
    grant: dict[str, Any] | None = None
    step_names: Sequence[str] = ()
    parent_id: str | None = None
    delivery_id: str | None = None
    result_id: str | None = None


_PLANNED = tuple(each.name for each in fields(NewRun) if each.name not in {"learner", "step_names"})


def insert_run(connection: Connection, run: NewRun, *, now: datetime) -> str | None:
    """As `insert_runs`, for one."""
    return insert_runs(connection, [run], now=now)[0]


def insert_runs(connection: Connection, new: Sequence[NewRun], *, now: datetime) -> list[str | None]:
    """Add runs with their steps; the id of each, or None where its key is taken already (then nothing is written).

    Where the ledger was restored from a copy, what a run may have done since then is asked about before it is sent.
    """
    lanes = lanes_of(connection, [run.learner for run in new if run.learner is not None], now=now)
    ids = [new_id(now) for _ in new]
    rows = [_row_of(run, run_id, lanes, now=now) for run, run_id in zip(new, ids, strict=True)]
    inserted = insert_new(connection, runs, rows)
    made = [(run, run_id) for run, run_id in zip(new, ids, strict=True) if (run_id,) in inserted]
    insert_steps(connection, {run_id: run.step_names for run, run_id in made})
    # Read after the runs were added: a recovery that was under way has shut this out until its commit.
    may_send = {run_id: run for run, run_id in made if run.step_names}
    if may_send and connection.scalar(_ANY_RECOVERY) is not None:
        recoveries.doubt_planned(connection, may_send, now=now)
    return [run_id if (run_id,) in inserted else None for run_id in ids]


_ANY_RECOVERY = select(recoveries_table.c.id).limit(1)


def _row_of(run: NewRun, run_id: str, lanes: dict[str, str], *, now: datetime) -> dict[str, Any]:
    learner = run.learner
    key = None if learner is None else email_key(learner.email)
    return {name: getattr(run, name) for name in _PLANNED} | {
        "id": run_id,
        "email": learner.email if learner else None,
        "email_key": key,
        "learner": learner.model_dump(mode="json") if learner else None,
        "lane": run_id if key is None else lanes[key],  # a run without a learner has a lane of its own
        "generation": 0,
        "fence": 0,
        "dispatches": 0,
        "next_attempt_at": now if run.state is RunState.PENDING else None,
        "created_at": now,
        "updated_at": now,
    }


def insert_steps(connection: Connection, names: Mapping[str, Sequence[str]]) -> None:
    """Add runs' steps, by the run's id, none of them done."""
    rows = [
        {"run_id": run_id, "position": position, "name": name, "state": StepState.PENDING, "counted": 0}
        for run_id, step_names in names.items()
        for position, name in enumerate(step_names)
    ]
    if rows:
        connection.execute(_INSERT_STEPS, rows)


_INSERT_STEPS = insert(steps)


def reset_steps(connection: Connection, run_id: str, step_names: Sequence[str] | None = None) -> None:
    """Begin these steps of a run anew, without names all of them: nothing is done, no attempt is spent."""
    which = [steps.c.run_id == run_id]
    if step_names is not None:
        which.append(steps.c.name.in_(step_names))
    connection.execute(
        update(steps).where(*which).values(state=StepState.PENDING, output=None, counted=0, finished_at=None)
    )


def forget_spent_attempts(connection: Connection, run_id: str) -> None:
    """Let every step of a run that is not done have all its attempts again."""
    connection.execute(
        update(steps).where(steps.c.run_id == run_id, steps.c.state == StepState.PENDING).values(counted=0)
    )


def change_learner(
    connection: Connection, run_id: str, learner: Learner, *, state: RunState | None, fence: int | None, now: datetime
) -> bool:
    """Give a run another learner, their lane, and its steps anew.

    False where it is not in `state` any more, or was claimed since its fence was read: a call may be open.
    """
    lanes = lanes_of(connection, [learner], now=now)
    statement = _as_it_was(run_id, state, fence).values(
        learner=learner.model_dump(mode="json"),
        email=learner.email,
        email_key=email_key(learner.email),
        lane=lanes[email_key(learner.email)],
        updated_at=now,
    )
    if connection.execute(statement).rowcount == 0:
        return False
    reset_steps(connection, run_id)
    return True


def change_grant(
    connection: Connection,
    run_id: str,
    grant: dict[str, Any],
    step_names: Sequence[str],
    *,
    state: RunState | None,
    fence: int | None,
    now: datetime,
) -> bool:
    """Give a run another grant, and its steps, none of them done; False as for `change_learner`."""
    statement = _as_it_was(run_id, state, fence).values(grant=grant, updated_at=now)
    if connection.execute(statement).rowcount == 0:
        return False
    connection.execute(steps.delete().where(steps.c.run_id == run_id))
    insert_steps(connection, {run_id: step_names})
    return True


def _as_it_was(run_id: str, state: RunState | None, fence: int | None) -> Update:
    seen = {runs.c.state: state, runs.c.fence: fence}
    return update(runs).where(
        runs.c.id == run_id, *(column == value for column, value in seen.items() if value is not None)
    )
