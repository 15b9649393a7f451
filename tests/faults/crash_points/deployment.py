"""A place where one order after another is brought in, its processes are killed, and the books are read afterwards.

A site has a sandbox, a database and a Redis database of its own, and a web and a beat that run all the time. Whoever
works the orders is started by the trial: a doomed process first, a healthy one once that is dead.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
import requests
from sqlalchemy import func, select, update

from tests.faults.crash_points.doomed_process import Errand, Nursery, Point, kill, wait
from tests.faults.harness.offers import COURSE, OFFERS, SOURCE
from tests.faults.harness.sales import seats_of, studiocart_record
from tests.faults.judging.ledger import read_runs
from tests.faults.judging.sold import Access, CompedOrder, comped_orders
from tests.faults.judging.verdict import match
from tests.integration.product import end_leases
from tests.integration.servers import PostgresServer, RedisServer, free_port
from worker.broker.queues import INGEST_QUEUE, QUEUES
from worker.ledger.runs.due import DISPATCH_AGAIN_SECONDS
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import attempts, deliveries, orders, runs
from worker.sandbox import Sandbox, SandboxConfig

LEASE_SECONDS = 90.0
"""Longer than any trial: the leases of the dead are ended by `TrialSite.end_leases`."""
SETTLE_SECONDS = 1.0
_SECRET_HEADER = "X-Webhook-Secret"  # the header's name
_OPEN_DELIVERIES = ("received", "waiting")
_OPEN_RUNS = ("pending", "running", "waiting")


class TrialSite:
    """One site; `start` it, bring in orders, `close` it. For one thread at a time."""

    def __init__(
        self,
        number: int,
        *,
        nursery: Nursery,
        postgres: PostgresServer,
        template: str,
        broker: RedisServer,
        folder: Path,
    ) -> None:
        self.number = number
        self._nursery = nursery
        self._folder = folder
        folder.mkdir()
        (folder / "offers.toml").write_text(OFFERS)
        self.sandbox = Sandbox.start(config=SandboxConfig(seeded=False))
        self._postgres = postgres
        self._database_url = postgres.create_database(template)
        self.ledger = Ledger(self._database_url)
        self._queues = redis.Redis(host="127.0.0.1", port=broker.port, db=number)
        self._environment = self.sandbox.environment(
            systems=("learningcart", SOURCE),
            CARTBRIDGE_DATABASE_URL=self._database_url,
            CARTBRIDGE_BROKER_URL=f"redis://127.0.0.1:{broker.port}/{number}",
            CARTBRIDGE_OFFERS_FILE=str(folder / "offers.toml"),
            CARTBRIDGE_STUDIOCART__START_AT="2020-01-01",
            CARTBRIDGE_STUDIOCART__POLL_SECONDS="0",  # a webhook that was answered is not told of again
            CARTBRIDGE_STUDIOCART__CONNECT_TIMEOUT_SECONDS="5",
            CARTBRIDGE_STUDIOCART__READ_TIMEOUT_SECONDS="30",
            CARTBRIDGE_LEARNINGCART__CONNECT_TIMEOUT_SECONDS="5",
            CARTBRIDGE_LEARNINGCART__READ_TIMEOUT_SECONDS="30",
            CARTBRIDGE_LEASE_SECONDS=str(LEASE_SECONDS),
            CARTBRIDGE_DISPATCH_SECONDS="0.3",
            CARTBRIDGE_RETRY__BASE_SECONDS="0.2",
            CARTBRIDGE_WORKER__CONCURRENCY="1",
            CARTBRIDGE_LOG_FORMAT="json",
        )
        self.settle_seconds = SETTLE_SECONDS
        self._numbers = itertools.count(1)
        self._order_ids = itertools.count(7001)
        self._started: list[ForkServerProcess] = []
        self._web: ForkServerProcess | None = None
        self._beat: ForkServerProcess | None = None
        self.web_port = 0

    def start(self) -> Self:
        """Start the web and the beat that stay."""
        self._web, self.web_port = self.start_web(self.errand("web"))
        self.start_beat()
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill what still runs, and let go of the rest."""
        for process in self._started:
            kill(process)
        self.sandbox.stop()
        self.ledger.close()
        self._postgres.drop_database(self._database_url)
        self._queues.close()

    # Processes

    def errand(self, command: str, *, doom: Point | None = None, record: bool = False, pool: str = "threads") -> Errand:
        """What a process of this site is to do."""
        name = self._folder / f"{next(self._numbers):03}-{command}"
        return Errand(
            command,
            {
                **self._environment,
                "CARTBRIDGE_WORKER__POOL": pool,
                "CARTBRIDGE_SETTLE_SECONDS": str(self.settle_seconds),
            },
            log=name.with_suffix(".log"),
            record=name.with_suffix(".boundaries") if record else None,
            doom=doom,
            mark=name.with_suffix(".mark") if doom is not None else None,
        )

    def start_process(self, errand: Errand) -> ForkServerProcess:
        """Start a worker or a beat."""
        process = self._nursery.start(errand)
        self._started.append(process)
        return process

    def start_web(self, errand: Errand) -> tuple[ForkServerProcess, int]:
        """Start a web and return with its port once it listens."""
        port = free_port()
        process = self.start_process(
            Errand(
                errand.command,
                {**errand.environment, "CARTBRIDGE_WEB__PORT": str(port)},
                errand.log,
                errand.record,
                errand.doom,
                errand.mark,
            )
        )

        def listens() -> bool:
            with suppress(requests.RequestException):
                return requests.get(f"http://127.0.0.1:{port}/livez", timeout=30).status_code == 200
            return False

        wait(listens, what="the web listens")
        return process, port

    def start_beat(self) -> None:
        """Start the site's beat."""
        self._beat = self.start_process(self.errand("beat"))

    def stop_beat(self) -> None:
        """Kill the site's beat."""
        if self._beat is not None:
            kill(self._beat)

    def restart_beat(self) -> None:
        """Have one beat running, whatever a story did to it."""
        self.stop_beat()
        self.start_beat()

    def end_workers(self) -> None:
        """Kill every process but the site's web and beat."""
        for process in self._started:
            if process not in (self._web, self._beat):
                kill(process)
        self._started = [process for process in (self._web, self._beat) if process is not None]

    # Orders

    def sell(self) -> int:
        """Put a paid order of a new learner into the shop; nobody has told of it yet."""
        order_id = next(self._order_ids)
        self.sandbox.studiocart.replace_order(order_id, studiocart_record(_email(order_id)))
        return order_id

    def tell(self, order_id: int, port: int | None = None) -> bool:
        """Send the order's webhook, as the shop does. True: it was answered with 202, so the shop lets it be."""
        try:
            answer = requests.post(
                f"http://127.0.0.1:{port or self.web_port}/webhooks/{SOURCE}",
                json={"id": order_id},
                headers={_SECRET_HEADER: self.sandbox.config.studiocart.webhook_secret},
                timeout=60,
            )
        except requests.RequestException:
            return False
        return answer.status_code == 202

    def lose_message(self, order_id: int) -> None:
        """Lose the message about the order, so long ago that the ledger takes it for lost."""
        wait(lambda: self._queues.delete(INGEST_QUEUE), what="the order's message is in its queue")
        with self.ledger.write() as connection:
            connection.execute(
                update(deliveries)
                .where(deliveries.c.order_id == str(order_id))
                .values(dispatched_at=datetime.now(UTC) - timedelta(seconds=DISPATCH_AGAIN_SECONDS))
            )

    def end_leases(self) -> None:
        """Let the leases of the dead be over."""
        end_leases(self.ledger)

    def clear(self) -> None:
        """Take away the messages that nobody waits for any more, and the faults."""
        self._queues.delete(*QUEUES)
        self.sandbox.clear_faults()

    # What became of them

    def is_recorded(self, order_id: int) -> bool:
        """Whether a delivery of the order is committed."""
        with self.ledger.read() as connection:
            return bool(
                connection.scalar(
                    select(func.count()).select_from(deliveries).where(deliveries.c.order_id == str(order_id))
                )
            )

    def is_settled(self, order_id: int) -> bool:
        """Whether nothing of the order waits for time to go by."""
        about_deliveries, about_runs = self._rows_about(order_id)
        return bool(about_runs) and not (
            any(row.state in _OPEN_DELIVERIES for row in about_deliveries)
            or any(row.state in _OPEN_RUNS for row in about_runs)
        )

    def comped_orders(self, order_id: int) -> list[CompedOrder]:
        """The comped orders that the order's learner has in LearningCart."""
        made = comped_orders(effect.to_json() for effect in self.sandbox.effects_of("learningcart", "addCompOrder"))
        return [order for order in made if order.email == _email(order_id)]

    def outcomes(self, order_id: int) -> list[str | None]:
        """The outcomes of all attempts at the comped order, in order."""
        with self.ledger.read() as connection:
            return list(
                connection.scalars(
                    select(attempts.c.outcome)
                    .join(runs, runs.c.id == attempts.c.run_id)
                    .where(runs.c.order_id == str(order_id), attempts.c.step == "add_comped_order")
                    .order_by(attempts.c.number)
                )
            )

    def problems(self, order_id: int) -> list[str]:
        """What is wrong with a settled order: a sentence each."""
        about_deliveries, about_runs = self._rows_about(order_id)
        with self.ledger.read() as connection:
            of_order = select(func.count()).select_from(orders).where(orders.c.order_id == str(order_id))
            count, known = connection.scalar(of_order), read_runs(connection)
        seats = dict.fromkeys(seats_of(str(order_id), _email(order_id), COURSE), Access.DUE)
        judged, stray = match(seats, self.comped_orders(order_id), known)
        found = [sentence for facts in judged for sentence in facts.unlike_once()]
        found += [f"nobody bought what {order} gives" for order in stray]
        if count != 1:
            found.append(f"{count} rows of the order")
        if len(about_runs) != len(seats):
            found.append(f"runs: {[(row.state, row.reason) for row in about_runs]}")
        if any(row.state != "planned" for row in about_deliveries):
            found.append(f"deliveries: {[(row.state, row.reason) for row in about_deliveries]}")
        customers = [customer for customer in self.sandbox.learningcart.customers if customer.email == _email(order_id)]
        if len(customers) != 1:
            found.append(f"{len(customers)} customers")
        return found

    def _rows_about(self, order_id: int) -> tuple[list[Any], list[Any]]:
        with self.ledger.read() as connection:
            of_order = str(order_id)
            return (
                list(connection.execute(select(deliveries).where(deliveries.c.order_id == of_order))),
                list(connection.execute(select(runs).where(runs.c.order_id == of_order))),
            )


