"""The indexes that the operator's page stands on. Most are partial: the undisturbed path does not write those."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Index, TextClause, text, true


def partial(name: str, *columns: str, of: str) -> Index:
    """An index of those rows alone."""
    return Index(name, *columns, sqlite_where=text(of), postgresql_where=text(of))


# What the partial indexes are of. Where that is a state it is their first column all the same: SQLite, which keeps no
# statistics by itself, would rather use another index that begins with it.
NEEDS_PERSON = "state IN ('review', 'failed')"
IN_REVIEW = "state = 'review'"
REVOCATIONS = "workflow = 'revocation'"
OTHER_SYSTEM = "system <> 'learningcart'"
OPERATORS_ACTED = "actor NOT IN ('engine', 'source') OR kind = 'system_paused'"
"""Also pauses that a refused credential set."""

RUN_INDEXES = (
    # With all that is counted of what needs a person, so that no row is read for it.
    partial("ix_runs_needs_reason", "state", "reason", "created_at", "id", "source", "order_id", of=NEEDS_PERSON),
    partial("ix_runs_needs", "state", "created_at", "id", of=NEEDS_PERSON),
    partial("ix_runs_reason", "reason", "created_at", "id", of="reason IS NOT NULL"),
    partial("ix_runs_other_system", "system", "created_at", "id", of=OTHER_SYSTEM),
    # All that a month's and a day's counts ask for: they read the index alone, and no row. It is not of one state:
    # PostgreSQL would then take that state for granted, and read an index that begins with it from end to end.
    partial(
        "ix_runs_ended", "state", "finished_at", "workflow", "title", "source", "order_id", of="finished_at IS NOT NULL"
    ),
    partial("ix_runs_revoked_at", "created_at", of=REVOCATIONS),
)
ORDER_INDEXES = (
    partial("ix_orders_needs_reason", "state", "reason", "updated_at", of=IN_REVIEW),
    partial("ix_orders_reason", "reason", "updated_at", of="reason IS NOT NULL"),
    Index("ix_orders_source_news", "source", "updated_at"),
    Index("ix_orders_first_seen_at", "first_seen_at"),
    # PostgreSQL finds a text's beginning by an index in this order only, whatever language the database speaks.
    Index("ix_orders_buyer_name", "buyer_name", postgresql_ops={"buyer_name": "text_pattern_ops"}),
)
DELIVERY_INDEXES = (partial("ix_deliveries_needs_reason", "state", "reason", "received_at", of=IN_REVIEW),)
EVENT_INDEXES = (partial("ix_events_activity", "at", "id", of=OPERATORS_ACTED),)
LEARNER_INDEXES = (Index("ix_learners_email_begins", "email_key", postgresql_ops={"email_key": "text_pattern_ops"}),)


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
