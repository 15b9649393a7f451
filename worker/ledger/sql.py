"""Statements, conditions and cuts that several modules of the ledger share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    CursorResult,
    Dialect,
    Exists,
    FromClause,
    Insert,
    Row,
    Select,
    Table,
    TextClause,
    bindparam,
    exists,
    literal,
    or_,
    text,
)
from sqlalchemy.sql.dml import Update
from sqlmodel import SQLModel

from worker.ledger.keys import is_among
from worker.ledger.states import CLAIMABLE, RunState
from worker.ledger.tables.base import UtcDateTime
from worker.ledger.tables.runs import orders, runs

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Value = TypeVar("_Value")
_Record = TypeVar("_Record", bound="DataclassInstance | SQLModel")
VALUES_AT_ONCE = 500
"""Values of one `IN (…)`, and rows of one statement."""


def execute_fixed(connection: Connection, statement: Update, values: dict[str, Any]) -> CursorResult[Any]:
    """Execute a statement that is made once: on PostgreSQL as its driver takes it, without SQLAlchemy's look at each
    part of it, which costs more than the statement. What it returns has the driver's own types: JSON is read, and a
    moment has a zone of the server's.
    """
    if connection.dialect.name != "postgresql":
        return connection.execute(statement, values)
    sql, constants = driver_sql(statement, connection.dialect)
    return connection.exec_driver_sql(sql, constants | values)


def execute_on_sqlite(
    connection: Connection, statement: Update | Insert, rows: Sequence[dict[str, Any]]
) -> CursorResult[Any]:
    """Execute a statement that is made once, for each of the rows, on SQLite as its driver takes it.

    What it returns has the driver's own types: use it for texts and numbers, not for moments and JSON.
    """
    sql, constants, places = _on_sqlite(statement, connection.dialect)
    given = []
    for row in rows:
        values = constants | row
        given.append(tuple([convert(values[name]) if convert else values[name] for name, convert in places]))
    return connection.exec_driver_sql(sql, given if len(given) > 1 else given[0])


@lru_cache(maxsize=32)
def _on_sqlite(
    statement: Update | Insert, dialect: Dialect
) -> tuple[str, dict[str, Any], list[tuple[str, Callable[[Any], Any] | None]]]:
    """A statement as SQLite's driver takes it, its values that never change, and for each place its value's name and
    what makes of it what SQLite keeps.
    """
    compiled = statement.compile(dialect=dialect)
    names = compiled.positiontup or []
    convert = {name: compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect) for name in set(names)}
    return str(compiled), dict(compiled.params), [(name, convert[name]) for name in names]


@lru_cache(maxsize=32)
def driver_sql(statement: Update, dialect: Dialect) -> tuple[str, dict[str, Any]]:
    """A statement as its driver takes it, and the values in it that never change."""
    compiled = statement.compile(dialect=dialect)
    return str(compiled), compiled.params


def parts(values: Sequence[_Value]) -> Iterator[Sequence[_Value]]:
    """Cut values into parts that one statement can take."""
    for start in range(0, len(values), VALUES_AT_ONCE):
        yield values[start : start + VALUES_AT_ONCE]


def rows_among(
    connection: Connection,
    statement: Select[Any],
    columns: Column[Any] | tuple[Column[Any], ...],
    values: Iterable[Any],
) -> Iterator[Row[Any]]:
    """The rows of a statement in which a column, or several together, have one of these values, in no order."""
    for some in parts(sorted(set(values))):
        yield from connection.execute(
            statement.where(is_among(columns, some) if isinstance(columns, tuple) else columns.in_(some))
        )


def insert_ignoring(connection: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Insert a row unless its key is taken; True if it was inserted. Two at once: one wins, neither fails."""
    return bool(insert_new(connection, table, [values]))


def insert_new(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> set[tuple[Any, ...]]:
    """The same for several rows of the same columns; the primary keys of those that were inserted."""
    quote = connection.dialect.identifier_preparer.quote
    inserted: set[tuple[Any, ...]] = set()
    for some in parts(rows):
        statement = _insert_new(table, tuple(some[0]), len(some), quote)
        values = {f"{name}_{place}": value for place, row in enumerate(some) for name, value in row.items()}
        # Asked for by RETURNING: drivers differ in the row count they give for an insert.
        inserted.update(tuple(each) for each in connection.execute(statement, values))
    return inserted


@lru_cache(maxsize=128)
def _insert_new(table: Table, names: tuple[str, ...], count: int, quote: Callable[[str], str]) -> TextClause:
    """The same words on both databases. SQLAlchemy's own `on_conflict_do_nothing` is compiled anew at each use."""
    columns = ", ".join(quote(name) for name in names)
    rows = ", ".join("(" + ", ".join(f":{name}_{place}" for name in names) + ")" for place in range(count))
    keys = ", ".join(quote(column.name) for column in table.primary_key.columns)
    statement = f"INSERT INTO {quote(table.name)} ({columns}) VALUES {rows} ON CONFLICT DO NOTHING RETURNING {keys}"  # noqa: S608  (names of our own tables)
    types = (bindparam(f"{name}_{place}", type_=table.c[name].type) for name in names for place in range(count))
    return text(statement).bindparams(*types)


def _fields_of(kind: type[DataclassInstance | SQLModel]) -> tuple[str, ...]:
    return tuple(kind.model_fields) if issubclass(kind, SQLModel) else tuple(each.name for each in fields(kind))


def columns_of(kind: type[DataclassInstance], table: Table) -> tuple[Column[Any], ...]:
    """The columns of a table that a record's class has fields for."""
    return tuple(table.c[name] for name in _fields_of(kind) if name in table.c)


def record_of(kind: type[_Record], row: object, **others: Any) -> _Record:
    """A row, or another record, as a record of a class, a dataclass or a table's own: with its values of the fields of
    that name. `others` are the fields that it has not, or has otherwise.
    """
    return kind(**{name: getattr(row, name) for name in _fields_of(kind) if name not in others}, **others)


Moment = datetime | BindParameter[datetime]
"""A moment, or the place of one in a statement that is made once."""
NOW: Final = bindparam("now", type_=UtcDateTime())


def is_due(table: FromClause, now: Moment) -> ColumnElement[bool]:
    """A run may be claimed, and its time has come."""
    at = table.c.next_attempt_at
    return table.c.state.in_([literal(str(state)) for state in sorted(CLAIMABLE)]) & or_(at.is_(None), at <= now)


def lane_is_taken(now: Moment) -> Exists:
    """Another run of a run's lane is worked on, or shuts the lane until a call of its has settled."""
    other = runs.alias("other")
    return exists().where(
        other.c.lane == runs.c.lane,
        other.c.id != runs.c.id,
        or_(other.c.state == RunState.RUNNING, other.c.lane_shut_until > now),
    )


def has_placeholders() -> Exists:
    """An order has a review that a new offer may settle: a run without a grant."""
    return exists().where(
        runs.c.source == orders.c.source,
        runs.c.order_id == orders.c.order_id,
        runs.c.state == RunState.REVIEW,
        runs.c.grant.is_(None),
    )
