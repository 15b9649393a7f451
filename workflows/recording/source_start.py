"""When a source starts: orders made before it were there before Cartbridge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update

from worker.ledger.orders import order_rows
from worker.ledger.runs.run_rows import insert_ignoring
from worker.ledger.tables.runs import Cursor, cursors

DEFAULT_START_BEFORE_CONTACT = timedelta(hours=24)
COMPUTED_DATES = frozenset({"studiocart"})
"""The sources whose dates are computed anew for each answer, and whose ids only rise: there ids decide as well."""

NO_ORDER = "0"
"""Below every id: the mark of a shop that had no orders."""


def start_of(cursor: Cursor | Row[Any] | None, configured_start_at: datetime | None, *, now: datetime) -> datetime:
    """When a source starts: as configured, else as its first contact set it, else a day before now."""
    found = configured_start_at or (cursor.start_at if cursor is not None else None)
    return now - DEFAULT_START_BEFORE_CONTACT if found is None else found


def note_contact(connection: Connection, source: str, *, now: datetime, start_at: datetime | None) -> Row[Any]:
    """The source's cursor; on its first successful contact the start is set: as configured, else a day before now.

    A start configured later takes the place of the one set before, and the mark becomes what it was then.
    """
    mine = cursors.c.source == source
    row = connection.execute(select(cursors).where(mine)).one_or_none()
    if row is None:
        insert_ignoring(connection, cursors, {"source": source, "position": {}, "failures": 0})
    if row is None or row.first_contact_at is None:
        values = {"first_contact_at": now, "start_at": start_at or now - DEFAULT_START_BEFORE_CONTACT}
        connection.execute(update(cursors).where(mine).values(**values))
    elif start_at is not None and row.start_at != start_at:
        connection.execute(update(cursors).where(mine).values(start_at=start_at))
        if row.start_order_id is not None:
            _raise_mark(connection, row, order_rows.order_ids_seen_until(connection, source, start_at))
    return connection.execute(select(cursors).where(mine)).one()


def note_first_list(connection: Connection, source: str, order_ids: Sequence[str]) -> None:
    """Set the mark to the highest of the first list's ids. Once set, it stays. An empty page sets none."""
    if source not in COMPUTED_DATES or not order_ids:
        return
    connection.execute(
        update(cursors)
        .where(cursors.c.source == source, cursors.c.start_order_id.is_(None))
        .values(start_order_id=_highest(order_ids))
    )


def note_seen(connection: Connection, cursor: Row[Any], order_id: str, *, seen_at: datetime) -> Row[Any]:
    """Until the start has come, every order that is met lies before it: the mark rises. Returns the cursor."""
    if cursor.start_order_id is None or cursor.start_at is None or seen_at > cursor.start_at:
        return cursor
    if not _raise_mark(connection, cursor, [order_id]):
        return cursor
    return connection.execute(select(cursors).where(cursors.c.source == cursor.source)).one()


def _raise_mark(connection: Connection, cursor: Row[Any], order_ids: Iterable[str]) -> bool:
    highest = _highest(order_ids)
    if highest <= cursor.start_order_id:
        return False
    connection.execute(update(cursors).where(cursors.c.source == cursor.source).values(start_order_id=highest))
    return True


def _highest(order_ids: Iterable[str]) -> int:
    return max((int(order_id) for order_id in order_ids if order_id.isdecimal()), default=0)
