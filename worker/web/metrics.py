"""`GET /metrics` for Prometheus: what this process has answered, and what the ledger holds when it is asked.

No label holds an id, an email or anything else a client chose.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from worker.ledger import breaker
from worker.ledger.books import missed_by_webhook
from worker.ledger.breaker import BreakerState
from worker.ledger.models import cursors, deliveries, pauses, runs
from worker.ledger.session import Ledger
from worker.ledger.states import CLAIMABLE
from worker.ledger.watching import watches
from worker.web.problems import report_ledger_error

LEDGER_READ_SECONDS = 10.0
"""The ledger is read once in this time at most, however many scrape."""
_REST_FACTOR = 20
"""After a slow read (a second for a million runs on SQLite) the ledger is left alone for so many times as long."""
_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The counters of one app, in a registry of their own."""

    def __init__(self, ledger: Ledger, *, clock: Callable[[], datetime], webhook_sources: Collection[str] = ()) -> None:
        self.registry = CollectorRegistry()
        self._webhooks = Counter(
            "cartbridge_webhooks", "Webhooks by what became of them.", ["source", "outcome"], registry=self.registry
        )
        self._requests = Histogram(
            "cartbridge_http_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            ["route", "method", "status"],
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.registry.register(LedgerCollector(ledger, clock=clock, webhook_sources=webhook_sources))

    def count_webhook(self, source: str, outcome: str) -> None:
        """Count one webhook; both words are ours, never the sender's."""
        self._webhooks.labels(source, outcome).inc()

    def observe_request(self, *, route: str, method: str, status: int, duration_seconds: float) -> None:
        """Note one answer; `route` is the route's template, not the path."""
        self._requests.labels(route, method, str(status)).observe(duration_seconds)


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
                found = [*_work(connection), _oldest_due(connection, self._clock()), *_systems(connection)]
                if self._webhook_sources:
                    found.append(_missed(connection, self._webhook_sources))
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


def _missed(connection: Connection, webhook_sources: Collection[str]) -> Metric:
    """Orders that only a poll or a reconciliation found: a rising number says that webhooks do not arrive."""
    gauge = GaugeMetricFamily(
        "cartbridge_orders_missed_by_webhook", "Orders found though no webhook told of them.", labels=["source"]
    )
    for source, count in missed_by_webhook(connection, webhook_sources).items():
        gauge.add_metric([source], count)
    return gauge


def _systems(connection: Connection) -> Iterator[Metric]:
    polled = GaugeMetricFamily(
        "cartbridge_last_successful_poll_timestamp_seconds",
        "When each source was last read to the end, as Unix time.",
        labels=["source"],
    )
    for source, moment in connection.execute(
        select(cursors.c.source, cursors.c.last_success_at).where(cursors.c.last_success_at.is_not(None))
    ):
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
    down = GaugeMetricFamily(
        "cartbridge_breaker_open", "1 for each system that is down, 0 while it recovers.", labels=["system"]
    )
    for found in breaker.disturbed(connection):
        down.add_metric([found.system], found.state is BreakerState.OPEN)
    yield down


def metrics_routes(metrics: Metrics) -> APIRouter:
    """The route."""
    router = APIRouter(include_in_schema=False)

    @router.get("/metrics")
    def show_metrics() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
