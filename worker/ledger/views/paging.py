"""Reading a table newest first, page by page along an index, however large it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, Table, and_, or_, select

from worker.errors import NotInLedgerError
from worker.ledger.states import OrderState, RunState
from worker.settings.systems import SOURCES
from worker.sources.order import email_key

PAGE_ROWS = 500
_COMMON_STATES = frozenset({RunState.SUCCEEDED, RunState.CANCELLED, OrderState.PLANNED, OrderState.IGNORED})
"""States most rows end in: finding them by the state's index and sorting them all is slower than walking by time."""


class Filters(TypedDict, total=False):
    """Which rows every listing of what comes from the sources can be asked for; None chooses nothing."""

    states: Sequence[str]
    source: str | None
    reason: str | None
    since: datetime | None
    """Inclusive."""
    until: datetime | None
    """Exclusive."""


def pages(
    connection: Connection,
    query: Select[Any],
    columns: Sequence[Column[Any]],
    *,
    limit: int | None,
    mark: Sequence[Any] | None,
) -> Iterator[Sequence[Row[Any]]]:
    """The rows of `query` by `columns`, highest first, in pages; `limit` bounds their number, None: all.

    `columns` are what orders the rows and tells them apart, and are selected by the query; `mark` is their values in
    the row to go on after, None from the top. Rows added meanwhile come neither twice nor in the midst.
    """
    left = limit
    ordered = query.order_by(*(column.desc() for column in columns))
    while left is None or left > 0:
        size = PAGE_ROWS if left is None else min(PAGE_ROWS, left)
        bounded = ordered if mark is None else ordered.where(_below(columns, mark))
        page = connection.execute(bounded.limit(size)).all()
        if page:
            yield page
        if len(page) < size:
            return
        mark = _values(page[-1], columns)
        left = None if left is None else left - len(page)


def mark_of(
    connection: Connection, what: str, after: str | None, columns: Sequence[Column[Any]], *is_row: ColumnElement[bool]
) -> Sequence[Any] | None:
    """The `mark` of the row to go on after, `after` as people name it; None from the top.

    Raises `NotInLedgerError` where no row is so.
    """
    if after is None:
        return None
    found = connection.execute(select(*columns).where(*is_row)).one_or_none()
    if found is None:
        raise NotInLedgerError(f"There is no {what} {after} to go on after.")
    return found


def _values(row: Row[Any], columns: Sequence[Column[Any]]) -> tuple[Any, ...]:
    """The values of `columns` in a row."""
    return tuple(getattr(row, column.key) for column in columns)


def _below(columns: Sequence[Column[Any]], mark: Sequence[Any]) -> ColumnElement[bool]:
    """Rows after `mark`. The first column's bound stands alone as well, for the index."""
    first, *rest = columns
    strictly: ColumnElement[bool] = first < mark[0]
    if not rest:
        return strictly
    return and_(first <= mark[0], or_(strictly, _below(rest, mark[1:])))


def between(column: Column[Any], since: datetime | None, until: datetime | None) -> list[ColumnElement[bool]]:
    """From `since` on, and before `until`; None is no bound."""
    bounds: list[ColumnElement[bool]] = []
    if since is not None:
        bounds.append(column >= since)
    if until is not None:
        bounds.append(column < until)
    return bounds


def chosen(
    connection: Connection, filters: Mapping[str, Any], moment: Column[Any], *, email: Column[Any] | None = None
) -> list[ColumnElement[bool]]:
    """The rows that the filters of a listing choose. One that is None, or empty, chooses nothing.

    `moment` is what `since` and `until` bound, and `email` has the key of an address; every other filter has the name
    of its column.
    """
    table, wanted = moment.table, {name: value for name, value in filters.items() if value not in (None, ())}
    conditions = between(moment, wanted.pop("since", None), wanted.pop("until", None))
    if states := wanted.pop("states", ()):
        conditions.append(state_in(connection, table, states))
    source = wanted.pop("source", None)
    if "order_id" in wanted:
        # The index begins with the source.
        conditions.append(table.c.source.in_(SOURCES if source is None else (source,)))
    elif source is not None:
        conditions.append(unindexed(connection, table.c.source) == source)
    if email is not None and "email" in wanted:
        conditions.append(email == email_key(wanted.pop("email")))
    return conditions + [table.c[name] == value for name, value in wanted.items()]


def state_in(connection: Connection, table: Table, states: Sequence[str]) -> ColumnElement[bool]:
    """The row's state is one of these; by the state's index where few rows are in them."""
    column = table.c.state
    return (unindexed(connection, column) if _COMMON_STATES.intersection(states) else column).in_([*states])


def unindexed(connection: Connection, column: Column[Any]) -> ColumnElement[Any]:
    """The column, kept from SQLite's choice of an index: without statistics it prefers any equality to the order asked
    for, and would sort the whole table. PostgreSQL knows better by itself.
    """
    return column.concat("") if connection.dialect.name == "sqlite" else column
