"""How a query asks so that both databases find the index it stands on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, TextClause, text, true

# What the partial indexes are of. Where that is a state it is their first column all the same: SQLite, which keeps no
# statistics by itself, would rather use another index that begins with it.
NEEDS_PERSON = "state IN ('review', 'failed')"
IN_REVIEW = "state = 'review'"
REVOCATIONS = "workflow = 'revocation'"
OTHER_SYSTEM = "system <> 'learningcart'"
OPERATORS_ACTED = "actor NOT IN ('engine', 'source') OR kind = 'system_paused'"
"""Also pauses that a refused credential set."""


def by_index_of(connection: Connection, table: str, of: str) -> ColumnElement[bool] | TextClause:
    """A condition to add to a query that implies `of` already, so that SQLite finds the index of those rows.

    SQLite knows a partial index by its very words. PostgreSQL draws the conclusion itself, and would take the condition
    for one more that few rows meet.
    """
    return text(f"{table}.{of}") if connection.dialect.name == "sqlite" else true()


def begins(connection: Connection, column: Column[Any], beginning: str) -> ColumnElement[bool]:
    """The column's text begins so; in the form in which the database's index finds it."""
    if connection.dialect.name == "sqlite":
        return column.between(beginning, f"{beginning}\U0010fffd")
    return column.startswith(beginning, autoescape=True)
