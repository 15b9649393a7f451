"""Pauses: systems nothing is sent to until an operator resumes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from worker.ledger.events import record_event
from worker.ledger.runs.run_rows import insert_ignoring
from worker.ledger.tables.runs import pauses


def pause(connection: Connection, system: str, *, kind: str, reason: str | None, actor: str, now: datetime) -> bool:
    """Pause a system, with an event; False where it is paused already, by however many at the same moment."""
    values = {"system": system, "kind": kind, "reason": reason or "", "actor": actor, "since": now}
    if not insert_ignoring(connection, pauses, values):
        return False
    record_event(connection, at=now, kind="system_paused", actor=actor, system=system, reason=reason)
    return True


def lift(connection: Connection, system: str) -> bool:
    """Remove a system's pause; False where it had none."""
    return bool(connection.execute(delete(pauses).where(pauses.c.system == system)).rowcount)


def pause_of(connection: Connection, system: str) -> Row[Any] | None:
    """The system's pause, None when it is not paused."""
    return connection.execute(select(pauses).where(pauses.c.system == system)).one_or_none()
