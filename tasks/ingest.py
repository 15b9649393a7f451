"""The tasks that take orders in: one order by a hint, or whatever a poll finds."""

from __future__ import annotations

from celery import Task, shared_task

from tasks.ledger_task import LedgerTask
from tasks.process import runtime_of
from worker.logs import log_context
from workflows.polling import poll_due

_EARLIEST_SHARE = 0.5
"""A poll that comes sooner than half its interval after the last is a doubled beat's."""


@shared_task(name="cartbridge.ingest", base=LedgerTask, bind=True)
def ingest(self: Task, source: str, order_id: str) -> None:
    """Look at an order of which a hint is due. Safe to repeat: without a due hint it does nothing."""
    runtime = runtime_of(self.app)
    with log_context(order=f"{source}/{order_id}"):
        looked = runtime.hints.look(source, order_id)
        runtime.doorbell.ring_runs(looked.ready)


@shared_task(name="cartbridge.poll", base=LedgerTask, bind=True)
def poll(self: Task, source: str) -> None:
    """Look for a source's new and changed orders. Safe to double: the cursor's lease and its last look decide."""
    runtime = runtime_of(self.app)
    if source not in runtime.sources:
        return
    poll_seconds = runtime.settings.sources()[source].poll_seconds
    with runtime.ledger.read() as connection:
        due = poll_due(connection, source, now=runtime.clock(), poll_seconds=poll_seconds * _EARLIEST_SHARE)
    if due:
        polled = runtime.poller(source).poll()
        runtime.doorbell.ring_runs(polled.ready)
