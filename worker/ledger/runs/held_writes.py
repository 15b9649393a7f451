"""What a holder writes in one go: a change of its run's row, and with it attempts, steps and a line of the audit trail.

On PostgreSQL all of it is one statement, so that it costs one round trip and can be a transaction by itself; SQLite, to
which nothing has to travel, is given one after the other. Both write nothing where the run's row is not the holder's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Dialect, Row, Table, bindparam, insert, update
from sqlalchemy.sql.dml import Update

from worker.ledger.sql import driver_sql
from worker.ledger.tables.runs import attempts, events, steps

Rows = Sequence[dict[str, Any]]
"""Of one kind: each has all the columns of the kind."""

_ATTEMPT: Final = tuple(attempts.c.keys())
_EVENT: Final = ("at", "kind", "actor", "run_id", "source", "order_id", "reason", "detail")
_CLOSING: Final = ("outcome", "finished_at", "http_status", "error", "result_id", "may_have_acted")
_CLOSED_BY: Final = ("step", "number")
_STEP: Final = ("state", "output", "counted", "finished_at")
_STEP_BY: Final = ("position",)


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
    """Change the run's row by `run`, and write the rest if it returns one: that row, None where nothing is written.

    `values` are those of `run`, `held_id` among them: the run that every row belongs to.

    A closing gives an attempt its outcome unless it has one.
    """
    rows = {"new_attempts": new_attempts, "closings": closings, "changed_steps": changed_steps}
    rows["new_events"] = new_events
    if connection.dialect.name == "postgresql":
        sql, constants = _in_one(run, connection.dialect)
        as_json = {name: json.dumps(some, default=datetime.isoformat) for name, some in rows.items()}
        return connection.exec_driver_sql(sql, constants | values | as_json).one_or_none()
    row = connection.execute(run, values).one_or_none()
    for name, some in rows.items():
        if some and row is not None:
            connection.execute(_ONE_BY_ONE[name], [{f"a_{name}": value for name, value in one.items()} for one in some])
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


_ONE_BY_ONE: Final = {
    "new_attempts": insert(attempts).values({name: _given(attempts)(name) for name in _ATTEMPT}),
    "new_events": insert(events).values({name: _given(events)(name) for name in _EVENT}),
    "closings": _keyed(attempts, _CLOSED_BY, _CLOSING).where(attempts.c.outcome.is_(None)),
    "changed_steps": _keyed(steps, _STEP_BY, _STEP),
}
