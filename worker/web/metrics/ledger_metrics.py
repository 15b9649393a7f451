"""What the ledger tells Prometheus: states, ages, latencies, polls, pauses. No label holds an id or an email."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

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
            return [_ledger_up(0)]
        return [_ledger_up(1), *found]


def _gauge(name: str, says: str, labels: Sequence[str], rows: Iterable[Sequence[Any]]) -> Metric:
    """A gauge; each of the rows is its labels' values, and then its own."""
    gauge = GaugeMetricFamily(f"cartbridge_{name}", says, labels=labels)
    for *values, value in rows:
        gauge.add_metric(values, value)
    return gauge


def _ledger_up(value: int) -> Metric:
    return _gauge("ledger_up", "1 while the ledger can be read.", [], [(value,)])


def _work(connection: Connection) -> Iterator[Metric]:
    by_state = (runs.c.workflow, runs.c.state)
    counted = connection.execute(select(*by_state, func.count()).group_by(*by_state))
    yield _gauge("runs", "Runs by workflow and state.", ["workflow", "state"], counted)
    arrived = connection.execute(select(deliveries.c.state, func.count()).group_by(deliveries.c.state))
    yield _gauge("deliveries", "Deliveries by state.", ["state"], arrived)


def _needs_person(connection: Connection, now: datetime) -> Iterator[Metric]:
    """What waits for the operator, by reason: the reasons are ours, and few."""
    labels = ["state", "reason"]
    grouped = (
        select(runs.c.state, runs.c.reason, func.count().label("how_many"), func.min(runs.c.updated_at).label("since"))
        .where(runs.c.state.in_([RunState.REVIEW, RunState.FAILED]))
        .group_by(runs.c.state, runs.c.reason)
    )
    rows = connection.execute(grouped).all()
    counts = [(row.state, row.reason or "", row.how_many) for row in rows]
    yield _gauge("needs_person", "Runs that wait for a person.", labels, counts)
    ages = [(row.state, row.reason or "", _seconds_since(row.since, now)) for row in rows]
    yield _gauge("needs_person_oldest_seconds", "Seconds since the oldest of them came to that.", labels, ages)


def _calls(connection: Connection, now: datetime) -> Metric:
    """How the destinations answered lately."""
    # A run of several groups has numbered steps of one kind; a call without an outcome is under way.
    counted: Counter[tuple[str, str]] = Counter()
    for step, outcome, count in connection.execute(
        select(attempts.c.step, attempts.c.outcome, func.count())
        .where(attempts.c.started_at >= now - timedelta(hours=1))
        .group_by(attempts.c.step, attempts.c.outcome)
    ):
        counted[step.rstrip("0123456789").rstrip("_"), outcome or "open"] += count
    rows = [(*labels, count) for labels, count in sorted(counted.items())]
    return _gauge("calls_last_hour", "Calls begun in the last hour, by step and outcome.", ["step", "outcome"], rows)


def _outbox(connection: Connection, now: datetime) -> Iterator[Metric]:
    """Events a receiver has not taken."""
    grouped = (
        select(outbox.c.state, func.count().label("how_many"), func.min(outbox.c.created_at).label("since"))
        .where(outbox.c.state.in_([OutboxState.PENDING, OutboxState.FAILED]))
        .group_by(outbox.c.state)
    )
    rows = connection.execute(grouped).all()
    yield _gauge("outbox_events", "Events not sent, by state.", ["state"], [(row.state, row.how_many) for row in rows])
    age_seconds = next((_seconds_since(row.since, now) for row in rows if row.state == OutboxState.PENDING), 0.0)
    yield _gauge("outbox_oldest_pending_seconds", "Seconds since the oldest unsent event.", [], [(age_seconds,)])


def _oldest_due(connection: Connection, now: datetime) -> Metric:
    """How far the workers are behind; 0 when nothing is due."""
    claimable = runs.c.state.in_(sorted(CLAIMABLE))
    due_at = [
        connection.scalar(select(func.min(runs.c.next_attempt_at)).where(claimable, runs.c.next_attempt_at <= now)),
        connection.scalar(select(func.min(runs.c.created_at)).where(claimable, runs.c.next_attempt_at.is_(None))),
    ]
    oldest = min((moment for moment in due_at if moment is not None), default=now)
    says = "Seconds since the oldest due run became due."
    return _gauge("oldest_due_run_seconds", says, [], [(_seconds_since(oldest, now),)])


def _missed(connection: Connection, webhook_sources: Collection[str], now: datetime) -> Metric:
    """Orders that only a poll or a reconciliation found: a rising number says that webhooks do not arrive."""
    missed = missed_by_webhook(connection, webhook_sources, since=now - MISSED_WINDOW)
    says = "Orders of 30 days found though no webhook told of them."
    return _gauge("orders_missed_by_webhook", says, ["source"], missed.items())


def _seconds_since(moment: datetime, now: datetime) -> float:
    return max(0.0, (now - moment).total_seconds())


def _systems(connection: Connection) -> Iterator[Metric]:
    of_completions = list_polls.c.list_name == ListName.COMPLETIONS  # the other lists assist a source's orders
    polled = connection.execute(
        union_all(
            select(cursors.c.source, cursors.c.last_success_at),
            select(list_polls.c.source, list_polls.c.last_success_at).where(of_completions),
        )
    )
    yield _gauge(
        "last_successful_poll_timestamp_seconds",
        "When each source was last read to the end, as Unix time.",
        ["source"],
        [(source, moment.timestamp()) for source, moment in polled if moment is not None],
    )
    watched = sorted(watches(connection).items())
    late = [(source, watch.late_since is not None) for source, watch in watched]
    yield _gauge("source_poll_late", "1 while no poll has succeeded for three intervals.", ["source"], late)
    silent = [(source, watch.silent_since is not None) for source, watch in watched]
    yield _gauge("source_silent", "1 while a source brings no new orders for unusually long.", ["source"], silent)
    paused = [(row.system, row.kind, 1) for row in connection.execute(select(pauses.c.system, pauses.c.kind))]
    yield _gauge("system_paused", "1 for each system nothing is sent to.", ["system", "kind"], paused)
    down = [(found.system, 1) for found in breaker.down(connection)]
    yield _gauge("breaker_open", "1 for each system that is down.", ["system"], down)
