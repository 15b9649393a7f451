"""Tasks that are done once in a while, however many processes ask: when each was last done.

Beside those of `TaskName` there is one for the backfills that programs asked for, while one goes on.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, delete, select, update

from worker.ledger.sql import insert_ignoring
from worker.ledger.tables.periodic import periodic_tasks


class TaskName(StrEnum):
    """Which task."""

    NIGHTLY_RECONCILIATION = "nightly_reconciliation"
    RETENTION = "retention"
    FILE_REWRITE = "file_rewrite"
    """Owed since then, as somebody was forgotten: SQLite's file still holds what was overwritten."""
    MONTHLY_REPORT = "monthly_report"
    RUN_EVENTS = "run_events"
    """What became of runs is in the outbox until then."""


def begin(connection: Connection, task: str, *, now: datetime, holder: str | None = None) -> bool:
    """Note that a task is done now for the first time; False where it was done before."""
    return insert_ignoring(connection, periodic_tasks, {"name": task, "done_at": now, "holder": holder})


def take(connection: Connection, task: str, *, last_done_before: datetime, now: datetime, holder: str) -> bool:
    """Note that a task is done now, if it was last done before a moment: True for one of those who ask."""
    due = (periodic_tasks.c.name == task, periodic_tasks.c.done_at < last_done_before)
    return connection.execute(update(periodic_tasks).where(*due).values(done_at=now, holder=holder)).rowcount == 1


def done_at(connection: Connection, task: str) -> datetime | None:
    """When a task was last done, None if it never was."""
    moment: datetime | None = connection.scalar(select(periodic_tasks.c.done_at).where(periodic_tasks.c.name == task))
    return moment


def drop(connection: Connection, task: str, *, holder: str) -> None:
    """Forget a task that is done for good, unless another holds it now."""
    connection.execute(delete(periodic_tasks).where(periodic_tasks.c.name == task, periodic_tasks.c.holder == holder))


def drop_since(connection: Connection, task: str, since: datetime) -> None:
    """Forget a task whose mark was not moved meanwhile."""
    connection.execute(delete(periodic_tasks).where(periodic_tasks.c.name == task, periodic_tasks.c.done_at == since))


def note_done(connection: Connection, task: str, *, now: datetime, holder: str | None = None) -> bool:
    """Move a task's mark; False where it has none, or with `holder` where another holds it now."""
    moved = update(periodic_tasks).where(periodic_tasks.c.name == task).values(done_at=now)
    if holder is not None:
        moved = moved.where(periodic_tasks.c.holder == holder)
    return connection.execute(moved).rowcount == 1
