"""Keeps other processes from writing about people for the length of one transaction."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from worker.ledger.tables.follow_on import completions
from worker.ledger.tables.operator_entries import named_seats, order_notes
from worker.ledger.tables.periodic import list_polls
from worker.ledger.tables.runs import deliveries, orders, outbox, runs
from worker.ledger.tables.subscriptions import subscriptions

# Whoever records an order, a subscription or completions takes a row of one of the first four before anything is read.
_TABLES: Final = (list_polls, subscriptions, deliveries, orders, runs, completions, outbox, named_seats, order_notes)
_WAIT: Final = "400ms"
"""Shorter than PostgreSQL's `deadlock_timeout`: in a deadlock it is we who give way."""
_NOT_AVAILABLE: Final = "55P03"


def shut_out_writers(connection: Connection) -> bool:
    """Let no other process write about people until the transaction ends; its first statement. On PostgreSQL: False
    where somebody is at it for longer, and the transaction must be begun anew. On SQLite there is one writer anyway.

    What was being recorded is seen afterwards, and what is recorded afterwards sees what this transaction has done.
    """
    if connection.dialect.name != "postgresql":
        return True
    names = ", ".join(table.name for table in _TABLES)
    try:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_WAIT}'")
        connection.exec_driver_sql(f"LOCK TABLE {names} IN EXCLUSIVE MODE")
        connection.exec_driver_sql("SET LOCAL lock_timeout TO DEFAULT")
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _NOT_AVAILABLE:
            raise
        return False
    return True
