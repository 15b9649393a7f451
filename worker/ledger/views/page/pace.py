"""How many orders came and how many enrolments were done, hour by hour, and how long access took."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
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
    select,
    type_coerce,
)
from sqlalchemy.types import DateTime, Float, String

from worker.ledger.states import RunState
from worker.ledger.tables.runs import deliveries, orders, runs
from worker.ledger.views.latency import bought_at, of_run_order

PACE_HOURS = 48
PACE_DAYS = 30
_MOST_LATENCIES = 20_000
"""So many of the newest enrolments tell how long access took: more would tell the same, later."""
_SUCCEEDED = runs.c.state == RunState.SUCCEEDED


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
    came = _counted(connection, orders.c.first_seen_at, _Span.HOUR, orders.c.first_seen_at >= first)
    done = _counted(connection, runs.c.finished_at, _Span.HOUR, _SUCCEEDED, runs.c.finished_at >= first)
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
    came = _counted(connection, orders.c.first_seen_at, _Span.DAY, orders.c.first_seen_at >= first)
    done = _counted(connection, runs.c.finished_at, _Span.DAY, _SUCCEEDED, runs.c.finished_at >= first)
    found: dict[date, list[int]] = {(first + timedelta(days=number)).date(): [0, 0] for number in range(days)}
    for column, counts in enumerate((came, done)):
        for begins_at, count in counts.items():
            if begins_at.date() in found:  # what is dated ahead of now is of no day yet
                found[begins_at.date()][column] = count
    return [DayOfWork(day, *counts) for day, counts in found.items()]


class _Span(StrEnum):
    """What is counted apart; of UTC."""

    HOUR = "hour"
    DAY = "day"


_LETTERS = {_Span.HOUR: 13, _Span.DAY: 10}
"""How much of a moment as SQLite keeps it (`2026-03-04 05:06:07.000000`) names its hour, and its day."""


def _counted(
    connection: Connection, moment: Column[Any], span: _Span, *conditions: ColumnElement[bool] | TextClause
) -> dict[datetime, int]:
    begins_at = _begin(connection, moment, span).label("begins_at")
    counted = select(begins_at, func.count().label("rows")).select_from(moment.table).where(*conditions)
    return {_moment_of(row.begins_at): row.rows for row in connection.execute(counted.group_by(begins_at))}


def _begin(connection: Connection, moment: Column[Any], span: _Span) -> ColumnElement[Any]:
    """When the hour or the day that a moment is in begins, in UTC; `_moment_of` reads it."""
    if connection.dialect.name == "sqlite":
        return func.substr(type_coerce(moment, String()), 1, _LETTERS[span], type_=String())
    return func.date_trunc(str(span), func.timezone("UTC", moment), type_=DateTime())


def _seconds_between(connection: Connection, begun: ColumnElement[Any], ended: Column[Any]) -> ColumnElement[float]:
    if connection.dialect.name == "sqlite":
        return (func.julianday(ended, type_=Float()) - func.julianday(begun, type_=Float())) * 86_400.0
    return cast(extract("epoch", ended - begun), Float())


def _latencies(connection: Connection, since: datetime) -> dict[datetime, tuple[float, float]]:
    """Within how many seconds half and 95 of a hundred enrolments were done, by the hour in which they were."""
    took = (
        select(
            _begin(connection, runs.c.finished_at, _Span.HOUR).label("hour"),
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


def _moment_of(begins_at: datetime | str) -> datetime:
    if isinstance(begins_at, str):
        begins_at = datetime.fromisoformat(begins_at)
    return begins_at.replace(tzinfo=UTC)
