"""Workflows a second of three calls: a bare loop, a Celery chain, DBOS, and Cartbridge distributed and embedded.

All are measured in turn, round after round, so that a machine that grows slower meanwhile is slower for all of them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.product import Backlog, Deployment
from benchmarks.target import ROOT, Target
from tests.integration.servers import PostgresServer, RedisServer

PEERS = ROOT / "benchmarks" / "peers"
POOLS = {
    "two solo workers": (2, "solo", 1),
    "prefork of two": (1, "prefork", 2),
    "two workers of four threads": (2, "threads", 4),
    "two workers of eight threads": (2, "threads", 8),
    "two workers of twelve threads": (2, "threads", 12),
    "one worker of eight threads": (1, "threads", 8),
    "three workers of three threads": (3, "threads", 3),
}
"""Workers, pool and concurrency of the distributed product."""
RUNS = {"bare loop": 6000, "celery chain": 1500, "dbos": 600, "distributed": 1000, "embedded": 600}
TRIAL_RUNS = 300
DBOS_THREADS = (8, 16)
"""Of each of its two processes."""


@dataclass
class Servers:
    """What every measure shares."""

    target: Target
    postgres: PostgresServer
    broker: RedisServer


def peers_python() -> str:
    """The peers' own environment under `.bench`, made when it is missing or older than its lock."""
    home, lock = ROOT / ".bench", PEERS / "requirements.txt"
    mark = home / ".installed"
    if not mark.exists() or mark.read_text() != lock.read_text():
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        pip = [home / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*map(str, pip), "--no-deps", "--require-hashes", "-r", str(lock)], check=True)
        mark.write_text(lock.read_text())
    return str(home / "bin" / "python")


def measure(servers: Servers, backlog: Backlog, rounds: int, advance: Callable[[str], None]) -> dict[str, object]:
    """Workflows a second of each, medians of the rounds, and the pool that served the product best."""
    advance("peers' environment")
    python = peers_python()
    trials = dict.fromkeys(POOLS, 0.0)
    for pool in [*POOLS, *POOLS]:  # the better of two: one short trial that something disturbed must not choose
        advance(f"trial: {pool}")
        trials[pool] = max(trials[pool], distributed(servers, backlog, pool, TRIAL_RUNS))
    best = max(trials, key=trials.__getitem__)
    dbos_trials = dict.fromkeys(DBOS_THREADS, 0.0)
    for threads in [*DBOS_THREADS, *DBOS_THREADS]:
        advance(f"trial: DBOS with {threads} threads")
        dbos_trials[threads] = max(dbos_trials[threads], dbos(servers, python, TRIAL_RUNS, threads))
    dbos_threads = max(dbos_trials, key=dbos_trials.__getitem__)
    contenders: dict[str, Callable[[int], float]] = {
        "bare loop": lambda count: bare_loop(servers, python, count),
        "celery chain": lambda count: celery_chain(servers, python, count),
        "dbos": lambda count: dbos(servers, python, count, dbos_threads),
        "distributed": lambda count: distributed(servers, backlog, best, count),
        "embedded": lambda count: embedded(servers, count),
    }
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(1, rounds + 1):
        for name, run in contenders.items():
            advance(f"round {number}: {name}")
            found[name].append(run(min(RUNS[name], backlog.orders) if name == "distributed" else RUNS[name]))
    return {
        "per_second": {name: statistics.median(rates) for name, rates in found.items()},
        "rounds": found,
        "pool": best,
        "pools": trials,
        "dbos_threads": dbos_threads,
    }


def bare_loop(servers: Servers, python: str, count: int) -> float:
    """Two processes that make the calls, and nothing else."""
    return _two_processes(
        servers, count, lambda first, half: [python, "bare_loop.py", str(servers.target.port), str(first), str(half)]
    )


def dbos(servers: Servers, python: str, count: int, threads: int) -> float:
    """Two processes of so many threads, on a database of their own."""
    url = servers.postgres.create_database()
    try:
        return _two_processes(
            servers,
            count,
            lambda first, half: [
                python, "dbos_steps.py", str(servers.target.port), url, str(threads), str(first), str(half)
            ],
        )  # fmt: skip
    finally:
        servers.postgres.drop_database(url)


def _two_processes(servers: Servers, count: int, command: Callable[[int, int], list[str]]) -> float:
    servers.target.reset()
    half = count // 2
    started = []
    for first in (1, half + 1):  # one after the other: DBOS makes its tables when the first one starts
        process = subprocess.Popen(command(first, half), cwd=PEERS, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if process.stdout is None or process.stdout.readline() != b"ready\n":
            raise SystemExit(f"{command(first, half)[1]} did not start")
        started.append(process)
    for process in started:
        if process.stdin is not None:
            process.stdin.write(b"go\n")
            process.stdin.flush()
    if any(process.wait() for process in started):
        raise SystemExit(f"{command(1, half)[1]} failed")
    return _rate(servers, 2 * half)


def celery_chain(servers: Servers, python: str, count: int) -> float:
    """Two solo workers, which are faster than a pool of two; the chains were sent before."""
    servers.target.reset()
    servers.broker.flushall()
    environment = os.environ | {"BROKER": servers.broker.url, "TARGET_PORT": str(servers.target.port)}
    subprocess.run([python, "celery_chain.py", "1", str(count)], cwd=PEERS, env=environment, check=True)
    command = [python, "-m", "celery", "--quiet", "-A", "celery_chain", "worker", "--pool=solo", "--loglevel=ERROR"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with contextlib.ExitStack() as ending:
        workers = []
        for name in ("one", "two"):
            workers.append(subprocess.Popen([*command, f"--hostname={name}"], cwd=PEERS, env=environment))
            ending.callback(workers[-1].wait)
            ending.callback(workers[-1].kill)
        while servers.target.finished() < count:
            if any(worker.poll() is not None for worker in workers):
                raise SystemExit("a worker of the Celery chain ended")
            time.sleep(0.1)
    return _rate(servers, count)


def distributed(servers: Servers, backlog: Backlog, pool: str, count: int) -> float:
    """Workers on a ledger and a broker that are full."""
    workers, kind, concurrency = POOLS[pool]
    servers.target.reset(orders=count)
    with backlog.copy(count) as url, Deployment(servers.target, url, servers.broker.url) as product:
        for _ in range(workers):
            product.start("worker", CARTBRIDGE_WORKER__POOL=kind, CARTBRIDGE_WORKER__CONCURRENCY=str(concurrency))
        product.wait(lambda: servers.target.finished() >= count, f"{count} runs", poll_seconds=0.1)
    return _rate(servers, count)


def embedded(servers: Servers, count: int) -> float:
    """`cartbridge up` on a SQLite ledger that is full."""
    servers.target.reset(orders=count)
    with sqlite_backlog(servers.target) as product:
        product.start("up")
        product.wait(lambda: servers.target.finished() >= count, f"{count} runs", poll_seconds=0.1)
    return _rate(servers, count)


@contextlib.contextmanager
def sqlite_backlog(target: Target) -> Iterator[Deployment]:
    """A SQLite ledger on which the shop's orders are planned."""
    with Deployment(target, CARTBRIDGE_STUDIOCART__POLL_SECONDS="0") as product:
        product.run("migrate")
        product.run("backfill", "studiocart", "--since", "2020-01-01", "--yes")
        yield product


def _rate(servers: Servers, count: int) -> float:
    report = servers.target.report()
    if (len(report.finished), report.customers) != (count, count):
        raise SystemExit(f"{len(report.finished)} comped orders of {report.customers} learners, not {count}")
    return report.per_second()
