"""What processes cost: processor time of a command, time until `up` is ready, memory at rest and after work."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.product import COMMAND, PATIENCE_SECONDS, Backlog, Deployment
from benchmarks.target import ROOT
from benchmarks.throughput import Servers, sqlite_backlog

TIMES = 7
ORDERS = 20
SLOWEST_PER_SECOND = 20
"""Runs of one worker: fewer are a benchmark that stands still."""
SETTLED_SHARE = 0.2
"""Of the runs, after which a worker is as large as it needs to be: what it grows by later is growth."""


def measure_start_up(servers: Servers) -> dict[str, float]:
    """Processor seconds of a command and of Python alone, and seconds until `up` takes webhooks; medians."""
    servers.target.reset(orders=ORDERS)
    with sqlite_backlog(servers.target) as product:
        command = [*COMMAND, "why", "learner-1000001@example.test"]
        why = statistics.median(_processor_seconds(command, product.environment) for _ in range(TIMES))
        bare = statistics.median(
            _processor_seconds([sys.executable, "-c", "pass"], product.environment) for _ in range(TIMES)
        )
        ready = []
        for _ in range(3):
            begun = time.monotonic()
            product.start("up")
            product.wait_until_ready()
            ready.append(time.monotonic() - begun)
            product.stop()
    return {
        "why_seconds": why,
        "python_seconds": bare,
        "why_ratio": why / bare,
        "up_ready_seconds": statistics.median(ready),
    }


def _processor_seconds(command: list[str], environment: dict[str, str]) -> float:
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def measure_memory(servers: Servers, backlog: Backlog, runs: int) -> dict[str, float]:
    """Megabytes: `up` when it is ready and after some work, a worker after a fifth of its runs and after all."""
    found: dict[str, float] = {}
    servers.target.reset(orders=ORDERS)
    with sqlite_backlog(servers.target) as product:
        up = product.start("up")
        product.wait_until_ready()
        found["up_ready"] = megabytes(up.pid)
        product.wait(lambda: servers.target.finished() >= ORDERS, f"{ORDERS} runs")
        found["up_worked"] = megabytes(up.pid)
    servers.target.reset(orders=runs)
    with backlog.copy(runs) as url, Deployment(servers.target, url, servers.broker.url) as product:
        worker = product.start("worker")
        patience = max(PATIENCE_SECONDS, runs / SLOWEST_PER_SECOND)
        settled = runs * SETTLED_SHARE
        product.wait(lambda: servers.target.finished() >= settled, "a settled worker", seconds=patience)
        found["worker_settled"] = megabytes(worker.pid)
        product.wait(lambda: servers.target.finished() >= runs, f"{runs} runs", seconds=patience)
        found["worker_end"] = megabytes(worker.pid)
    return found | {"worker_runs": runs}


def megabytes(pid: int) -> float:
    """The memory a process holds, in millions of bytes."""
    resident_pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return resident_pages * os.sysconf("SC_PAGE_SIZE") / 1e6
