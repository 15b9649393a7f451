"""New rows for runs and their steps, and the learners whose lanes they run in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table, TextClause, bindparam, insert, select, text, update
from sqlalchemy.sql.dml import Update

from worker.errors import NotInLedgerError
from worker.ledger.keys import new_id
from worker.ledger.runs import recoveries
from worker.ledger.sql import record_of
from worker.ledger.states import RunState, StepState
from worker.ledger.tables.runs import Run, learners, runs, steps
from worker.sources.order import Learner, email_key


def load_run(connection: Connection, run_id: str, *, for_update: bool = False) -> Run:
    """One run as it stands; locked until the transaction ends with `for_update`. Raises `NotInLedgerError`."""
    query = select(runs).where(runs.c.id == run_id)
    row = connection.execute(query.with_for_update() if for_update else query).one_or_none()
    if row is None:
        raise NotInLedgerError(f"There is no run {run_id}. See: cartbridge runs list")
    return record_of(Run, row)


def insert_ignoring(connection: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Insert a row unless its key is taken; True if it was inserted. Two at once: one wins, neither fails."""
    quote = connection.dialect.identifier_preparer.quote
    statement = _insert_ignoring(table, tuple(values), quote)
    # Asked for by RETURNING: drivers differ in the row count they give for an insert.
    return connection.execute(statement, values).first() is not None


@lru_cache(maxsize=64)
def _insert_ignoring(table: Table, names: tuple[str, ...], quote: Callable[[str], str]) -> TextClause:
    """The same words on both databases. SQLAlchemy's own `on_conflict_do_nothing` is compiled anew at each use."""
    columns = ", ".join(quote(name) for name in names)
    places = ", ".join(f":{name}" for name in names)
    keys = ", ".join(quote(column.name) for column in table.primary_key.columns)
    statement = f"INSERT INTO {quote(table.name)} ({columns}) VALUES ({places}) ON CONFLICT DO NOTHING RETURNING {keys}"  # noqa: S608  (names of our own tables)
    return text(statement).bindparams(*(bindparam(name, type_=table.c[name].type) for name in names))


def lane_of(connection: Connection, learner: Learner | None, *, run_id: str, now: datetime) -> str:
    """The lane of a learner's runs: the learner's own id. A run without a learner has a lane of its own."""
    if learner is None:
        return run_id
    key = email_key(learner.email)
    found = connection.scalar(select(learners.c.id).where(learners.c.email_key == key))
    if found is not None:
        return str(found)
    insert_ignoring(connection, learners, {"id": new_id(now), "email": learner.email, "email_key": key})
    return str(connection.scalar(select(learners.c.id).where(learners.c.email_key == key)))


def add_learners(connection: Connection, people: Iterable[Learner], *, now: datetime, lock: bool = False) -> None:
    """Make sure of several learners' rows, always in one order, so that two transactions never wait for each other.

    `lock` keeps them from others that ask for that too, until the transaction ends.
    """
    by_key = {email_key(learner.email): learner for learner in people}
    for _, learner in sorted(by_key.items()):
        lane_of(connection, learner, run_id="", now=now)
    if lock:
        mine = select(learners.c.id).where(learners.c.email_key.in_(sorted(by_key))).order_by(learners.c.email_key)
        connection.execute(mine.with_for_update(key_share=True)).all()


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
    """Add a run with its steps; returns its id, or None when its key is taken already (then nothing is written).

    Where the ledger was restored from a copy, what the run may have done since then is asked about before it is sent.
    """
    run_id = new_id(now)
    learner = run.learner
    inserted = insert_ignoring(
        connection,
        runs,
        {name: getattr(run, name) for name in _PLANNED}
        | {
            "id": run_id,
            "email": learner.email if learner else None,
            "email_key": email_key(learner.email) if learner else None,
            "learner": learner.model_dump(mode="json") if learner else None,
            "lane": lane_of(connection, learner, run_id=run_id, now=now),
            "generation": 0,
            "fence": 0,
            "dispatches": 0,
            "next_attempt_at": now if run.state is RunState.PENDING else None,
            "created_at": now,
            "updated_at": now,
        },
    )
    if not inserted:
        return None
    insert_steps(connection, run_id, run.step_names)
    if run.step_names:
        recoveries.doubt_planned(
            connection,
            run_id,
            key=run.key,
            step_names=run.step_names,
            source=run.source,
            order_id=run.order_id,
            completion_id=run.completion_id,
            now=now,
        )
    return run_id


def insert_steps(connection: Connection, run_id: str, step_names: Sequence[str]) -> None:
    """Add a run's steps, none of them done."""
    if step_names:
        connection.execute(
            insert(steps),
            [
                {"run_id": run_id, "position": position, "name": name, "state": "pending", "counted": 0}
                for position, name in enumerate(step_names)
            ],
        )


def reset_steps(connection: Connection, run_id: str, step_names: Sequence[str] | None = None) -> None:
    """Begin these steps of a run anew, without names all of them: nothing is done, no attempt is spent."""
    mine = [steps.c.run_id == run_id]
    if step_names is not None:
        mine.append(steps.c.name.in_(step_names))
    connection.execute(
        update(steps).where(*mine).values(state=StepState.PENDING, output=None, counted=0, finished_at=None)
    )


def forget_spent_attempts(connection: Connection, run_id: str) -> None:
    """Let every step of a run that is not done have all its attempts again."""
    connection.execute(
        update(steps).where(steps.c.run_id == run_id, steps.c.state == StepState.PENDING).values(counted=0)
    )


def change_learner(
    connection: Connection, run_id: str, learner: Learner, *, state: RunState | None, now: datetime
) -> bool:
    """Give a run another learner, their lane, and its steps anew; False where it is not in `state` any more."""
    lane = lane_of(connection, learner, run_id=run_id, now=now)
    statement = _as_it_was(run_id, state).values(
        learner=learner.model_dump(mode="json"),
        email=learner.email,
        email_key=email_key(learner.email),
        lane=lane,
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
    now: datetime,
) -> bool:
    """Give a run another grant, and its steps, none of them done; False where it is not in `state` any more."""
    statement = _as_it_was(run_id, state).values(grant=grant, updated_at=now)
    if connection.execute(statement).rowcount == 0:
        return False
    connection.execute(steps.delete().where(steps.c.run_id == run_id))
    insert_steps(connection, run_id, step_names)
    return True


def _as_it_was(run_id: str, state: RunState | None) -> Update:
    statement = update(runs).where(runs.c.id == run_id)
    return statement if state is None else statement.where(runs.c.state == state)
