"""A destination that takes 300 ms a call, and a worker with 32 slots: how much of the rate that allows is reached."""

from __future__ import annotations

from benchmarks.product import Backlog, Deployment
from benchmarks.target import CALLS
from benchmarks.throughput import Servers

DELAY_SECONDS = 0.3
SLOTS = 32
RUNS = 600


def measure(servers: Servers, backlog: Backlog) -> dict[str, float]:
    """The share of the ideal rate in the middle of the work, where every slot has something to do."""
    count = min(RUNS, backlog.orders)
    servers.target.reset(orders=count, delay_seconds=DELAY_SECONDS)
    with backlog.copy(count) as url, Deployment(servers.target, url, servers.broker.url) as product:
        product.start("worker", CARTBRIDGE_WORKER__POOL="threads", CARTBRIDGE_WORKER__CONCURRENCY=str(SLOTS))
        product.wait(lambda: servers.target.finished() >= count, f"{count} runs", poll_seconds=0.2)
    per_second = servers.target.report().per_second()
    ideal = SLOTS / DELAY_SECONDS / len(CALLS)
    return {"per_second": per_second, "ideal": ideal, "share": per_second / ideal}
