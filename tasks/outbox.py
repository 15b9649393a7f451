"""The task that tells the receiver of events what happened."""

from __future__ import annotations

from contextlib import closing
from random import Random

from celery import Task, shared_task

from tasks.base import LedgerTask
from tasks.process import runtime_of
from worker.broker.app import events_of
from worker.clients.events import EventsClient
from worker.observability.logs import known_secrets
from workflows.monitoring.event_delivery import deliver_due
from workflows.monitoring.run_events import note_run_events


@shared_task(name="cartbridge.deliver_events", base=LedgerTask, bind=True)
def deliver_events(self: Task) -> None:
    """Send the events that are due. Safe to double: the ledger gives each to one sender at a time."""
    runtime = runtime_of(self.app)
    access = events_of(runtime.settings)
    if access is None:
        return
    note_run_events(runtime.ledger, now=runtime.clock())
    with closing(EventsClient(access, secrets=known_secrets)) as messenger:
        deliver_due(
            runtime.ledger,
            messenger,
            clock=runtime.clock,
            rng=Random(),  # noqa: S311  (jitter, not a secret)
            should_stop=runtime.stopping.is_set,
        )
