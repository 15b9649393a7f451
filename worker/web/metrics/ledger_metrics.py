"""What the ledger tells Prometheus: states, ages, latencies, polls, pauses. No label holds an id or an email."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime, timedelta

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select, union_all
from sqlalchemy.exc import SQLAlchemyError

from worker.ledger.outbox import OutboxState
from worker.ledger.periodic.list_polls import ListName
from worker.ledger.periodic.source_watches import watches
from worker.ledger.runs import breaker
from worker.ledger.session import Ledger
from worker.ledger.states import CLAIMABLE, RunState
from worker.ledger.tables.periodic import list_polls
from worker.ledger.tables.runs import attempts, cursors, deliveries, outbox, pauses, runs
from worker.ledger.views.overview import MISSED_WINDOW
from worker.ledger.views.reconcile import missed_by_webhook
from worker.web.metrics.access_latency import AccessLatency
from worker.web.problems import report_ledger_error

LEDGER_READ_SECONDS = 10.0
"""The ledger is read once in this time at most, however many scrape."""
_REST_FACTOR = 20
"""After a slow read (a second for a million runs on SQLite) the ledger is left alone for so many times as long."""


class LedgerCollector(Collector):
    """Reads the ledger when it is scraped. While it cannot, `cartbridge_ledger_up` is 0 and the rest is left out."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        clock: Callable[[], datetime],
        webhook_sources: Collection[str] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`webhook_sources`: those that should tell of their orders by webhook."""
        self._ledger = ledger
        self._webhook_sources = webhook_sources
        self._clock = clock
        self._monotonic = monotonic
        self._latency = AccessLatency()
        self._reading = threading.Lock()
        self._read_again_at = 0.0
        self._last: list[Metric] = []

    def describe(self) -> Iterable[Metric]:
        """Nothing: being registered must not read the ledger."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The ledger's gauges, usually `LEDGER_READ_SECONDS` old at most."""
        with self._reading:
            begun_at = self._monotonic()
            if begun_at >= self._read_again_at:
                self._last = self._read()
                took_seconds = self._monotonic() - begun_at
                self._read_again_at = begun_at + max(LEDGER_READ_SECONDS, _REST_FACTOR * took_seconds)
            yield from self._last

    def _read(self) -> list[Metric]:
        up = GaugeMetricFamily("cartbridge_ledger_up", "1 while the ledger can be read.")
        try:
            with self._ledger.read() as connection:
                now = self._clock()
                found = [
                    *_work(connection),
                    *_needs_person(connection, now),
                    _oldest_due(connection, now),
                    _calls(connection, now),
                    *_outbox(connection, now),
                    *_systems(connection),
                    self._latency.read(connection, now),
                ]
                if self._webhook_sources:
                    found.append(_missed(connection, self._webhook_sources, now))
        except SQLAlchemyError as error:
            report_ledger_error(error)
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        return [up, *found]


def _work(connection: Connection) -> Iterator[Metric]:
    by_state = GaugeMetricFamily("cartbridge_runs", "Runs by workflow and state.", labels=["workflow", "state"])
    counted = select(runs.c.workflow, runs.c.state, func.count()).group_by(runs.c.workflow, runs.c.state)
    for workflow, state, count in connection.execute(counted):
        by_state.add_metric([workflow, state], count)
    yield by_state
    arrived = GaugeMetricFamily("cartbridge_deliveries", "Deliveries by state.", labels=["state"])
    for state, count in connection.execute(select(deliveries.c.state, func.count()).group_by(deliveries.c.state)):
        arrived.add_metric([state], count)
    yield arrived


def _needs_person(connection: Connection, now: datetime) -> Iterator[Metric]:
    """What waits for the operator, by reason: the reasons are ours, and few."""
    labels = ["state", "reason"]
    waiting = GaugeMetricFamily("cartbridge_needs_person", "Runs that wait for a person.", labels=labels)
    oldest = GaugeMetricFamily(
        "cartbridge_needs_person_oldest_seconds", "Seconds since the oldest of them came to that.", labels=labels
    )
    grouped = (
        select(runs.c.state, runs.c.reason, func.count().label("how_many"), func.min(runs.c.updated_at).label("since"))
        .where(runs.c.state.in_([RunState.REVIEW, RunState.FAILED]))
        .group_by(runs.c.state, runs.c.reason)
    )
    for row in connection.execute(grouped):
        waiting.add_metric([row.state, row.reason or ""], row.how_many)
        oldest.add_metric([row.state, row.reason or ""], max(0.0, (now - row.since).total_seconds()))
    yield waiting
    yield oldest


