"""The task that tells the operator what is wrong."""

from __future__ import annotations

import secrets
from datetime import UTC, time, timedelta

from celery import Task, shared_task

from tasks.base import LedgerTask
from tasks.process import runtime_of
from worker.observability.logs import known_secrets
from worker.settings.types import zone_of
from workflows.monitoring.alert_sender import tell


@shared_task(name="cartbridge.alert", base=LedgerTask, bind=True)
def alert(self: Task) -> None:
    """Look at what is wrong and tell what is news. Safe to double: the ledger knows who tells."""
    from worker.clients.alerts import AlertsClient  # noqa: PLC0415  (Apprise takes a fifth of a second to import)

    runtime = runtime_of(self.app)
    options = runtime.settings.alerts
    if not options.is_configured:
        return
    tell(
        runtime.ledger,
        AlertsClient(options.addresses, secrets=known_secrets).send,
        holder=f"{runtime.holder}:{secrets.token_hex(4)}",
        now=runtime.clock(),
        group=timedelta(seconds=options.group_seconds),
        repeat=timedelta(seconds=options.repeat_seconds),
        page_url=options.page_url,
        summary_at=time.fromisoformat(options.summary_at) if options.summary_at else None,
        zone=zone_of(options.time_zone) or UTC,
    )
