"""How each of the systems is doing, for the operator's page: last contact, what failed lately, paused or down."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, case, func, select

from worker.ledger.follow_on.completions import completions_poll
from worker.ledger.periodic.source_watches import Watch, watches
from worker.ledger.runs import breaker
from worker.ledger.sql import record_of
from worker.ledger.states import AttemptKind, DeliveryState, Outcome, Via
from worker.ledger.tables.runs import attempts, cursors, deliveries, pauses, runs
from worker.ledger.views.overview import PauseItem

ERROR_HOURS = 1
_SAMPLE_ROWS = 2000
"""The newest so many calls, and as many deliveries, are looked at: an hour of a company's, a minute of a storm's."""
_ERRORS = (Outcome.RETRYABLE, Outcome.UNKNOWN, Outcome.FINAL)
_FAILED_STATES = (DeliveryState.WAITING, DeliveryState.REVIEW)
_READS_COMPLETIONS = "learningcart"


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemHealth:
    """How one system is doing.

    `state` is `paused`, `down`, `late`, `quiet` or `well`, the worst that holds; `breaker` a sentence. `asked` counts
    the calls of the last hour to a destination and the deliveries from a source, of the newest 2,000 each;
    `error_rate` is None where there were none.
    """

    system: str
    is_source: bool
    is_destination: bool
    state: str
    last_contact_at: datetime | None
    asked: int
    failed: int
    error_rate: float | None
    last_error: str | None
    pause: PauseItem | None
    breaker: str | None
    late_since: datetime | None
    silent_since: datetime | None


def systems(
    connection: Connection, now: datetime, *, sources: Collection[str], destinations: Collection[str]
) -> list[SystemHealth]:
    """Each of the systems named, and whatever else is paused, down or was read from, by name."""
    polled = {row.source: row for row in connection.execute(select(cursors))}
    watched = watches(connection)
    paused = {row.system: row for row in connection.execute(select(pauses))}
    down = {found.system: found for found in breaker.down(connection)}
    calls = _calls(connection, now)
    arrivals = _arrivals(connection, now)
    completions = completions_poll(connection)
    names = {*sources, *destinations, *polled, *paused, *down}
    shown = []
    for name in sorted(names):
        cursor = polled.get(name)
        contacts = [
            calls[name].last_contact_at if name in calls else None,
            arrivals[name].last_webhook_at if name in arrivals else None,
            cursor.last_success_at if cursor is not None else None,
        ]
        counts = [found[name] for found in (calls, arrivals) if name in found]
        asked, failed = sum(each.asked for each in counts), sum(each.failed for each in counts)
        errors = [cursor.last_error if cursor is not None else None]
        if name == _READS_COMPLETIONS and completions is not None:
            contacts.append(completions.last_success_at)
            errors.append(completions.last_error)
        if name in down:
            errors.append(down[name].last_error)
        watch = watched.get(name, Watch())
        shown.append(
            SystemHealth(
                system=name,
                is_source=name in sources,
                is_destination=name in destinations,
                state=_state(watch, is_paused=name in paused, is_down=name in down),
                last_contact_at=max((each for each in contacts if each is not None), default=None),
                asked=asked,
                failed=failed,
                error_rate=failed / asked if asked else None,
                last_error=next((error for error in errors if error), None),
                pause=record_of(PauseItem, paused[name]) if name in paused else None,
                breaker=down[name].sentence(now) if name in down else None,
                late_since=watch.late_since,
                silent_since=watch.silent_since,
            )
        )
    return shown


def _calls(connection: Connection, now: datetime) -> dict[str, Row[Any]]:
    """Of each destination: the calls of the last hour, those that did not work, and its last answer."""
    newest = (
        select(
            attempts.c.run_id,
            attempts.c.started_at,
            attempts.c.finished_at,
            attempts.c.outcome,
            attempts.c.http_status,
        )
        .where(attempts.c.kind != AttemptKind.DEATH)
        .order_by(attempts.c.started_at.desc())
        .limit(_SAMPLE_ROWS)
        .subquery()
    )
    is_new = newest.c.started_at >= now - timedelta(hours=ERROR_HOURS)
    counted = (
        select(
            runs.c.system,
            func.count(case((is_new, 1))).label("asked"),
            func.count(case((is_new & newest.c.outcome.in_(_ERRORS), 1))).label("failed"),
            func.max(case((newest.c.http_status.is_not(None), newest.c.finished_at))).label("last_contact_at"),
        )
        .join(runs, runs.c.id == newest.c.run_id)
        .where(runs.c.system.is_not(None))
        .group_by(runs.c.system)
    )
    return {row.system: row for row in connection.execute(counted)}


def _arrivals(connection: Connection, now: datetime) -> dict[str, Row[Any]]:
    """Of each source: the deliveries of the last hour, those that could not be read, and its last webhook."""
    newest = (
        select(deliveries.c.source, deliveries.c.state, deliveries.c.via, deliveries.c.received_at)
        .order_by(deliveries.c.received_at.desc())
        .limit(_SAMPLE_ROWS)
        .subquery()
    )
    is_new = newest.c.received_at >= now - timedelta(hours=ERROR_HOURS)
    counted = select(
        newest.c.source,
        func.count(case((is_new, 1))).label("asked"),
        func.count(case((is_new & newest.c.state.in_(_FAILED_STATES), 1))).label("failed"),
        func.max(case((newest.c.via == Via.WEBHOOK, newest.c.received_at))).label("last_webhook_at"),
    ).group_by(newest.c.source)
    return {row.source: row for row in connection.execute(counted)}


def _state(watch: Watch, *, is_paused: bool, is_down: bool) -> str:
    """The worst of what is known."""
    if is_paused:
        return "paused"
    if is_down:
        return "down"
    if watch.late_since is not None:
        return "late"
    return "well" if watch.silent_since is None else "quiet"