def _calls(connection: Connection, now: datetime) -> Metric:
    """How the destinations answered lately."""
    gauge = GaugeMetricFamily(
        "cartbridge_calls_last_hour", "Calls begun in the last hour, by step and outcome.", labels=["step", "outcome"]
    )
    # A run of several groups has numbered steps of one kind; a call without an outcome is under way.
    counted: Counter[tuple[str, str]] = Counter()
    for step, outcome, count in connection.execute(
        select(attempts.c.step, attempts.c.outcome, func.count())
        .where(attempts.c.started_at >= now - timedelta(hours=1))
        .group_by(attempts.c.step, attempts.c.outcome)
    ):
        counted[step.rstrip("0123456789").rstrip("_"), outcome or "open"] += count
    for labels, count in sorted(counted.items()):
        gauge.add_metric(labels, count)
    return gauge


def _outbox(connection: Connection, now: datetime) -> Iterator[Metric]:
    """Events a receiver has not taken."""
    by_state = GaugeMetricFamily("cartbridge_outbox_events", "Events not sent, by state.", labels=["state"])
    oldest = GaugeMetricFamily("cartbridge_outbox_oldest_pending_seconds", "Seconds since the oldest unsent event.")
    grouped = (
        select(outbox.c.state, func.count().label("how_many"), func.min(outbox.c.created_at).label("since"))
        .where(outbox.c.state.in_([OutboxState.PENDING, OutboxState.FAILED]))
        .group_by(outbox.c.state)
    )
    age_seconds = 0.0
    for row in connection.execute(grouped):
        by_state.add_metric([row.state], row.how_many)
        if row.state == OutboxState.PENDING:
            age_seconds = max(0.0, (now - row.since).total_seconds())
    oldest.add_metric([], age_seconds)
    yield by_state
    yield oldest


def _oldest_due(connection: Connection, now: datetime) -> Metric:
    """How far the workers are behind; 0 when nothing is due."""
    gauge = GaugeMetricFamily("cartbridge_oldest_due_run_seconds", "Seconds since the oldest due run became due.")
    claimable = runs.c.state.in_(sorted(CLAIMABLE))
    due_at = [
        connection.scalar(select(func.min(runs.c.next_attempt_at)).where(claimable, runs.c.next_attempt_at <= now)),
        connection.scalar(select(func.min(runs.c.created_at)).where(claimable, runs.c.next_attempt_at.is_(None))),
    ]
    oldest = min((moment for moment in due_at if moment is not None), default=now)
    gauge.add_metric([], max(0.0, (now - oldest).total_seconds()))
    return gauge


def _missed(connection: Connection, webhook_sources: Collection[str], now: datetime) -> Metric:
    """Orders that only a poll or a reconciliation found: a rising number says that webhooks do not arrive."""
    gauge = GaugeMetricFamily(
        "cartbridge_orders_missed_by_webhook",
        "Orders of 30 days found though no webhook told of them.",
        labels=["source"],
    )
    for source, count in missed_by_webhook(connection, webhook_sources, since=now - MISSED_WINDOW).items():
        gauge.add_metric([source], count)
    return gauge


def _systems(connection: Connection) -> Iterator[Metric]:
    polled = GaugeMetricFamily(
        "cartbridge_last_successful_poll_timestamp_seconds",
        "When each source was last read to the end, as Unix time.",
        labels=["source"],
    )
    of_completions = list_polls.c.list_name == ListName.COMPLETIONS  # the other lists assist a source's orders
    for source, moment in connection.execute(
        union_all(
            select(cursors.c.source, cursors.c.last_success_at),
            select(list_polls.c.source, list_polls.c.last_success_at).where(of_completions),
        )
    ):
        if moment is not None:
            polled.add_metric([source], moment.timestamp())
    yield polled
    late = GaugeMetricFamily(
        "cartbridge_source_poll_late", "1 while no poll has succeeded for three intervals.", labels=["source"]
    )
    silent = GaugeMetricFamily(
        "cartbridge_source_silent", "1 while a source brings no new orders for unusually long.", labels=["source"]
    )
    for source, watch in sorted(watches(connection).items()):
        late.add_metric([source], watch.late_since is not None)
        silent.add_metric([source], watch.silent_since is not None)
    yield late
    yield silent
    paused = GaugeMetricFamily(
        "cartbridge_system_paused", "1 for each system nothing is sent to.", labels=["system", "kind"]
    )
    for system, kind in connection.execute(select(pauses.c.system, pauses.c.kind)):
        paused.add_metric([system, kind], 1)
    yield paused
    down = GaugeMetricFamily("cartbridge_breaker_open", "1 for each system that is down.", labels=["system"])
    for found in breaker.down(connection):
        down.add_metric([found.system], 1)
    yield down
