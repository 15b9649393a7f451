"""The indexes of some rows alone, and those in an order of one database's own. Importing it makes the tables know them.

Only migrations and tests need them: to make them known, SQLAlchemy imports each of PostgreSQL's drivers, which is a
twentieth of a short command's start. Most are of the operator's page; the undisturbed path does not write those.
"""

from __future__ import annotations

from sqlalchemy import Index, Table, text

from worker.ledger.tables.learners import sealed_passwords
from worker.ledger.tables.page_indexes import IN_REVIEW, NEEDS_PERSON, OPERATORS_ACTED, OTHER_SYSTEM, REVOCATIONS
from worker.ledger.tables.runs import attempts, deliveries, events, learners, orders, runs


def _partial(name: str, table: Table, *columns: str, of: str, unique: bool = False) -> Index:
    """An index of those rows alone."""
    where = text(of)
    return Index(name, *(table.c[each] for each in columns), unique=unique, sqlite_where=where, postgresql_where=where)


def _text_order(name: str, table: Table, column: str) -> Index:
    """PostgreSQL finds a text's beginning by an index in this order only, whatever language the database speaks."""
    return Index(name, table.c[column], postgresql_ops={column: "text_pattern_ops"})


ONE_RUNNING_PER_LANE = _partial("uq_runs_one_running_per_lane", runs, "lane", of="state = 'running'", unique=True)
RUN_INDEXES = (
    # With all that is counted of what needs a person, so that no row is read for it.
    _partial(
        "ix_runs_needs_reason", runs, "state", "reason", "created_at", "id", "source", "order_id", of=NEEDS_PERSON
    ),
    _partial("ix_runs_needs", runs, "state", "created_at", "id", of=NEEDS_PERSON),
    _partial("ix_runs_reason", runs, "reason", "created_at", "id", of="reason IS NOT NULL"),
    _partial("ix_runs_other_system", runs, "system", "created_at", "id", of=OTHER_SYSTEM),
    # All that a month's and a day's counts ask for: they read the index alone, and no row. It is not of one state:
    # PostgreSQL would then take that state for granted, and read an index that begins with it from end to end.
    _partial(
        "ix_runs_ended",
        runs,
        *("state", "finished_at", "workflow", "title", "source", "order_id"),
        of="finished_at IS NOT NULL",
    ),
    _partial("ix_runs_revoked_at", runs, "created_at", of=REVOCATIONS),
)
ORDER_INDEXES = (
    _partial("ix_orders_needs_reason", orders, "state", "reason", "updated_at", of=IN_REVIEW),
    _partial("ix_orders_reason", orders, "reason", "updated_at", of="reason IS NOT NULL"),
    Index("ix_orders_source_news", orders.c.source, orders.c.updated_at),
    Index("ix_orders_first_seen_at", orders.c.first_seen_at),
    _text_order("ix_orders_buyer_name", orders, "buyer_name"),
)
DELIVERY_INDEXES = (_partial("ix_deliveries_needs_reason", deliveries, "state", "reason", "received_at", of=IN_REVIEW),)
EVENT_INDEXES = (_partial("ix_events_activity", events, "at", "id", of=OPERATORS_ACTED),)
LEARNER_INDEXES = (_text_order("ix_learners_email_begins", learners, "email_key"),)
OTHER_INDEXES = (
    _partial("ix_attempts_result_id", attempts, "result_id", of="result_id IS NOT NULL"),
    _partial("ix_sealed_passwords_sealed", sealed_passwords, "created_at", of="ciphertext IS NOT NULL"),
)
