"""Whom an operator says a seat is for: rows beside the order, whose own record stays as the source sent it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, select

from worker.ledger.tables.operator_entries import named_seats
from worker.sources.order import Learner, email_key


@dataclass(frozen=True)
class NamedSeat:
    """One seat and its person. `source_hash` None: it is named in this look, whatever the source says now."""

    line_id: str
    seat_id: str
    learner: Learner
    source_hash: str | None = None


def hash_of(learner: Learner | None) -> str:
    """What is kept of the person a source names, only to notice that it names another: address and name.

    A hash, so that an address that was corrected is not kept twice.
    """
    parts = [] if learner is None else [email_key(learner.email), learner.first_name, learner.last_name]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def named_in(connection: Connection, source: str, order_id: str) -> list[NamedSeat]:
    """The seats of an order that an operator named."""
    found = connection.execute(select(named_seats).where(*_of_order(source, order_id)))
    return [NamedSeat(row.line_id, row.seat_id, Learner.model_validate(row.learner), row.source_hash) for row in found]


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


def of_person(connection: Connection, key: str) -> list[Row[Any]]:
    """The seats that were given to an address."""
    order = (named_seats.c.source, named_seats.c.order_id, named_seats.c.line_id, named_seats.c.seat_id)
    return list(connection.execute(select(named_seats).where(named_seats.c.email_key == key).order_by(*order)))


def forget_named(connection: Connection, key: str) -> int:
    """Delete the seats that were given to an address; how many."""
    return connection.execute(delete(named_seats).where(named_seats.c.email_key == key)).rowcount


def _of_order(source: str, order_id: str) -> tuple[ColumnElement[bool], ...]:
    return (and_(named_seats.c.source == source, named_seats.c.order_id == order_id),)
