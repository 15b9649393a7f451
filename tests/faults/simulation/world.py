"""The stage of a simulation: what outlives every process (the ledger, the broker, the systems), and the processes."""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace, TracebackType
from typing import Any, Self, cast

from celery import Celery
from sqlalchemy import Engine, insert, select, text

from tasks import runtime as runtime_module
from tasks.runtime import Runtime
from tests.faults.harness.deployment import LEASE_SECONDS, SETTLE_SECONDS, skip_disk_waits
from tests.faults.harness.offers import ALL_OFFERS, COURSE, FOLLOW_ON, SOURCE
from tests.faults.harness.sales import studiocart_record
from tests.faults.judging.sold import CompedOrder, comped_orders
from tests.faults.simulation.messages import Broker, Message, SimulatedDispatcher
from tests.faults.simulation.network import SMOOTH, Fate, Network
from tests.faults.simulation.virtual_time import Timeline
from worker.broker.app import create_celery
from worker.ledger import keys
from worker.ledger.session import Ledger
from worker.ledger.tables.base import LedgerModel
from worker.ledger.tables.indexes import DELIVERY_INDEXES, LEARNER_INDEXES, ORDER_INDEXES, RUN_INDEXES
from worker.ledger.tables.runs import cursors
from worker.sandbox import SandboxConfig
from worker.sandbox.clock import Clock
from worker.sandbox.world import PREFIXES, World
from worker.settings.settings import Settings, load_settings
from worker.web.webhooks.body import BodyKind
from worker.web.webhooks.intake import Taken, WebhookIntake

DESTINATION = "learningcart"
LONG_AGO = "2020-01-01"
"""The start of a shop without a past."""
SIMULATED_OFFERS = ALL_OFFERS + FOLLOW_ON


def put_in_place(copy: Path, file: Path) -> None:
    """Put a copy into a ledger's own file: the product refuses another file in its place, and engines are kept."""
    for leftover in file.parent.glob(f"{file.name}-*"):
        leftover.unlink()
    shutil.copyfile(copy, file)


