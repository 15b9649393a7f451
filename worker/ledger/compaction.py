"""Rewrites a SQLite ledger's file, so that nothing of what was overwritten is left in its pages or its log."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from worker.errors import LedgerError
from worker.ledger.periodic import periodic_tasks
from worker.ledger.periodic.periodic_tasks import TaskName
from worker.ledger.search.index import drop_traces
from worker.ledger.session import Ledger

_GIVE_UP_SECONDS = 60.0
_WAIT_SECONDS = 0.05
_DONE_WITHIN: Final = timedelta(minutes=10)
"""Whoever forgot somebody rewrites the file at once: after that they died, or gave up."""


class FileInUseError(LedgerError):
    """Another process kept the ledger busy for a minute: the file still holds what was overwritten."""


def owe_rewrite(connection: Connection, *, now: datetime) -> None:
    """Note, in the caller's transaction, that SQLite's file is to be rewritten, whoever dies before it is."""
    if connection.dialect.name == "sqlite" and not periodic_tasks.begin(connection, TaskName.FILE_REWRITE, now=now):
        periodic_tasks.note_done(connection, TaskName.FILE_REWRITE, now=now)


def rewrite_if_owed(ledger: Ledger, *, now: datetime) -> bool:
    """Rewrite the file where whoever was to do it has not done it in ten minutes; whether it was rewritten.

    Raises `FileInUseError`.
    """
    with ledger.read() as connection:
        owed_since = periodic_tasks.done_at(connection, TaskName.FILE_REWRITE)
    return owed_since is not None and owed_since < now - _DONE_WITHIN and rewrite_file(ledger)


def rewrite_file(ledger: Ledger, *, give_up_seconds: float = _GIVE_UP_SECONDS) -> bool:
    """Rewrite the file (VACUUM) and empty its write-ahead log, while other processes work; False on PostgreSQL.

    Free pages and the log hold what was changed or deleted, in clear, until they are written over. Safe to repeat.
    Others wait meanwhile, about a second for 100 MB. Raises `FileInUseError`.
    """
    if not ledger.is_sqlite:
        return False
    give_up_at = time.monotonic() + give_up_seconds
    with ledger.read() as connection:
        owed_since = periodic_tasks.done_at(connection, TaskName.FILE_REWRITE)
    with closing(ledger.engine.raw_connection()) as connection:
        cursor = connection.cursor()
        while not _is_rewritten(cursor):
            if time.monotonic() > give_up_at:
                raise FileInUseError(
                    "the ledger's file could not be rewritten, because another process kept it busy: what was taken "
                    "out may still be found in its free pages and its -wal"
                )
            time.sleep(_WAIT_SECONDS)
    if owed_since is not None:
        with ledger.write() as written:
            periodic_tasks.drop_since(written, TaskName.FILE_REWRITE, owed_since)
    return True


def _is_rewritten(cursor: Any) -> bool:
    try:
        drop_traces(cursor)
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        is_busy, _, _ = cursor.fetchone()
    except sqlite3.OperationalError as error:
        if "locked" not in str(error) and "busy" not in str(error):
            raise
        return False
    return not is_busy
