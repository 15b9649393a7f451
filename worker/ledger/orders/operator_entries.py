"""What operators entered beside an order, whose own record stays as the source sent it: whom a seat is for, and notes.

Each function works inside the caller's transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, select, tuple_, update

from worker.ledger.keys import new_id
from worker.ledger.sql import parts
from worker.ledger.tables.operator_entries import named_seats, order_notes
from worker.sources.order import Learner, email_key
from worker.text.personal_text import ERASED


@dataclass(frozen=True)
class NamedSeat:
    """One seat and its person. `source_hash` None: it is named in this look, whatever the source says now."""

    line_id: str
    seat_id: str
    learner: Learner
    source_hash: str | None = None


def hash_of(learner: Learner | None) -> str:
    """A hash of the address and name that a source gives for a person, to notice when it names somebody else.

    A hash, so that an address that was corrected is not kept twice.
    """
    parts = [] if learner is None else [email_key(learner.email), learner.first_name, learner.last_name]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def named_in(connection: Connection, source: str, order_id: str) -> list[NamedSeat]:
    """The seats of an order that an operator named."""
    found = connection.execute(select(named_seats).where(*_of_order(source, order_id)))
    return [NamedSeat(row.line_id, row.seat_id, Learner.model_validate(row.learner), row.source_hash) for row in found]


def named_now(
    connection: Connection, source: str, order_id: str, places: Mapping[tuple[str, str], Mapping[str, Any] | None]
) -> dict[tuple[str, str], str]:
    """The address an operator gave each of these seats, where it holds: the source says of the seat what it said then.

    `places`: by line and seat, whom the source names.
    """
    return {
        (seat.line_id, seat.seat_id): seat.learner.email
        for seat in named_in(connection, source, order_id)
        if (place := (seat.line_id, seat.seat_id)) in places and seat.source_hash == hash_of(_as_learner(places[place]))
    }


def _as_learner(kept: Mapping[str, Any] | None) -> Learner | None:
    """A person of an order's document, which an older version may have written."""
    if not kept:
        return None
    email, first, last = (str(kept.get(name) or "") for name in ("email", "first_name", "last_name"))
    return Learner(email=email, first_name=first, last_name=last)


def keep_named(
    connection: Connection, source: str, order_id: str, seats: Iterable[NamedSeat], *, actor: str, now: datetime
) -> None:
    """Write who seats are for, in the caller's transaction, in the place of whoever was named before."""
    for seat in seats:
        of_seat = (named_seats.c.line_id == seat.line_id, named_seats.c.seat_id == seat.seat_id)
        connection.execute(delete(named_seats).where(*_of_order(source, order_id), *of_seat))
        connection.execute(
            insert(named_seats).values(
                source=source,
                order_id=order_id,
                line_id=seat.line_id,
                seat_id=seat.seat_id,
                email_key=email_key(seat.learner.email),
                learner=seat.learner.model_dump(mode="json"),
                source_hash=seat.source_hash or hash_of(None),
                actor=actor,
                named_at=now,
            )
        )


def follow_erasure(
    connection: Connection, source: str, order_id: str, *, before: Collection[Learner], pseudonym: str
) -> None:
    """Let stand what an operator said of an order's seats for which its source named a person who is forgotten now."""
    for hashed in {hash_of(learner) for learner in before}:
        stands = update(named_seats).where(*_of_order(source, order_id), named_seats.c.source_hash == hashed)
        connection.execute(stands.values(source_hash=hash_of(Learner(email=pseudonym))))


def of_person(connection: Connection, key: str) -> list[Row[Any]]:
    """The seats that were given to an address."""
    order = (named_seats.c.source, named_seats.c.order_id, named_seats.c.line_id, named_seats.c.seat_id)
    return list(connection.execute(select(named_seats).where(named_seats.c.email_key == key).order_by(*order)))


def given_to(connection: Connection, source: str, order_id: str, key: str) -> set[tuple[str, str]]:
    """The seats of an order that were given to an address, as line and seat."""
    theirs = select(named_seats.c.line_id, named_seats.c.seat_id).where(named_seats.c.email_key == key)
    return {(row.line_id, row.seat_id) for row in connection.execute(theirs.where(*_of_order(source, order_id)))}


def forget_named(connection: Connection, key: str) -> int:
    """Delete the seats that were given to an address; how many."""
    return connection.execute(delete(named_seats).where(named_seats.c.email_key == key)).rowcount


def _of_order(source: str, order_id: str) -> tuple[ColumnElement[bool], ...]:
    return (and_(named_seats.c.source == source, named_seats.c.order_id == order_id),)


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
    count = 0
    for some in parts(sorted(orders)):
        of_orders = tuple_(order_notes.c.source, order_notes.c.order_id).in_(some)
        erased = update(order_notes).where(of_orders, order_notes.c.text != ERASED).values(text=ERASED)
        count += connection.execute(erased).rowcount
    return count
