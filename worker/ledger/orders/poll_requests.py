"""Webhooks that name no order: each asks for a poll of its source, and is answered by the first that began after it.

Such a delivery is open until then, as any other: it outlives a lost message and a restart.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, or_, select, update

from worker.ledger.pauses import is_held_back
from worker.ledger.runs.due import not_sent_lately
from worker.ledger.states import DeliveryState
from worker.ledger.tables.runs import deliveries

POLLED: Final = "polled"
"""The reason of such a delivery once it is answered."""
_RETRY_SECONDS: Final = 60.0
_LONGEST_EXPONENT: Final = 6


def take_due_sources(connection: Connection, *, now: datetime) -> list[str]:
    """The sources to be polled for such a delivery, which are marked as sent."""
    due = (
        select(deliveries.c.id)
        .where(*_is_open(now), not_sent_lately(deliveries, now), ~is_held_back())
        .order_by(deliveries.c.received_at)
        .with_for_update(skip_locked=True)
    )
    taken = connection.execute(
        update(deliveries).where(deliveries.c.id.in_(due)).values(dispatched_at=now).returning(deliveries.c.source)
    )
    return sorted(set(taken.scalars()))


def is_requested(connection: Connection, source: str, *, now: datetime) -> bool:
    """Whether some delivery waits for a poll of this source, and not for a later time."""
    waiting = select(deliveries.c.id).where(*_is_open(now), deliveries.c.source == source)
    return connection.execute(waiting.limit(1)).first() is not None


def settle(connection: Connection, source: str, *, polled_at: datetime, now: datetime) -> None:
    """A poll that began at `polled_at` has ended well: what was received before is answered."""
    connection.execute(
        update(deliveries)
        .where(*_is_open(None), deliveries.c.source == source, deliveries.c.received_at <= polled_at)
        .values(state=DeliveryState.IGNORED, reason=POLLED, note=None, next_attempt_at=None, finished_at=now)
    )


def put_off(connection: Connection, source: str, *, note: str, now: datetime) -> None:
    """A poll has failed: wait a minute for the next, then ever longer up to an hour. Any that succeeds will do."""
    waiting = connection.execute(
        select(deliveries.c.id, deliveries.c.attempts)
        .where(*_is_open(now), deliveries.c.source == source)
        .order_by(deliveries.c.received_at, deliveries.c.id)
        .with_for_update()
    ).all()
    for row in waiting:
        wait = timedelta(seconds=_RETRY_SECONDS * 2 ** min(row.attempts, _LONGEST_EXPONENT))
        connection.execute(
            update(deliveries)
            .where(deliveries.c.id == row.id)
            .values(
                state=DeliveryState.WAITING,
                note=note,
                attempts=row.attempts + 1,
                next_attempt_at=min(now + wait, now + timedelta(hours=1)),
                dispatched_at=None,
            )
        )


def _is_open(now: datetime | None) -> tuple[ColumnElement[bool], ...]:
    is_open: tuple[ColumnElement[bool], ...] = (
        deliveries.c.state.in_([DeliveryState.RECEIVED, DeliveryState.WAITING]),
        deliveries.c.order_id.is_(None),
    )
    if now is None:
        return is_open
    return (*is_open, or_(deliveries.c.next_attempt_at.is_(None), deliveries.c.next_attempt_at <= now))
