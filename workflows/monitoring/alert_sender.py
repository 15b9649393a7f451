"""Tells the operator, by whatever sends: alerts when something is wrong, and each day summed up once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, time, timedelta, tzinfo
from typing import Any

from worker.errors import ApiError
from worker.ledger.periodic import alert_states
from worker.ledger.session import Ledger
from worker.settings.notifications import AlertsSettings
from workflows.monitoring.alerts import AlertsSent, Problem, judge, problems

log = logging.getLogger(__name__)

LEASE_SECONDS = 120.0
DAY = timedelta(days=1)

Send = Callable[[str, str], object]
"""Sends a title and a text; raises `ApiError` where nobody took it."""


def tell(ledger: Ledger, send: Send, options: AlertsSettings, *, holder: str, now: datetime, zone: tzinfo) -> list[str]:
    """Look once for what is wrong, and send what is new; returns the titles sent.

    Harmless when two run: the ledger lets one send. What was sent is written after the message is taken: killed
    between the two, the next tells again, for an alert twice is better than none. What nobody takes is tried again at
    the next look.
    """
    page_url = options.page_url
    group, repeat = timedelta(seconds=options.group_seconds), timedelta(seconds=options.repeat_seconds)
    summary_at = time.fromisoformat(options.summary_at) if options.summary_at else None
    with ledger.write() as connection:
        position = alert_states.take(connection, holder=holder, now=now, lease_seconds=LEASE_SECONDS)
    if position is None:
        return []
    before = AlertsSent.read(position)
    state, sent = before, []
    try:
        with ledger.read() as connection:
            found = problems(connection, now)
        alert, after = judge(found, state, now=now, group=group, repeat=repeat)
        if alert is not None:
            send(alert.title, alert.text(page_url))
            sent.append(alert.title)
        state = after
        day = due_day(state.summary_day, now=now, summary_at=summary_at, zone=zone)
        if day is not None:
            if state.summary_day:
                with ledger.read() as connection:
                    figures = alert_states.figures(connection, since=now - DAY)
                title = f"Cartbridge: {figures['succeeded']} enrolled, {counted(found)}"
                send(title, summary(figures, found, page_url))
                sent.append(title)
            state = replace(state, summary_day=day)
    except ApiError as error:
        log.warning("alerts: %s", error)
    finally:
        with ledger.write() as connection:
            alert_states.write(connection, None if state == before else state.document(), holder=holder)
    return sent


def due_day(last: str, *, now: datetime, summary_at: time | None, zone: tzinfo) -> str | None:
    """The day whose summary is due, None when there is none; a first day is begun, not summed up."""
    if summary_at is None:
        return None
    local = now.astimezone(zone)
    if not last:
        # Begun before the hour, the same day's summary is still to come.
        begun = local if local.time() >= summary_at else local - DAY
        return begun.date().isoformat()
    today = local.date().isoformat()
    return today if today > last and local.time() >= summary_at else None


def counted(found: list[Problem]) -> str:
    """How much needs the operator, in a few words."""
    if not found:
        return "nothing needs you"
    return "1 thing needs you" if len(found) == 1 else f"{len(found)} things need you"


def summary(figures: dict[str, Any], found: list[Problem], page_url: str | None) -> str:
    """The day in plain text."""
    lines = [
        "The last 24 hours:",
        f"- {_plural(figures['orders'], 'new order')}",
        f"- {_plural(figures['succeeded'], 'enrolment')} succeeded",
    ]
    if figures["latency_seconds"] is not None:
        lines.append(f"- half of them within {figures['latency_seconds']:.0f} seconds of the order's arrival")
    parts = ["\n".join(lines)]
    parts.append(
        "Needs you:\n" + "\n".join(f"- {problem.title}" for problem in found) if found else "Nothing needs you."
    )
    if page_url:
        parts.append(f"The page: {page_url}/")
    return "\n\n".join(parts)


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
