"""The tasks that take orders in: one order by a hint, whatever a poll finds, and the names of products."""

from __future__ import annotations

import secrets
from datetime import datetime

from celery import Task, shared_task
from sqlalchemy import select

from tasks.base import LedgerTask
from tasks.runtime import Runtime, runtime_of
from worker.ledger.orders import poll_requests
from worker.ledger.pauses import paused_sources
from worker.ledger.states import DeliveryState
from worker.ledger.tables.runs import deliveries
from worker.observability.logs import log_context
from worker.observability.tracing import tracing
from worker.sources.source import CatalogSource
from workflows.ingest.catalog import refresh
from workflows.ingest.order_polling import Polled, poll_due
from workflows.ingest.requested_backfills import perform_open

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
        looked = runtime.delivery_reader.look(source, order_id)
        runtime.dispatcher.send_runs(looked.ready)


def _paused(runtime: Runtime) -> frozenset[str]:
    """The sources that are not asked for anything now."""
    with runtime.ledger.read() as connection:
        return paused_sources(connection)


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
    if source not in runtime.sources or source in _paused(runtime):
        return
    poll_seconds = runtime.settings.sources()[source].poll_seconds
    polled_at = runtime.clock()
    with runtime.ledger.read() as connection:
        requested = poll_requests.is_requested(connection, source, now=polled_at)
        due = poll_due(connection, source, now=polled_at, poll_seconds=poll_seconds * _EARLIEST_SHARE)
    if not due and not requested:
        return
    # Subscriptions first: what is known of them tells renewals among the orders.
    subscriptions = runtime.subscription_poller(source)
    if subscriptions is not None:
        runtime.dispatcher.send_runs(subscriptions.poll().ready)
    polled = runtime.poller(source).poll()
    runtime.dispatcher.send_runs(polled.ready)
    _answer_requests(runtime, polled, polled_at)


@shared_task(name="cartbridge.backfill", base=LedgerTask, bind=True)
def backfill(self: Task) -> None:
    """Do the backfills that programs asked for. Safe to double: the ledger knows who does which."""
    runtime = runtime_of(self.app)
    perform_open(
        runtime.ledger,
        runtime.backfiller,
        holder=runtime.holder,
        clock=runtime.clock,
        send_runs=runtime.dispatcher.send_runs,
        should_stop=runtime.stopping.is_set,
    )


def _answer_requests(runtime: Runtime, polled: Polled, polled_at: datetime) -> None:
    """Settle the webhooks that asked for this poll, and poll once more for those that came while it was under way."""
    now = runtime.clock()
    with runtime.ledger.read() as connection:
        if polled.busy or not poll_requests.is_requested(connection, polled.source, now=now):
            return
    with runtime.ledger.write() as connection:
        if polled.error is None:
            poll_requests.settle(connection, polled.source, polled_at=polled_at, now=now)
        else:
            poll_requests.put_off(connection, polled.source, note=polled.error[:500], now=now)
        again = poll_requests.is_requested(connection, polled.source, now=now)
    if again:
        runtime.dispatcher.send_poll(polled.source)


@shared_task(name="cartbridge.refresh_catalog", base=LedgerTask, bind=True)
def refresh_catalog(self: Task) -> None:
    """Read the names of every source's products, once a day. Safe to double: the ledger knows when it was done."""
    runtime = runtime_of(self.app)
    paused = _paused(runtime)
    for source in runtime.sources.values():
        if isinstance(source, CatalogSource) and source.name not in paused:
            refresh(runtime.ledger, source, holder=f"{runtime.holder}:{secrets.token_hex(4)}", clock=runtime.clock)
