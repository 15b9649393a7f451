"""The Celery application: how messages travel. What they mean is in `tasks`; what must happen is in the ledger."""

from __future__ import annotations

from typing import Any

from celery import Celery, signals

from worker.broker.queues import CONTROL_QUEUE
from worker.broker.schedule import beat_schedule
from worker.settings.settings import Settings

_MEMORY_POLL_SECONDS = 0.01
"""Kombu's default of a second is what makes its memory transport slow."""
_SOCKET_SECONDS = 2.0
_SOFT_SHUTDOWN_SECONDS = 30.0


def create_celery(settings: Settings) -> Celery:
    """A configured application.

    Its tasks are those of the `tasks` package; `app.settings` are the settings it was made with.
    """
    if settings.broker_url.get_secret_value().startswith("redis"):
        from worker.broker import redis_transport  # noqa: PLC0415 -- ten megabytes that one process alone does not need

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
        # A message is done when its task is: a worker that is stopped meanwhile gives it back.
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
        beat_scheduler="worker.broker.schedule:LedgerScheduler",
        beat_schedule=beat_schedule(settings),
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
            # More than the second for which a worker's read waits for a message, and as long as a frozen Redis holds
            # up whoever sends.
            "socket_timeout": 5.0,
            # A message is tried once: the ledger sends it again. The worker's own connection has a setting of its own.
            "max_retries": 0,
            "socket_connect_timeout": _SOCKET_SECONDS,
            "socket_keepalive": True,
            "health_check_interval": 25,
            "priority_steps": [0],  # no message has a priority, and a worker's read names each step of each queue
        }
    return {"confirm_publish": True}


@signals.setup_logging.connect(weak=False)  # type: ignore[untyped-decorator]
def _keep_our_logging(**_: Any) -> None:
    """Celery would set up its own handlers; ours take the secrets out, so they stay."""
