"""What the watch over the sources keeps in the ledger: since when polls are late, and orders stay away."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from worker.ledger.sql import insert_ignoring
from worker.ledger.tables.periodic import source_watches
from worker.ledger.tables.runs import cursors, orders


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


def watches(connection: Connection) -> dict[str, Watch]:
    """Every watched source's, by source."""
    return {row.source: _watch(row) for row in connection.execute(select(source_watches))}


def lock_watch(connection: Connection, source: str) -> Watch:
    """A source's, held until the transaction ends, made first if it is new: two checks at once raise one alarm."""
    insert_ignoring(connection, source_watches, {"source": source})
    of_source = select(source_watches).where(source_watches.c.source == source)
    return _watch(connection.execute(of_source.with_for_update()).one())


def keep_watch(connection: Connection, source: str, watch: Watch) -> None:
    """Write what a check found."""
    connection.execute(update(source_watches).where(source_watches.c.source == source).values(asdict(watch)))


def end_watches(connection: Connection, *, but: Collection[str]) -> None:
    """Forget the sources that are not polled any more."""
    connection.execute(delete(source_watches).where(source_watches.c.source.not_in(sorted(but))))


def _watch(row: Row[Any]) -> Watch:
    return Watch(**{each.name: getattr(row, each.name) for each in fields(Watch)})


def poll_state(connection: Connection, source: str) -> Row[datetime | None, str | None] | None:
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
