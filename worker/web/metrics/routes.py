"""`GET /metrics` for Prometheus: what this process has answered, and what the ledger holds when it is asked.

No label holds an id, an email or anything else a client chose.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.ledger.session import Ledger
from worker.web.metrics.ledger_metrics import LedgerCollector

_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

QueueDepths = Callable[[], Mapping[str, int] | None]
"""The messages in each queue of the broker; None while it is away."""


class Metrics:
    """The counters of one app, in a registry of their own."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        clock: Callable[[], datetime],
        webhook_sources: Collection[str] = (),
        queue_depths: QueueDepths | None = None,
    ) -> None:
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
        if queue_depths is not None:
            self.registry.register(BrokerCollector(queue_depths))

    def count_webhook(self, source: str, outcome: str) -> None:
        """Count one webhook; both words are ours, never the sender's."""
        self._webhooks.labels(source, outcome).inc()

    def observe_request(self, *, route: str, method: str, status: int, duration_seconds: float) -> None:
        """Note one answer; `route` is the route's template, not the path."""
        self._requests.labels(route, method, str(status)).observe(duration_seconds)


class BrokerCollector(Collector):
    """Asks the broker when it is scraped. While it is away, `cartbridge_broker_up` is 0 and the rest is left out."""

    def __init__(self, queue_depths: QueueDepths) -> None:
        self._queue_depths = queue_depths

    def describe(self) -> Iterable[Metric]:
        """Nothing: being registered must not ask the broker."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Whether the broker is there, and how many messages wait in each queue."""
        depths = self._queue_depths()
        up = GaugeMetricFamily("cartbridge_broker_up", "1 while the broker answers.")
        up.add_metric([], depths is not None)
        yield up
        if depths is not None:
            waiting = GaugeMetricFamily("cartbridge_queue_messages", "Messages in each queue.", labels=["queue"])
            for queue, count in sorted(depths.items()):
                waiting.add_metric([queue], count)
            yield waiting


def metrics_routes(metrics: Metrics) -> APIRouter:
    """The route."""
    router = APIRouter(include_in_schema=False)

    @router.get("/metrics")
    def show_metrics() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
