"""The tasks that keep everything going: one sends what is due in the ledger, one watches the sources."""

from __future__ import annotations

import logging

from celery import Celery, Task, shared_task
from kombu.connection import Connection

from tasks.base import LedgerTask
from tasks.runtime import Runtime, runtime_of
from worker.broker.queues import QUEUES
from worker.formatting import counted
from worker.ledger.orders import poll_requests
from worker.ledger.pauses import paused_sources
from worker.ledger.runs import due
from worker.ledger.runs.breaker import PROBE_SECONDS
from workflows.monitoring.source_health import check_sources
from workflows.registry import ASKED_STEPS, RISKY_STEPS, destinations, share_of

log = logging.getLogger(__name__)

BATCH = 500


@shared_task(name="cartbridge.dispatch_due", base=LedgerTask, bind=True)
def dispatch_due(self: Task) -> None:
    """Take over runs whose worker vanished, and send what is due: deliveries, runs, and orders to look at again.

    Safe to repeat and to double: what was sent lately is not sent again, and a message for work that is not due does
    nothing.
    """
    sweep(runtime_of(self.app))


@shared_task(name="cartbridge.watch_sources", base=LedgerTask, bind=True)
def watch_sources(self: Task) -> None:
    """Look whether every source is polled in time and brings the orders it usually does. Safe to double."""
    runtime = runtime_of(self.app)
    settings = runtime.settings.sources()
    with runtime.ledger.read() as connection:
        watched = runtime.sources.keys() & settings.keys() - paused_sources(connection)
    poll_seconds = {name: settings[name].poll_seconds for name in sorted(watched)}
    check_sources(runtime.ledger, poll_seconds, now=runtime.clock())


def sweep(runtime: Runtime) -> None:
    """One sweep of the ledger. Commits before it sends."""
    settings = runtime.settings
    now = runtime.clock()
    runtime.offers.keep(now)
    with runtime.ledger.read() as connection:
        if not due.anything_due(connection, now=now):
            return
    with runtime.ledger.write() as connection:
        recovered = due.recover_orphans(
            connection,
            now=now,
            settle_seconds=settings.settle_seconds,
            max_attempts=settings.retry.max_attempts,
            backoff_seconds=settings.retry.base_seconds,
            asked_steps=ASKED_STEPS,
        )
        order_ids = due.take_due_orders(connection, now=now, limit=BATCH)
        to_poll = poll_requests.take_due_sources(connection, now=now)
        run_ids = [
            run_id
            for system in destinations()
            if system in runtime.clients  # the runs of one that is not configured wait
            for run_id in due.take_due_runs(
                connection,
                now=now,
                system=system,
                share=share_of(system),
                limit=BATCH,
                probe_seconds=min(PROBE_SECONDS, settings.retry.max_seconds),
                risky_steps=RISKY_STEPS,
            )
        ]
        again = due.take_orders_to_replan(connection, now=now, limit=BATCH)
    if recovered:
        log.warning("took over %s whose worker vanished", counted(recovered, "run"))
    for source, order_id in order_ids:
        runtime.dispatcher.send_order(source, order_id)
    for source in to_poll:
        runtime.dispatcher.send_poll(source)
    runtime.dispatcher.send_runs(run_ids)
    for source, order_id in again:
        recorded = runtime.delivery_reader.replan(source, order_id)
        if recorded is not None:
            runtime.dispatcher.send_runs(recorded.ready)


_CONNECT_SECONDS = 1.0


def queue_depths(app: Celery) -> dict[str, int] | None:
    """The messages in each of our queues that a worker has not taken, 0 for one nobody has made; None without a broker.

    Never raises; may block for a second.
    """
    try:
        with app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=_CONNECT_SECONDS)
            return {queue: _depth(connection, queue) for queue in QUEUES}
    except Exception:  # noqa: BLE001  (whatever the broker does, a scrape must get its answer)
        return None


def _depth(connection: Connection, queue: str) -> int:
    try:
        # Asking for a queue that is not there closes the channel: each question gets its own.
        with connection.channel() as channel:  # type: ignore[no-untyped-call]
            return int(channel.queue_declare(queue, passive=True).message_count)
    except connection.channel_errors:
        return 0