class FreshLedger:
    """An empty ledger, again and again: one file or one database, whose compiled statements are kept."""

    def __init__(self, database_url: str | None = None) -> None:
        memory = Path("/dev/shm")
        self._folder = Path(tempfile.mkdtemp(prefix="cartbridge-", dir=memory if memory.is_dir() else None))
        self.url = database_url or f"sqlite:///{self._folder / 'ledger.db'}"
        self._ledger = Ledger(self.url)
        if self._ledger.is_sqlite:
            skip_disk_waits(self._ledger.engine)
        self._ledger.migrate()
        if self._ledger.path is not None:
            # Nobody reads here by what the operator's page reads by, and writing it would cost a twentieth of the time.
            with self._ledger.write() as connection:
                for index in (*RUN_INDEXES, *ORDER_INDEXES, *DELIVERY_INDEXES, *LEARNER_INDEXES):
                    connection.exec_driver_sql(f"DROP INDEX {index.name}")
            self._ledger.close()
            shutil.copy(self._ledger.path, self._template)
            self._ledger = Ledger(self.url)
            skip_disk_waits(self._ledger.engine)
        self.engine: Engine = self._ledger.engine
        self.offers = self._folder / "offers.toml"
        self.offers.write_text(SIMULATED_OFFERS)
        self.first_sweep: dict[str, Any] | None = None
        """The cursor that the first sweep of an empty shop leaves."""

    @property
    def _template(self) -> Path:
        return self._folder / "template.db"

    def empty(self) -> None:
        """Return to the ledger without a row."""
        if self._ledger.path is None:
            names = ", ".join(f'"{table.name}"' for table in LedgerModel.metadata.sorted_tables)
            with self.engine.begin() as connection:
                connection.execute(text("SET LOCAL session_replication_role = replica"))  # no trigger refuses it
                connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
            return
        self.engine.dispose()
        put_in_place(self._template, self._ledger.path)

    def observe(self) -> None:
        """Let SQLite itself note every change of a run's state, whatever code makes it."""
        with closing(sqlite3.connect(self._template)) as connection:
            connection.executescript(
                "CREATE TABLE IF NOT EXISTS observed (id INTEGER PRIMARY KEY, run_id TEXT, old TEXT, new TEXT);"
                "CREATE TRIGGER IF NOT EXISTS observe_run AFTER UPDATE OF state ON runs WHEN OLD.state <> NEW.state "
                "BEGIN INSERT INTO observed (run_id, old, new) VALUES (NEW.id, OLD.state, NEW.state); END;"
            )

    def look(self) -> sqlite3.Connection:
        """A second pair of eyes on the file: a connection that shares nothing with the product's."""
        return sqlite3.connect(f"file:{self._ledger.path}?mode=ro", uri=True)

    def lend(self, ledger: Ledger) -> None:
        """Let another process's ledger use this engine: its pool hands out a connection to one at a time."""
        ledger._engine, ledger._process_id = self.engine, os.getpid()

    def close(self) -> None:
        """Remove everything."""
        self._ledger.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Stage:
    """One world with one ledger, on which processes come and go. Everything that is left to chance is left to `rng`."""

    def __init__(
        self,
        fresh: FreshLedger,
        *,
        seed: int = 1,
        wait: Callable[[float], None] | None = None,
        fate_of: Callable[[str], Fate] = lambda operation: SMOOTH,
        **variables: str,
    ) -> None:
        self.fresh = fresh
        self.rng = Random(seed)
        self.timeline = Timeline()
        self.world = World(SandboxConfig(seeded=False), clock=Clock(self.timeline.now))
        self.network = Network(self.world, self.timeline, wait=wait or self.timeline.advance, fate_of=fate_of)
        self.broker = Broker()
        self.settings = _settings(self.world, fresh, variables)
        self.app: Celery = _application(self.settings)
        self.processes = 0
        self.performing: Runtime | None = None

    @contextmanager
    def playing(self, current: Callable[[], Runtime | None] = lambda: None) -> Iterator[None]:
        """Let this stage's network, chance and processes take the place of the real ones.

        `current` tells whose code is running; without an answer it is the process that was last given a message.
        """
        with ExitStack() as undone:
            undone.enter_context(self.network.instead_of_sockets())
            undone.callback(setattr, runtime_module, "_runtimes", runtime_module._runtimes)
            runtime_module._runtimes = _OneForAll(lambda: cast("Runtime", current() or self.performing))
            draws = SimpleNamespace(choice=self.rng.choice, token_hex=lambda n: f"{self.rng.getrandbits(8 * n):x}")
            for module in (keys, runtime_module):
                undone.callback(setattr, module, "secrets", module.secrets)
                module.secrets = draws  # type: ignore[attr-defined]
            yield

    def sweep(self) -> None:
        """Make the first sweep of a shop that has a past."""
        Process(self).perform(Message("cartbridge.poll", (SOURCE,)))

    def sweep_first(self) -> None:
        """Leave the first sweep of an empty shop behind: a shop's whole past is no part of these stories."""
        if self.fresh.first_sweep is None:
            Process(self).perform(Message("cartbridge.poll", (SOURCE,)))
            with self.fresh.engine.connect() as connection:
                of_orders = select(cursors).where(cursors.c.source == "studiocart")
                self.fresh.first_sweep = dict(connection.execute(of_orders).mappings().one())
        else:
            with self.fresh.engine.begin() as connection:
                connection.execute(insert(cursors).values(**self.fresh.first_sweep))

    def sell(self, order_id: int, *, email: str, product_id: str = COURSE, status: str = "paid") -> None:
        """Put an order of one seat into the shop, or change the one that has this id."""
        order = studiocart_record(email, product_id=product_id, status=status)
        self.world.studiocart.replace_order(order_id, order)

    @property
    def comped_orders(self) -> list[CompedOrder]:
        """Every comped order that was made, oldest first."""
        return comped_orders(effect.to_json() for effect in self.world.log.effects(DESTINATION, "addCompOrder"))


