"""The outbox: events for a receiver, written together with the fact and kept until the receiver has taken them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from worker.ledger.keys import new_id
from worker.ledger.sql import insert_ignoring, record_of
from worker.ledger.tables.runs import outbox
from worker.ledger.views.serializers import iso


class OutboxState(StrEnum):
    """Where an event stands."""

    PENDING = "pending"
    """To be sent at `next_attempt_at`. After a crash in the midst of an attempt it is sent again."""
    SENT = "sent"
    """The receiver has answered 2xx."""
    FAILED = "failed"
    """Its attempts are spent; nothing sends it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenEvent:
    """An event that is taken for one attempt, which is counted."""

    id: str
    kind: str
    payload: dict[str, Any]
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxCounts:
    """How many events are still to be sent, since when, and how many were given up."""

    pending: int
    oldest_at: datetime | None
    failed: int


def add_event(connection: Connection, kind: str, data: dict[str, Any], *, now: datetime) -> str:
    """Add an event in the caller's transaction; returns its id, by which a receiver tells a repetition."""
    event_id = new_id(now)
    connection.execute(insert(outbox).values(_fresh(event_id, kind, data, now)))
    return event_id


def add_event_once(connection: Connection, event_id: str, kind: str, data: dict[str, Any], *, now: datetime) -> bool:
    """Add an event under an id of the caller's, unless it was added before; True if it is new."""
    return insert_ignoring(connection, outbox, _fresh(event_id, kind, data, now))


def _fresh(event_id: str, kind: str, data: dict[str, Any], now: datetime) -> dict[str, Any]:
    return {
        "id": event_id,
        "kind": kind,
        "payload": {"type": kind, "timestamp": iso(now), "data": data},
        "state": OutboxState.PENDING,
        "attempts": 0,
        "next_attempt_at": now,
        "created_at": now,
    }


def is_any_due(connection: Connection, *, now: datetime) -> bool:
    """Whether an event is to be sent by now."""
    return connection.execute(_due(now).limit(1)).first() is not None


def take_due(connection: Connection, *, now: datetime, lease_seconds: float) -> TakenEvent | None:
    """Take the event that is due for longest, for one attempt; None when nothing is due.

    The attempt is counted at once, so that an event which kills its sender cannot do so for ever; and nobody else takes
    the event before the lease is over.
    """
    event_id = connection.scalar(_due(now).limit(1).with_for_update(skip_locked=True))
    if event_id is None:
        return None
    taken = connection.execute(
        update(outbox)
        .where(outbox.c.id == event_id)
        .values(attempts=outbox.c.attempts + 1, next_attempt_at=now + timedelta(seconds=lease_seconds))
        .returning(outbox)
    ).one()
    return record_of(TakenEvent, taken)


def mark_sent(connection: Connection, event_id: str, *, now: datetime) -> None:
    """The receiver has taken it: true for ever, whoever else tries meanwhile."""
    connection.execute(
        update(outbox)
        .where(outbox.c.id == event_id)
        .values(state=OutboxState.SENT, sent_at=now, next_attempt_at=None, last_error=None)
    )


def mark_failed(connection: Connection, taken: TakenEvent, *, error: str, next_attempt_at: datetime | None) -> bool:
    """An attempt failed; None: no other is made. False when the attempt is not the latest, and nothing is written."""
    state = OutboxState.FAILED if next_attempt_at is None else OutboxState.PENDING
    taken_row = (outbox.c.id == taken.id, outbox.c.state == OutboxState.PENDING, outbox.c.attempts == taken.attempts)
    changed = connection.execute(
        update(outbox).where(*taken_row).values(state=state, next_attempt_at=next_attempt_at, last_error=error)
    )
    return changed.rowcount == 1


def outbox_counts(connection: Connection) -> OutboxCounts:
    """How many events are still to be sent, since when, and how many were given up."""
    left = {
        row.state: row
        for row in connection.execute(
            select(outbox.c.state, func.count().label("rows"), func.min(outbox.c.created_at).label("oldest_at"))
            .where(outbox.c.state.in_([OutboxState.PENDING, OutboxState.FAILED]))
            .group_by(outbox.c.state)
        )
    }
    pending, failed = left.get(OutboxState.PENDING), left.get(OutboxState.FAILED)
    return OutboxCounts(
        pending=pending.rows if pending else 0,
        oldest_at=pending.oldest_at if pending else None,
        failed=failed.rows if failed else 0,
    )


def _due(now: datetime) -> Any:
    due = select(outbox.c.id).where(outbox.c.state == OutboxState.PENDING, outbox.c.next_attempt_at <= now)
    return due.order_by(outbox.c.next_attempt_at, outbox.c.id)