class Sites:
    """Sites that share a PostgreSQL and a Redis, each used by one trial at a time."""

    def __init__(self, postgres: PostgresServer, broker: RedisServer, folder: Path, count: int) -> None:
        self._postgres = postgres
        self._broker = broker
        self._folder = folder
        self._count = count
        self._nursery = Nursery()
        self._template = postgres.create_database()
        ledger = Ledger(self._template)
        ledger.migrate()
        ledger.close()
        self._making = threading.Lock()
        self._made: list[TrialSite] = []
        self._free: queue.LifoQueue[TrialSite] = queue.LifoQueue()
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()
        self._postgres.drop_database(self._template)

    @contextmanager
    def borrowed(self) -> Iterator[TrialSite]:
        """A site of one's own for the moment; made when it is wanted."""
        site = self._take()
        try:
            yield site
        finally:
            self._free.put(site)

    def _take(self) -> TrialSite:
        with self._making:
            if self._free.empty() and len(self._made) < self._count:
                number = len(self._made)
                site = TrialSite(
                    number,
                    nursery=self._nursery,
                    postgres=self._postgres,
                    template=self._template.rpartition("/")[2],
                    broker=self._broker,
                    folder=self._folder / f"site-{number}",
                )
                self._made.append(site)
                self._closing.callback(site.close)
            else:
                site = None
        return self._free.get() if site is None else site.start()


def _email(order_id: int) -> str:
    return f"learner-{order_id}@example.test"
