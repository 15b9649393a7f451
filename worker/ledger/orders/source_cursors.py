"""How far each source of orders was read, and when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from worker.ledger import leases
from worker.ledger.sql import columns_of, insert_ignoring, record_of
from worker.ledger.tables.runs import cursors


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCursor:
    """One source's cursor; what the columns hold stands with the table."""

    source: str
    first_contact_at: datetime | None
    start_at: datetime | None
    start_order_id: int | None
    baseline_at: datetime | None
    position: dict[str, Any]
    deep_swept_at: datetime | None
    failures: int


_OF_SOURCE = cursors.c.source == bindparam("of_source")
_READ = select(*columns_of(SourceCursor, cursors)).where(_OF_SOURCE)
_LOCK = select(cursors.c.source).where(_OF_SOURCE).with_for_update()
_UPDATE = update(cursors).where(_OF_SOURCE)


def cursor_of(connection: Connection, source: str) -> SourceCursor | None:
    """The source's cursor, None before its first contact."""
    row = connection.execute(_READ, {"of_source": source}).one_or_none()
    return None if row is None else record_of(SourceCursor, row)


def lock_cursor(connection: Connection, source: str) -> None:
    """Keep a source's cursor from others until the transaction ends."""
    connection.execute(_LOCK, {"of_source": source}).all()


def add_cursor(connection: Connection, source: str) -> None:
    """Make sure that there is one."""
    insert_ignoring(connection, cursors, {"source": source, "position": {}, "failures": 0})


def update_cursor(connection: Connection, source: str, **values: Any) -> None:
    """Set columns of a source's cursor."""
    connection.execute(_UPDATE, {"of_source": source, **values})


def take_cursor(
    connection: Connection, source: str, *, holder: str, now: datetime, lease_seconds: float
) -> SourceCursor | None:
    """Take a source for a poll, its cursor made first if there is none; None while another poll holds it."""
    add_cursor(connection, source)
    of_source = cursors.c.source == source
    row = leases.take(
        connection, cursors, of_source, holder=holder, now=now, lease_seconds=lease_seconds, last_attempt_at=now
    )
    return None if row is None else record_of(SourceCursor, row)
