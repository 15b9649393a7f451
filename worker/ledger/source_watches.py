"""What the watch over the sources keeps in the ledger: since when polls are late, and orders stay away."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from sqlalchemy import Connection, Row, delete, func, select, update

from worker.ledger.runs.run_rows import insert_ignoring
from worker.ledger.tables.runs import cursors, orders

_MARK = "watch:"


@dataclass(frozen=True)
class Watch:
    """What is known of one source's health. A moment is None where there is nothing to complain of."""

    begun_at: datetime | None = None
    """Since when somebody watches without a break."""
    checked_at: datetime | None = None
    late_since: datetime | None = None
    """The last successful poll, or the watch's begin, once three intervals have passed."""
    silent_since: datetime | None = None
    """The last new order, once it is longer ago than usual."""
    learnt_at: datetime | None = None
    silence_limit_seconds: float | None = None
    """So long without a new order is an alarm; None while there is too little history."""

    @classmethod
    def read(cls, position: dict[str, Any]) -> Self:
        """From the ledger's JSON."""
        limit = position.get("silence_limit_seconds")
        moments = {name: _moment(position.get(name)) for name in _MOMENTS}
        return cls(**moments, silence_limit_seconds=limit)

    def document(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        moments = {name: moment.isoformat() if (moment := getattr(self, name)) else None for name in _MOMENTS}
        return {**moments, "silence_limit_seconds": self.silence_limit_seconds}


_MOMENTS = ("begun_at", "checked_at", "late_since", "silent_since", "learnt_at")


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def watches(connection: Connection) -> dict[str, Watch]:
    """Every watched source's, by source."""
    found = connection.execute(
        select(cursors.c.source, cursors.c.position).where(cursors.c.source.startswith(_MARK, autoescape=True))
    )
    return {row.source.removeprefix(_MARK): Watch.read(row.position) for row in found}


def lock_watch(connection: Connection, source: str) -> Watch:
    """A source's, held until the transaction ends, made first if it is new: two checks at once raise one alarm."""
    mark = f"{_MARK}{source}"
    insert_ignoring(connection, cursors, {"source": mark, "position": {}, "failures": 0})
    held = select(cursors.c.position).where(cursors.c.source == mark).with_for_update()
    return Watch.read(connection.execute(held).scalar_one())


def keep_watch(connection: Connection, source: str, watch: Watch) -> None:
    """Write what a check found."""
    mark = f"{_MARK}{source}"
    connection.execute(update(cursors).where(cursors.c.source == mark).values(position=watch.document()))


def end_watches(connection: Connection, *, but: Collection[str]) -> None:
    """Forget the sources that are not polled any more."""
    gone = [f"{_MARK}{source}" for source in sorted(watches(connection).keys() - set(but))]
    if gone:
        connection.execute(delete(cursors).where(cursors.c.source.in_(gone)))


def poll_state(connection: Connection, source: str) -> Row[Any] | None:
    """A source's `last_success_at` and `last_error`; None before its first poll."""
    return connection.execute(
        select(cursors.c.last_success_at, cursors.c.last_error).where(cursors.c.source == source)
    ).one_or_none()


def arrivals(connection: Connection, source: str, *, since: datetime) -> list[datetime]:
    """When each order made since then came: as the source dates it, or when it was first seen if that is earlier."""
    # What was made since then was recorded since then, and that has an index.
    found = connection.execute(
        select(orders.c.created_at, orders.c.first_seen_at).where(
            orders.c.updated_at >= since, orders.c.source == source
        )
    )
    moments = (min(row.created_at or row.first_seen_at, row.first_seen_at) for row in found)
    return [moment for moment in moments if moment >= since]


def last_arrival(connection: Connection, source: str, *, since: datetime) -> datetime | None:
    """When the latest of the orders that were first seen since then was."""
    moment: datetime | None = connection.scalar(
        select(func.max(orders.c.first_seen_at)).where(
            orders.c.updated_at >= since, orders.c.source == source, orders.c.first_seen_at >= since
        )
    )
    return moment
