"""The distinct values of an indexed column, each found by one look at the index: a loose index scan."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, TextClause, func, select


def distinct_values(
    connection: Connection, column: Column[Any], *conditions: ColumnElement[bool] | TextClause
) -> list[Any]:
    """Those of the rows that meet the conditions, in order, without None and empty ones; in one statement.

    The index must begin with what the conditions fix, and then the column.
    """
    first = select(func.min(column).label("value")).where(*conditions, column > "")
    found = first.cte("found", recursive=True)
    following = select(func.min(column)).where(*conditions, column > found.c.value).scalar_subquery()
    found = found.union_all(select(following).where(found.c.value.is_not(None)))
    return [value for value in connection.scalars(select(found.c.value)) if value is not None]
