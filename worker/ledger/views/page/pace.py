"""How many orders came and how many enrolments were done, hour by hour, and how long access took."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    TextClause,
    case,
    cast,
    extract,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.types import Float, String

from worker.ledger.tables.page_indexes import SUCCEEDED
from worker.ledger.tables.runs import deliveries, orders, runs
from worker.ledger.views.latency import bought_at, of_run_order

PACE_HOURS = 48
PACE_DAYS = 30
_MOST_LATENCIES = 20_000
"""So many of the newest enrolments tell how long access took: more would tell the same, later."""
_SUCCEEDED = text(f"runs.{SUCCEEDED}")


@dataclass(frozen=True)
class HourOfWork:
    """One hour. The latencies are None where nothing was done."""

    begins_at: datetime
    orders: int = 0
    enrolments: int = 0
    median_seconds: float | None = None
    p95_seconds: float | None = None
    """From the order, see `bought_at`, to the access."""


def pace(connection: Connection, now: datetime, *, hours: int = PACE_HOURS) -> list[HourOfWork]:
    """The last hours, oldest first, the running one last, each whether or not anything happened in it."""
    first = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours - 1)
    # What was first seen since then was recorded since then, and that has an index.
    came = _by_hour(connection, orders.c.first_seen_at, orders.c.updated_at >= first, orders.c.first_seen_at >= first)
    done = _by_hour(connection, runs.c.finished_at, _SUCCEEDED, runs.c.finished_at >= first)
    took = _latencies(connection, first)
    return [
        HourOfWork(hour, came.get(hour, 0), done.get(hour, 0), *took.get(hour, (None, None)))
        for hour in (first + timedelta(hours=number) for number in range(hours))
    ]


@dataclass(frozen=True)
class DayOfWork:
    """One day of UTC."""

    day: date
    orders: int = 0
    enrolments: int = 0


def days_of_work(connection: Connection, now: datetime, *, days: int = PACE_DAYS) -> list[DayOfWork]:
    """The last days, oldest first, today last, each whether or not anything happened in it."""
    first = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
    came = _by_hour(connection, orders.c.first_seen_at, orders.c.updated_at >= first, orders.c.first_seen_at >= first)
    done = _by_hour(connection, runs.c.finished_at, _SUCCEEDED, runs.c.finished_at >= first)
    found: dict[date, list[int]] = {(first + timedelta(days=number)).date(): [0, 0] for number in range(days)}
    for column, counts in enumerate((came, done)):
        for hour, count in counts.items():
            if hour.date() in found:  # what is dated ahead of now is of no day yet
                found[hour.date()][column] += count
    return [DayOfWork(day, *counts) for day, counts in found.items()]


def _by_hour(
    connection: Connection, moment: Column[Any], *conditions: ColumnElement[bool] | TextClause
) -> dict[datetime, int]:
    hour = _hour_of(connection, moment).label("hour")
    counted = select(hour, func.count().label("rows")).select_from(moment.table).where(*conditions).group_by(hour)
    return {_moment_of(row.hour): row.rows for row in connection.execute(counted)}


def _hour_of(connection: Connection, moment: Column[Any]) -> ColumnElement[str]:
    """The hour that a moment is in, as text in UTC: `2026-03-04 05:00`."""
    if connection.dialect.name == "sqlite":
        return func.strftime("%Y-%m-%d %H:00", moment, type_=String())
    return func.to_char(func.timezone("UTC", moment), literal_column("'YYYY-MM-DD HH24:00'"), type_=String())


def _seconds_between(connection: Connection, begun: ColumnElement[Any], ended: Column[Any]) -> ColumnElement[float]:
    if connection.dialect.name == "sqlite":
        return (func.julianday(ended, type_=Float()) - func.julianday(begun, type_=Float())) * 86_400.0
    return cast(extract("epoch", ended - begun), Float())


def _latencies(connection: Connection, since: datetime) -> dict[datetime, tuple[float, float]]:
    """Within how many seconds half and 95 of a hundred enrolments were done, by the hour in which they were."""
    took = (
        select(
            _hour_of(connection, runs.c.finished_at).label("hour"),
            _seconds_between(connection, bought_at(), runs.c.finished_at).label("seconds"),
        )
        .select_from(runs)
        .outerjoin(deliveries, deliveries.c.id == runs.c.delivery_id)
        .outerjoin(orders, of_run_order())
        .where(_SUCCEEDED, runs.c.finished_at >= since, runs.c.workflow == "enrolment")
        .order_by(runs.c.finished_at.desc())
        .limit(_MOST_LATENCIES)
        .subquery()
    )
    ranked = select(
        took.c.hour,
        took.c.seconds,
        func.row_number().over(partition_by=took.c.hour, order_by=took.c.seconds).label("place"),
        func.count().over(partition_by=took.c.hour).label("rows"),
    ).subquery()
    half, most = (
        func.min(case((ranked.c.place * 100 >= share * ranked.c.rows, ranked.c.seconds))) for share in (50, 95)
    )
    query = select(ranked.c.hour, half.label("half"), most.label("most")).group_by(ranked.c.hour)
    return {_moment_of(row.hour): (float(row.half), float(row.most)) for row in connection.execute(query)}


def _moment_of(hour: str) -> datetime:
    return datetime.fromisoformat(hour).replace(tzinfo=UTC)
