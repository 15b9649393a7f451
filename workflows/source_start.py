"""When a source starts: orders made before it were there before Cartbridge."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update

from worker.ledger.models import cursors
from worker.ledger.run_rows import insert_ignoring

DEFAULT_START_BEFORE_CONTACT = timedelta(hours=24)


def start_of(cursor: Row[Any] | None, configured_start_at: datetime | None, *, now: datetime) -> datetime:
    """When a source starts: as configured, else as its first contact set it, else a day before now."""
    found = configured_start_at or (cursor.start_at if cursor is not None else None)
    return now - DEFAULT_START_BEFORE_CONTACT if found is None else found


def note_contact(connection: Connection, source: str, *, now: datetime, start_at: datetime | None) -> Row[Any]:
    """The source's cursor; on its first successful contact the start is set: as configured, else a day before now.

    A start configured later takes the place of the one set before.
    """
    row = connection.execute(select(cursors).where(cursors.c.source == source)).one_or_none()
    if row is None:
        insert_ignoring(connection, cursors, {"source": source, "position": {}, "failures": 0})
    if row is None or row.first_contact_at is None:
        values = {"first_contact_at": now, "start_at": start_at or now - DEFAULT_START_BEFORE_CONTACT}
        connection.execute(update(cursors).where(cursors.c.source == source).values(**values))
    elif start_at is not None and row.start_at != start_at:
        connection.execute(update(cursors).where(cursors.c.source == source).values(start_at=start_at))
    return connection.execute(select(cursors).where(cursors.c.source == source)).one()
