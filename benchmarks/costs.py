"""What one undisturbed run costs: round trips, statements and transactions of PostgreSQL, messages of Redis.

Each is the difference between many runs and few, so that what a worker does once does not count. Statements and
transactions are the server's own word (its log, its statistics); round trips are counted on the wire between, as a
pipeline of several statements is one.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from benchmarks.product import Backlog, Deployment, commands_of
from benchmarks.throughput import Servers

FEW, MANY = 50, 250
_STATEMENT = re.compile(rb"LOG:  (?:statement|execute [^:]*): ")


@dataclass(frozen=True)
class Cost:
    """What so many runs cost."""

    round_trips: int
    statements: int
    transactions: int
    messages: int
    redis_commands: int


def measure(servers: Servers, backlog: Backlog) -> dict[str, float]:
    """The cost of one run."""
    few, many = _cost(servers, backlog, FEW), _cost(servers, backlog, MANY)
    return {name: (getattr(many, name) - value) / (MANY - FEW) for name, value in vars(few).items()}


def _cost(servers: Servers, backlog: Backlog, count: int) -> Cost:
    servers.target.reset(orders=count)
    with backlog.copy(count) as url, counting_proxy(servers.postgres.port) as proxy, servers.broker.client() as client:
        database = url.rpartition("/")[2]
        with psycopg.connect(servers.postgres.url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE \"{database}\" SET log_statement = 'all'".encode())
            client.config_resetstat()
            logged = servers.postgres.log.stat().st_size
            with Deployment(
                servers.target, url.replace(f":{servers.postgres.port}/", f":{proxy.port}/"), servers.broker.url
            ) as product:
                product.start("worker", CARTBRIDGE_WORKER__POOL="solo")
                product.wait(lambda: servers.target.finished() >= count, f"{count} runs")
                time.sleep(1.0)  # the last run's last commit
            commands = commands_of(client)
            time.sleep(1.0)  # a backend tells its statistics when it ends
            row = connection.execute(
                "SELECT xact_commit FROM pg_stat_database WHERE datname = %s", [database]
            ).fetchone()
    with servers.postgres.log.open("rb") as log:
        log.seek(logged)
        statements = len(_STATEMENT.findall(log.read()))
    return Cost(
        round_trips=proxy.round_trips,
        statements=statements,
        transactions=row[0] if row else 0,
        messages=commands.get("brpop", 0),  # a busy worker asks once a message; LPUSH is the limiter's too
        redis_commands=sum(commands.values()),
    )


class CountingProxy:
    """Passes bytes on to PostgreSQL, and counts how often a client went on to send after it was answered."""

    def __init__(self, server_port: int) -> None:
        self.round_trips = 0
        self.port = 0
        self._server_port = server_port
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()

    def run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()

    def wait(self) -> None:
        self._started.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        was_answered = True

        async def send() -> None:
            nonlocal was_answered
            while data := await reader.read(65_536):
                self.round_trips += was_answered
                was_answered = False
                to_server.write(data)
            to_server.close()

        async def answer() -> None:
            nonlocal was_answered
            while data := await from_server.read(65_536):
                was_answered = True
                writer.write(data)
            writer.close()

        await asyncio.gather(send(), answer(), return_exceptions=True)


@contextmanager
def counting_proxy(server_port: int) -> Iterator[CountingProxy]:
    """A proxy in a thread of its own."""
    proxy = CountingProxy(server_port)
    thread = threading.Thread(target=proxy.run, daemon=True)
    thread.start()
    proxy.wait()
    yield proxy
    proxy.stop()
    thread.join()
