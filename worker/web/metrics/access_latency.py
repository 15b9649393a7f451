"""How long orders took to become access, as a histogram that grows by what this process sees succeed."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, Metric
from sqlalchemy import Connection, select, type_coerce

from worker.ledger.states import RunState
from worker.ledger.tables.runs import deliveries, orders, runs
from worker.ledger.views.latency import bought_at, of_run_order

BUCKETS_SECONDS = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
OVERLAP = timedelta(minutes=5)
"""A run's end is committed after it is stamped, and clocks differ: so far back is looked again."""


class AccessLatency:
    """From an order, see `bought_at`, to its run's success. Counts each run once; what was there before, never."""

    def __init__(self) -> None:
        self._read_at: datetime | None = None
        self._counted: set[str] = set()
        self._per_bucket = [0] * (len(BUCKETS_SECONDS) + 1)
        self._sum_seconds = 0.0

    def read(self, connection: Connection, now: datetime) -> Metric:
        """Count what has succeeded since the last call; the first only notes what there is."""
        is_first = self._read_at is None
        since = (self._read_at or now) - OVERLAP
        rows = connection.execute(
            select(runs.c.id, runs.c.finished_at, type_coerce(bought_at(), runs.c.finished_at.type).label("bought_at"))
            .outerjoin(deliveries, deliveries.c.id == runs.c.delivery_id)
            .outerjoin(orders, of_run_order())
            .where(
                runs.c.state == RunState.SUCCEEDED,
                runs.c.workflow == "enrolment",
                runs.c.result_id.is_not(None),  # resolved by hand is no measure of the machine
                runs.c.finished_at > since,
            )
        ).all()
        if not is_first:
            for row in rows:
                if row.id not in self._counted:
                    self._count((row.finished_at - row.bought_at).total_seconds())
        self._counted = {row.id for row in rows}
        self._read_at = now
        return self._histogram()

    def _count(self, seconds: float) -> None:
        place = next((i for i, limit in enumerate(BUCKETS_SECONDS) if seconds <= limit), len(BUCKETS_SECONDS))
        self._per_bucket[place] += 1
        self._sum_seconds += max(seconds, 0.0)

    def _histogram(self) -> Metric:
        names = [*(str(limit) for limit in BUCKETS_SECONDS), "+Inf"]
        family = HistogramMetricFamily(
            "cartbridge_order_to_access_seconds",
            "Time from an order to its comped order, for enrolments seen to succeed by this process.",
        )
        family.add_metric([], list(zip(names, accumulate(self._per_bucket), strict=True)), self._sum_seconds)
        return family
