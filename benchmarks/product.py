"""Cartbridge as an operator runs it: processes on a ledger, a broker and the target, driven from outside."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import redis

from benchmarks.target import ROOT, Target
from tests.integration.servers import PostgresServer, RedisServer

OFFERS = '[[offer]]\nsource = "studiocart"\nproduct_id = "1107"\ngrants = [{ price_id = 501, group_ids = [12] }]\n'
WEBHOOK_SECRET = "onlyForMeasuring"  # noqa: S105  (guards a ledger of made-up names)
COMMAND = [sys.executable, "-c", "from worker.cli.app import main; main()"]
NO_LIMIT = "100000"
"""Requests a second: the limiter works, and holds nothing up."""
PATIENCE_SECONDS = 300.0


class Deployment:
    """One ledger and broker, and the processes that are started on them; leaves by ending those."""

    def __init__(self, target: Target, database_url: str = "", broker_url: str = "memory://", **variables: str) -> None:
        """Without a database it is SQLite's, embedded, in the deployment's own folder."""
        self.folder = Path(tempfile.mkdtemp(prefix="cartbridge-bench-"))
        (self.folder / "offers.toml").write_text(OFFERS)
        # An installed product is compiled: a process that compiled it anew each time would be measured by that.
        self.environment = {name: os.environ[name] for name in os.environ if name != "PYTHONDONTWRITEBYTECODE"} | {
            "CARTBRIDGE_DATABASE_URL": database_url or f"sqlite:///{self.folder}/ledger.db",
            "CARTBRIDGE_BROKER_URL": broker_url,
            "CARTBRIDGE_OFFERS_FILE": str(self.folder / "offers.toml"),
            "CARTBRIDGE_LEARNINGCART__BASE_URL": f"{target.url}/CDNService.svc",
            "CARTBRIDGE_LEARNINGCART__SITE_HOSTNAME": "bench.example",
            "CARTBRIDGE_LEARNINGCART__USERNAME": "bench@bench.example",
            "CARTBRIDGE_LEARNINGCART__PASSWORD": "bench",
            "CARTBRIDGE_LEARNINGCART__REQUESTS_PER_SECOND": NO_LIMIT,
            "CARTBRIDGE_STUDIOCART__BASE_URL": f"{target.url}/wp-json/sc/v1",
            "CARTBRIDGE_STUDIOCART__API_KEY": "bench",
            "CARTBRIDGE_STUDIOCART__WEBHOOK_SECRET": WEBHOOK_SECRET,
            "CARTBRIDGE_STUDIOCART__START_AT": "2020-01-01",
            "CARTBRIDGE_STUDIOCART__REQUESTS_PER_SECOND": NO_LIMIT,
            "CARTBRIDGE_WEB__PORT": str(free_port()),
            **variables,
        }
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def port(self) -> int:
        return int(self.environment["CARTBRIDGE_WEB__PORT"])

    def start(self, *command: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start `cartbridge COMMAND`; what it says goes to a file of the deployment's folder."""
        with (self.folder / "processes.log").open("ab") as log:
            process = subprocess.Popen(
                [*COMMAND, *command],
                cwd=ROOT,
                env=self.environment | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def run(self, *command: str) -> None:
        """Run `cartbridge COMMAND` to its end."""
        if self.start(*command).wait(PATIENCE_SECONDS):
            raise SystemExit(f"cartbridge {' '.join(command)} failed:\n{self.last_words()}")

    def stop(self) -> None:
        """End every process that was started, as an operator does, and wait for it."""
        running = [process for process in self._started if process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._started.clear()

    def wait(
        self, is_done: Callable[[], bool], what: str, *, poll_seconds: float = 0.05, seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Wait for it; ends the benchmark with what the processes said last when it never comes."""
        give_up_at = time.monotonic() + seconds
        while not is_done():
            if time.monotonic() > give_up_at or any(process.poll() for process in self._started):
                raise SystemExit(f"{what} never came:\n{self.last_words()}")
            time.sleep(poll_seconds)

    def wait_until_ready(self, poll_seconds: float = 0.005) -> None:
        """Wait until the web server takes webhooks."""
        self.wait(self._is_ready, "a web server that is ready", poll_seconds=poll_seconds)

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz") as answer:
            return bool(answer.status == 200)
        return False

    def last_words(self) -> str:
        log = self.folder / "processes.log"
        return log.read_text(errors="replace")[-3000:] if log.exists() else ""


class Backlog:
    """Orders that were planned by `backfill` while no worker ran: a ledger, and the messages that stand in the broker.

    Each measure works on a copy, so that planning them once is enough.
    """

    def __init__(self, target: Target, postgres: PostgresServer, broker: RedisServer, orders: int) -> None:
        self._postgres, self._broker = postgres, broker
        self.orders = orders
        self._url = postgres.create_database()
        target.reset(orders=orders)
        broker.flushall()
        with Deployment(target, self._url, broker.url) as product:
            product.run("migrate")
            product.run("backfill", "studiocart", "--since", "2020-01-01", "--yes")
        asked = target.report().calls["orders"]
        # From one page's request to the last one's, every page but the last is planned; no start or end counts.
        self.planned_per_second = orders * (1 - 1 / len(asked)) / (asked[-1] - asked[0])
        with broker.client() as client:
            self._messages = client.lrange("learningcart", 0, -1)
            self._others = {key: client.dump(key) for key in client.scan_iter() if client.type(key) != b"list"}
        if len(self._messages) < orders:
            raise SystemExit(f"only {len(self._messages)} of {orders} orders were planned and sent")

    @contextlib.contextmanager
    def copy(self, count: int) -> Iterator[str]:
        """A ledger of its own, and so many of the messages in the broker; the ledger's URL."""
        self._broker.flushall()
        with self._broker.client() as client:
            for key, value in self._others.items():
                client.restore(key, 0, value)
            client.rpush("learningcart", *self._messages[-count:])
        url = self._postgres.create_database(template=self._url.rpartition("/")[2])
        try:
            yield url
        finally:
            self._postgres.drop_database(url)


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def commands_of(client: redis.Redis) -> dict[str, int]:
    """How often each command was carried out by the broker."""
    stats: Any = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): int(each["calls"]) for name, each in stats.items()}
