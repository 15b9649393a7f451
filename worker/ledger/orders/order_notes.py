"""What operators wrote about orders, for each other. Each function works inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, insert, select, tuple_, update

from worker.ledger.keys import new_id
from worker.ledger.tables.operator_entries import order_notes
from worker.text.personal_text import ERASED

_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteItem:
    """One note on an order."""

    id: str
    source: str
    order_id: str
    at: datetime
    actor: str
    text: str
    """One line, or paragraphs."""


def add_note(connection: Connection, source: str, order_id: str, text: str, *, actor: str, now: datetime) -> str:
    """Keep a note; its id."""
    note_id = new_id(now)
    values = {"id": note_id, "source": source, "order_id": order_id, "at": now, "actor": actor, "text": text}
    connection.execute(insert(order_notes).values(**values))
    return note_id


def notes_of(connection: Connection, orders: Iterable[tuple[str, str]]) -> list[NoteItem]:
    """The notes of these orders, oldest first."""
    of_orders = tuple_(order_notes.c.source, order_notes.c.order_id).in_(list(orders))
    found = connection.execute(select(order_notes).where(of_orders).order_by(order_notes.c.at, order_notes.c.id))
    return [NoteItem(**row._mapping) for row in found]  # noqa: SLF001  (SQLAlchemy's public name)


def erase_notes(connection: Connection, orders: Collection[tuple[str, str]]) -> int:
    """Drop what stands in the notes of these orders, whole: nobody knows whom a note describes. How many."""
    count, pairs = 0, sorted(orders)
    for start in range(0, len(pairs), _AT_ONCE):
        of_orders = tuple_(order_notes.c.source, order_notes.c.order_id).in_(pairs[start : start + _AT_ONCE])
        erased = update(order_notes).where(of_orders, order_notes.c.text != ERASED).values(text=ERASED)
        count += connection.execute(erased).rowcount
    return count
