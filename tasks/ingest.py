"""The tasks that take orders in: one order by a hint, or whatever a poll finds."""

from __future__ import annotations

from celery import Task, shared_task
from sqlalchemy import select

from tasks.ledger_task import LedgerTask
from tasks.process import runtime_of
from tasks.runtime import Runtime
from worker.ledger.models import deliveries
from worker.ledger.states import DeliveryState
from worker.logs import log_context
from worker.tracing import tracing
from workflows.polling import poll_due

_EARLIEST_SHARE = 0.5
"""A poll that comes sooner than half its interval after the last is a doubled beat's."""


@shared_task(name="cartbridge.ingest", base=LedgerTask, bind=True)
def ingest(self: Task, source: str, order_id: str) -> None:
    """Look at an order of which a hint is due. Safe to repeat: without a due hint it does nothing."""
    runtime = runtime_of(self.app)
    with (
        log_context(order=f"{source}/{order_id}"),
        tracing().within("ingest", _delivery_of(runtime, source, order_id), source=source),
    ):
        looked = runtime.hints.look(source, order_id)
        runtime.doorbell.ring_runs(looked.ready)


def _delivery_of(runtime: Runtime, source: str, order_id: str) -> str | None:
    """The first delivery that waits to be looked at, whose trace this is; asked for only where there are traces."""
    if not tracing().is_on:
        return None
    with runtime.ledger.read() as connection:
        return connection.scalar(
            select(deliveries.c.id)
            .where(
                deliveries.c.source == source,
                deliveries.c.order_id == order_id,
                deliveries.c.state.in_([DeliveryState.RECEIVED, DeliveryState.WAITING]),
            )
            .order_by(deliveries.c.received_at, deliveries.c.id)
            .limit(1)
        )


@shared_task(name="cartbridge.poll", base=LedgerTask, bind=True)
def poll(self: Task, source: str) -> None:
    """Look for a source's new and changed orders and subscriptions. Safe to double: the cursors' leases decide."""
    runtime = runtime_of(self.app)
    if source not in runtime.sources:
        return
    poll_seconds = runtime.settings.sources()[source].poll_seconds
    with runtime.ledger.read() as connection:
        due = poll_due(connection, source, now=runtime.clock(), poll_seconds=poll_seconds * _EARLIEST_SHARE)
    if due:
        # Subscriptions first: what is known of them tells renewals among the orders.
        subscriptions = runtime.subscription_poller(source)
        if subscriptions is not None:
            runtime.doorbell.ring_runs(subscriptions.poll().ready)
        polled = runtime.poller(source).poll()
        runtime.doorbell.ring_runs(polled.ready)
