"""What beat sends, and how often."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from celery.beat import Scheduler, SchedulingError

from worker.broker.queues import CONTROL_QUEUE, INGEST_QUEUE
from worker.settings.notifications import EventsSettings
from worker.settings.settings import Settings

log = logging.getLogger(__name__)

_MISSED_SWEEPS = 5
_RECONCILE_ASK_SECONDS = 1800.0
_WATCH_SECONDS = 60.0
_ALERT_SECONDS = 60.0
_BACKFILL_ASK_SECONDS = 60.0
_ERASE_SECONDS = 3600.0
_COMPLETIONS_ASK_SECONDS = 60.0
_CATALOG_ASK_SECONDS = 900.0
_OUTBOX_SECONDS = 5.0
_REPORT_ASK_SECONDS = 900.0
_UNUSED_CARTS_SECONDS = 3600.0


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """Every entry is harmless when it fires twice: the ledger decides what is due.

    What is done once a night or a day is asked for more often: the ledger knows whether it is done, and beat begins its
    intervals anew with every restart.
    """
    sweep = settings.dispatch_seconds
    schedule = {
        "dispatch_due": _entry("dispatch_due", sweep, CONTROL_QUEUE, expires=sweep * _MISSED_SWEEPS),
        "reconcile": _entry("reconcile", _RECONCILE_ASK_SECONDS, INGEST_QUEUE),
        # Also where passwords are dropped by now, as some may be kept from before.
        "erase_passwords": _entry("erase_passwords", _ERASE_SECONDS, CONTROL_QUEUE),
        "expire": _entry("expire", _ERASE_SECONDS, INGEST_QUEUE),
        # What was lost of a request's message; usually there is none. Also where its source was turned off since.
        "backfill": _entry("backfill", _BACKFILL_ASK_SECONDS, INGEST_QUEUE),
    }
    if settings.sources():
        schedule["watch_sources"] = _entry("watch_sources", _WATCH_SECONDS, CONTROL_QUEUE)
    if settings.studiocart.is_configured:
        schedule["refresh_catalog"] = _entry("refresh_catalog", _CATALOG_ASK_SECONDS, INGEST_QUEUE)
    learningcart = settings.learningcart
    if learningcart.is_configured and learningcart.poll_seconds > 0:
        ask_seconds = completions_ask_seconds(learningcart.poll_seconds)
        schedule["poll_completions"] = _entry(
            "poll_completions", ask_seconds, INGEST_QUEUE, expires=max(ask_seconds, 5.0)
        )
    if settings.alerts.is_configured:
        schedule["alert"] = _entry("alert", _ALERT_SECONDS, CONTROL_QUEUE)
    if settings.report.mail_to is not None and settings.mail.is_configured:
        schedule["mail_report"] = _entry("mail_report", _REPORT_ASK_SECONDS, CONTROL_QUEUE)
    if settings.threedcart.is_configured:
        schedule["delete_unused_carts"] = _entry("delete_unused_carts", _UNUSED_CARTS_SECONDS, INGEST_QUEUE)
    if events_of(settings) is not None:
        schedule["deliver_events"] = _entry("deliver_events", _OUTBOX_SECONDS, INGEST_QUEUE)
    for name, source in settings.sources().items():
        if (seconds := source.asked_every_seconds) > 0:
            entry = _entry("poll", seconds, INGEST_QUEUE, expires=max(seconds, 5.0))
            schedule[f"poll_{name}"] = entry | {"args": (name,)}
    return schedule


def _entry(task: str, seconds: float, queue: str, *, expires: float | None = None) -> dict[str, Any]:
    """Send a task every so many seconds. A message that nobody took until the next one is due is dropped."""
    return {
        "task": f"cartbridge.{task}",
        "schedule": timedelta(seconds=seconds),
        "options": {"queue": queue, "expires": expires or seconds},
    }


def completions_ask_seconds(poll_seconds: float) -> float:
    """How often beat asks whether a poll of the completions is due."""
    return min(poll_seconds, _COMPLETIONS_ASK_SECONDS)


def events_of(settings: Settings) -> EventsSettings | None:
    """Where events are sent; None while nobody receives them."""
    return settings.events if settings.events.is_configured else None


class LedgerScheduler(Scheduler):  # type: ignore[misc]
    """Beat without a file of its own (the ledger knows what is due), which says in one line that the broker is away.

    Celery's waits, after its machine's clock was set back, until that is again where it was: hours without a sweep.
    """

    _looked_at: datetime | None = None

    def tick(self, *arguments: Any, **options: Any) -> float:
        """Send what is due; returns the seconds to the next look. A clock that was set back begins intervals anew."""
        now = self.app.now()
        if self._looked_at is not None and now < self._looked_at:
            for entry in self.schedule.values():
                entry.last_run_at = min(entry.last_run_at, now)
            self._heap = None
        self._looked_at = now
        seconds: float = super().tick(*arguments, **options)
        return seconds

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send one entry's task. A broker that is away costs this tick; the next one tries again.

        Whoever is to know of it is `app.note_broker`.
        """
        is_away = False
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            is_away = True
            log.warning(
                "beat cannot reach the broker: %s", type(error.__cause__ or error.__context__ or error).__name__
            )
        note = getattr(self.app, "note_broker", None)
        if note is not None:
            note(is_away=is_away)
