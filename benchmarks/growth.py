"""Whether a full ledger is slower than a small one: claiming, taking in, dispatching, and every page.

Each is asked in turn of both ledgers, through the product itself in this process; the ratio is of the medians.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import time
from collections.abc import Callable

import structlog
from sqlalchemy import func, select

from benchmarks import pages
from benchmarks.fill_ledger import fill
from benchmarks.product import Deployment
from benchmarks.target import FIRST_ORDER
from benchmarks.throughput import Servers
from tasks.control import sweep
from tasks.runtime import Runtime, adopt_runtime
from worker.ledger.tables.runs import runs
from worker.settings.settings import load_settings

SMALL = 10_000
TIMES = 60
PAGE_TIMES = 10


class _Ledger:
    """A ledger of so many runs, and the product on it, in this process."""

    def __init__(self, servers: Servers, size: int) -> None:
        self.url = servers.postgres.create_database()
        fill(self.url, size, seed=1)
        self.product = Deployment(servers.target, self.url, servers.broker.url)
        given = {name: value for name, value in self.product.environment.items() if name.startswith("CARTBRIDGE_")}
        self.runtime = Runtime(load_settings(given, env_file=None))
        self.order = FIRST_ORDER

    def take_in(self) -> float:
        """Fetch, plan and record an order, in seconds."""
        self.order += 1
        return _seconds(lambda: self.runtime.ingest("studiocart", str(self.order), actor="operator:bench"))

    def dispatch(self) -> float:
        return _seconds(lambda: sweep(self.runtime))

    def claim(self) -> float:
        """Claim the run of the order that was taken in last."""
        with self.runtime.ledger.read() as connection:
            run_id = connection.scalars(
                select(runs.c.id).where(runs.c.source == "studiocart", runs.c.order_id == str(self.order))
            ).one()
        return _seconds(lambda: self.runtime.executor.claim(run_id, "learningcart"))

    def close(self) -> None:
        self.runtime.close()
        self.product.stop()


def measure(servers: Servers, size: int, advance: Callable[[str], None]) -> dict[str, object]:
    """The medians in milliseconds on both ledgers, and their ratios."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    servers.target.reset(orders=100_000)
    advance(f"filling {SMALL:,} and {size:,} runs")
    ledgers = {SMALL: _Ledger(servers, SMALL), size: _Ledger(servers, size)}
    took: dict[int, dict[str, list[float]]] = {each: {"ingest": [], "dispatch": [], "claim": []} for each in ledgers}
    with ledgers[size].runtime.ledger.read() as connection:
        database_bytes = connection.scalars(select(func.pg_database_size(func.current_database()))).one()
    advance("claim, ingest, dispatch")
    for number in range(TIMES + 5):
        for each, ledger in ledgers.items():
            adopt_runtime(ledger.runtime)
            measured = {"ingest": ledger.take_in(), "claim": ledger.claim(), "dispatch": ledger.dispatch()}
            for name, seconds in measured.items() if number >= 5 else ():
                took[each][name].append(seconds)
    advance("pages")
    by_page: dict[int, dict[str, float]] = {}
    for each, ledger in ledgers.items():
        asked = asyncio.run(pages.ask(ledger.runtime.ledger, PAGE_TIMES, far=SMALL // 2))
        by_page[each] = {page: statistics.median(times) for page, times in asked.items()}
        took[each]["page"] = [milliseconds / 1000 for milliseconds in by_page[each].values()]
        ledger.close()
    medians = {each: {name: statistics.median(all_) * 1000 for name, all_ in by.items()} for each, by in took.items()}
    ratios = {name: medians[size][name] / medians[SMALL][name] for name in medians[SMALL]}
    bytes_a_run = database_bytes / size
    return {
        "size": size,
        "bytes_a_run": bytes_a_run,
        "milliseconds": {str(each): by for each, by in medians.items()},
        "ratios": ratios,
        "milliseconds_by_page": {str(each): by for each, by in by_page.items()},
    }


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
