"""The Celery application: how messages travel. What they mean is in `tasks`; what must happen is in the ledger."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from celery import Celery, signals
from celery.beat import Scheduler, SchedulingError

from worker.broker import redis_transport
from worker.clients.events import EventsAccess
from worker.settings.settings import Settings

log = logging.getLogger(__name__)

CONTROL_QUEUE = "control"
INGEST_QUEUE = "ingest"
SYSTEM_QUEUES = ("learningcart", "threedcart", "mail")
"""A step's task goes to its destination's queue, so that a slow system does not hold up another."""
QUEUES = (CONTROL_QUEUE, INGEST_QUEUE, *SYSTEM_QUEUES)

_MEMORY_POLL_SECONDS = 0.01
"""Kombu's default of a second is what makes its memory transport slow."""
_SOCKET_SECONDS = 2.0
_VISIBILITY_SECONDS = 300
"""Redis gives a killed worker's message back after this. Nothing waits for it: the ledger sends due work again."""
_SOFT_SHUTDOWN_SECONDS = 30.0
_MISSED_SWEEPS = 5
_RECONCILE_ASK_SECONDS = 1800.0
_WATCH_SECONDS = 60.0
_ALERT_SECONDS = 60.0
_ERASE_SECONDS = 3600.0
_COMPLETIONS_ASK_SECONDS = 60.0
_CATALOG_ASK_SECONDS = 900.0
_OUTBOX_SECONDS = 5.0
_UNUSED_CARTS_SECONDS = 3600.0


def create_celery(settings: Settings) -> Celery:
    """A configured application.

    Its tasks are those of the `tasks` package; `app.settings` are the settings it was made with.
    """
    redis_transport.install()
    broker_url = "memory://localhost//" if settings.embedded else settings.broker_url.get_secret_value()
    app = Celery("cartbridge", broker=broker_url, set_as_current=True)
    app.settings = settings
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        # A message is done when its task is: a worker that dies gives it back.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_soft_shutdown_timeout=_SOFT_SHUTDOWN_SECONDS,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=settings.worker.events,
        # Whoever reaches the broker could end every worker by it.
        worker_enable_remote_control=settings.worker.remote_control and not settings.embedded,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_transport_options(settings),
        task_default_queue=CONTROL_QUEUE,
        task_create_missing_queues=True,
        task_queues=None,
        beat_scheduler="worker.broker.app:LedgerScheduler",
        beat_schedule=_beat_schedule(settings),
        imports=("tasks",),
        timezone="UTC",
    )
    return app


def _transport_options(settings: Settings) -> dict[str, Any]:
    url = settings.broker_url.get_secret_value()
    if settings.embedded:
        return {"polling_interval": _MEMORY_POLL_SECONDS}
    if url.startswith("redis"):
        return {
            "visibility_timeout": _VISIBILITY_SECONDS,
            "unacked_restore_interval": 30,
            "unacked_restore_throttle": 10,
            # More than the second for which a worker's read waits for a message, and as long as a frozen Redis holds
            # up whoever sends.
            "socket_timeout": 5.0,
            # A message is tried once: the ledger sends it again. The worker's own connection has a setting of its own.
            "max_retries": 0,
            "socket_connect_timeout": _SOCKET_SECONDS,
            "socket_keepalive": True,
            "health_check_interval": 25,
        }
    return {"confirm_publish": True}


def _beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
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
    if settings.threedcart.is_configured:
        schedule["delete_unused_carts"] = _entry("delete_unused_carts", _UNUSED_CARTS_SECONDS, INGEST_QUEUE)
    if events_of(settings) is not None:
        schedule["deliver_events"] = _entry("deliver_events", _OUTBOX_SECONDS, INGEST_QUEUE)
    for name, source in settings.sources().items():
        if source.poll_seconds > 0:
            entry = _entry("poll", source.poll_seconds, INGEST_QUEUE, expires=max(source.poll_seconds, 5.0))
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


def events_of(settings: Settings) -> EventsAccess | None:
    """Where events are sent; None while nobody is to be told."""
    return settings.events if settings.events.is_configured else None


class LedgerScheduler(Scheduler):  # type: ignore[misc]
    """Beat without a file of its own (the ledger knows what is due), which says in one line that the broker is away."""

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send one entry's task. A broker that is away costs this tick; the next one tries again."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            log.warning("beat cannot reach the broker: %s", type(error.__cause__ or error).__name__)


@signals.setup_logging.connect(weak=False)  # type: ignore[untyped-decorator]
def _keep_our_logging(**_: Any) -> None:
    """Celery would set up its own handlers; ours take the secrets out, so they stay."""
