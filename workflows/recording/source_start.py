"""When a source starts: orders made before it were there before Cartbridge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, update

from worker.ledger.orders import order_rows
from worker.ledger.orders.source_cursors import SourceCursor, add_cursor, cursor_of, lock_cursor, update_cursor
from worker.ledger.tables.runs import cursors
from worker.sources.order import Order

DEFAULT_START_BEFORE_CONTACT = timedelta(hours=24)
COMPUTED_DATES = frozenset({"studiocart"})
"""The sources whose dates are computed anew for each answer, and whose ids only rise: there ids decide as well."""

NO_ORDER = "0"
"""Below every id: the mark of a shop that had no orders."""


def start_of(cursor: SourceCursor | None, configured_start_at: datetime | None, *, now: datetime) -> datetime:
    """When a source starts: as configured, else as its first contact set it, else a day before now."""
    found = configured_start_at or (cursor.start_at if cursor is not None else None)
    return now - DEFAULT_START_BEFORE_CONTACT if found is None else found


def is_only_noted(order: Order, *, was_there: bool, start_at: datetime) -> bool:
    """Whether the first sweep only takes note of an order: it was there, and was made before the start."""
    return was_there and order.created_at is not None and order.created_at < start_at


def note_contact(
    connection: Connection,
    source: str,
    *,
    now: datetime,
    start_at: datetime | None,
    cursor: SourceCursor | None = None,
) -> SourceCursor:
    """The source's cursor, read unless it is given; on its first successful contact the start is set.

    As configured, else a day before now. A start configured later takes the place of the one set before, and the mark
    becomes what it was then.
    """
    cursor = cursor or cursor_of(connection, source)
    if cursor is None:
        add_cursor(connection, source)
    if cursor is None or cursor.first_contact_at is None:
        first = {"first_contact_at": now, "start_at": start_at or now - DEFAULT_START_BEFORE_CONTACT}
        update_cursor(connection, source, **first)
    elif start_at is not None and cursor.start_at != start_at:
        update_cursor(connection, source, start_at=start_at)
        _raise_mark(connection, cursor, order_rows.order_ids_seen_until(connection, source, start_at))
    else:
        return cursor
    found = cursor_of(connection, source)
    if found is None:
        raise LookupError(source)  # it was there or was made, and nobody deletes it
    return found


def take_contact(
    connection: Connection, source: str, *, now: datetime, start_at: datetime | None, seen_at: datetime
) -> None:
    """As `note_contact`, for who is about to lock orders; what may raise the mark keeps the cursor from others.

    A poll holds its cursor before it takes orders: taken after an order, the two can wait for each other on PostgreSQL.
    """
    cursor = note_contact(connection, source, now=now, start_at=start_at)
    if cursor.start_order_id is not None and cursor.start_at is not None and seen_at <= cursor.start_at:
        lock_cursor(connection, source)


def note_first_list(connection: Connection, source: str, order_ids: Sequence[str]) -> None:
    """Set the mark to the highest of the first list's ids. Once set, it stays. An empty page sets none."""
    if source not in COMPUTED_DATES or not order_ids:
        return
    connection.execute(
        update(cursors)
        .where(cursors.c.source == source, cursors.c.start_order_id.is_(None))
        .values(start_order_id=_highest(order_ids))
    )


def note_seen(
    connection: Connection, cursor: SourceCursor, order_ids: Iterable[str], *, seen_at: datetime
) -> SourceCursor:
    """Until the start has come, every order that is met lies before it: the mark rises. Returns the cursor."""
    if cursor.start_at is None or seen_at > cursor.start_at:
        return cursor
    return _raise_mark(connection, cursor, order_ids)


def _raise_mark(connection: Connection, cursor: SourceCursor, order_ids: Iterable[str]) -> SourceCursor:
    highest = _highest(order_ids)
    if cursor.start_order_id is None or highest <= cursor.start_order_id:
        return cursor
    update_cursor(connection, cursor.source, start_order_id=highest)
    return replace(cursor, start_order_id=highest)


def _highest(order_ids: Iterable[str]) -> int:
    return max((int(order_id) for order_id in order_ids if order_id.isdecimal()), default=0)