class Process:
    """One process of the product: web, worker or beat, as its task may be. Its clock may go wrong by `skew_seconds`."""

    def __init__(self, stage: Stage, *, skew_seconds: float = 0.0) -> None:
        stage.processes += 1
        self.name = f"process-{stage.processes}"
        self._stage = stage
        skew = timedelta(seconds=skew_seconds)
        self.clock: Callable[[], datetime] = lambda: stage.timeline.now() + skew
        self.runtime = Runtime(stage.settings, app=stage.app, clock=self.clock, rng=Random(stage.rng.random()))
        stage.fresh.lend(self.runtime.ledger)
        self.runtime.dispatcher = SimulatedDispatcher(
            stage.app, self.runtime.ledger, stage.broker, now=stage.timeline.seconds
        )
        self.runtime.executor._monotonic = stage.timeline.seconds
        learningcart = self.runtime.clients[DESTINATION]
        learningcart._clock = learningcart._tokens._clock = stage.timeline.seconds
        self.intake = WebhookIntake(stage.settings, self.runtime.ledger, clock=self.clock)

    def take_webhook(self, order_id: int, body: bytes | None = None) -> Taken:
        """What the web process does with a webhook: commit, then send. Without a body it carries an id alone."""
        body = body or f'{{"id": {order_id}}}'.encode()
        secret = self._stage.world.config.studiocart.webhook_secret
        headers = {"content-type": "application/json", "x-webhook-secret": secret}
        taken = self.intake.take(SOURCE, BodyKind.JSON, headers, body)
        if taken.order_id is not None:
            self.runtime.dispatcher.send_order(SOURCE, taken.order_id)
        return taken

    def perform(self, message: Message) -> None:
        """What a worker does with a message."""
        self._stage.performing = self.runtime
        self.runtime.app.tasks[message.task].run(*message.args)


class _OneForAll(dict[tuple[int, int], Runtime]):
    """Tells each task whose process it runs in: simulated processes share a real one."""

    def __init__(self, current: Callable[[], Runtime]) -> None:
        super().__init__()
        self._current = current

    def get(self, key: Any, default: Any = None) -> Runtime:
        return self._current()


_APPLICATIONS: dict[str, Celery] = {}


def _application(settings: Settings) -> Celery:
    """One Celery application for all stages: making one takes longer than many a simulation."""
    app = _APPLICATIONS.get("simulation")
    if app is None:
        app = _APPLICATIONS["simulation"] = create_celery(settings)
        app.finalize()
        gc.collect()
        gc.freeze()
    app.settings = settings
    return app


def _settings(world: World, fresh: FreshLedger, variables: dict[str, str]) -> Settings:
    config, host = world.config, "https://systems.example.test"
    return _read_settings(
        {
            "CARTBRIDGE_DATABASE_URL": fresh.url,
            "CARTBRIDGE_OFFERS_FILE": str(fresh.offers),
            "CARTBRIDGE_SETTLE_SECONDS": str(SETTLE_SECONDS),
            "CARTBRIDGE_LEASE_SECONDS": str(LEASE_SECONDS),
            "CARTBRIDGE_LEARNINGCART__BASE_URL": host + PREFIXES["learningcart"],
            "CARTBRIDGE_LEARNINGCART__SITE_HOSTNAME": config.learningcart.site_hostname,
            "CARTBRIDGE_LEARNINGCART__USERNAME": config.learningcart.username,
            "CARTBRIDGE_LEARNINGCART__PASSWORD": config.learningcart.password,
            "CARTBRIDGE_STUDIOCART__BASE_URL": host + PREFIXES["studiocart"],
            "CARTBRIDGE_STUDIOCART__API_KEY": config.studiocart.api_key,
            "CARTBRIDGE_STUDIOCART__WEBHOOK_SECRET": config.studiocart.webhook_secret,
            "CARTBRIDGE_STUDIOCART__START_AT": LONG_AGO,
            "CARTBRIDGE_STUDIOCART__REQUESTS_PER_SECOND": "0",
            "CARTBRIDGE_LEARNINGCART__REQUESTS_PER_SECOND": "0",
            **variables,
        }
    )


def _read_settings(variables: dict[str, str]) -> Settings:
    known = tuple(sorted(variables.items()))
    if known not in _SETTINGS:
        _SETTINGS[known] = load_settings(variables, env_file=None)
    return _SETTINGS[known]


_SETTINGS: dict[tuple[tuple[str, str], ...], Settings] = {}
