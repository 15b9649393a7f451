"""A ledger, the sandbox of its systems, and three processes of Cartbridge with their workers."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

import httpx

from tasks.runtime import Runtime
from tests.faults.harness.deployment import settings_of, start_runtime
from tests.faults.harness.offers import ALL_OFFERS
from tests.faults.harness.sales import Purchases, Sale
from tests.faults.judging.sold import CompedOrder, comped_orders
from tests.faults.races.broker import DoublingBroker, DoublingDispatcher
from tests.faults.races.observed_site import WatchedSite
from worker.ledger.session import Ledger
from worker.sandbox import Sandbox
from worker.sandbox.config import LearningCartConfig, SandboxConfig
from worker.sandbox.frontcore import Frontcore
from worker.sandbox.studiocart.site import Studiocart
from worker.settings.settings import Settings
from worker.web.app import create_app

_LONGEST_TROUBLE = 700
PROCESSES = 3
WORKERS = 6
ACTORS = 16
SYSTEMS = ("learningcart", "studiocart", "frontcore")
RETRY_MAX_SECONDS = 30.0
READ_TIMEOUT_SECONDS = 20.0
"""Longer than anything here takes: nothing is slow on purpose, and a busy machine must not make outcomes unknown."""
CUSTOMER_GAP_SECONDS = 0.002
"""Two `addCustomer` of one new learner that overlap make two customers, as at the real one."""


class WebProcess:
    """The web application, asked without a socket; one storm at a time."""

    def __init__(self, runtime: Runtime) -> None:
        app = create_app(runtime.settings, runtime.ledger, runtime.dispatcher, clock=runtime.clock)
        self._runner = asyncio.Runner()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.7", 50000))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://cartbridge.example")

    def post_all(self, webhooks: Sequence[tuple[str, dict[str, Any], dict[str, str]]]) -> list[httpx.Response]:
        """Send webhooks, each `(source, body, headers)`, at once; their answers in order."""

        async def post_each() -> list[httpx.Response]:
            return await asyncio.gather(
                *(
                    self._client.post(f"/webhooks/{source}", json=body, headers=headers)
                    for source, body, headers in webhooks
                )
            )

        return self._runner.run(post_each())

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


class _Overheard(logging.Handler):
    """Takes every error that the product logs for a trouble: nothing here may give it cause for one."""

    def __init__(self, troubles: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._troubles = troubles

    def emit(self, record: logging.LogRecord) -> None:
        self._troubles.append(f"logged by {record.name}: {record.getMessage()}")


class Company:
    """Everything a trial needs, running. `troubles` gathers what went wrong in a thread of its own."""

    def __init__(self, ledger_url: str, folder: Path) -> None:
        site = LearningCartConfig(customer_gap_seconds=CUSTOMER_GAP_SECONDS, token_lifetime_seconds=7 * 86_400.0)
        self.sandbox = Sandbox.start(config=SandboxConfig(learningcart=site, seeded=False))
        self.site = WatchedSite.watch(self.sandbox)
        self._purchases = Purchases()
        self.broker = DoublingBroker(WORKERS)
        self.troubles: list[str] = []
        self._overheard = _Overheard(self.troubles)
        logging.getLogger().addHandler(self._overheard)
        settings = _settings(self.sandbox, ledger_url, folder)
        self.processes = [self._start_process(settings, number) for number in range(PROCESSES)]
        self.webs = [WebProcess(runtime) for runtime in self.processes[:2]]
        self.actors = ThreadPoolExecutor(ACTORS, thread_name_prefix="actor")
        self._workers = [threading.Thread(target=self._work, args=(number,)) for number in range(WORKERS)]
        for worker in self._workers:
            worker.start()

    @property
    def ledger(self) -> Ledger:
        """The ledger, as one of the processes reaches it."""
        return self.processes[0].ledger

    def webhook_secret(self, source: str) -> str:
        config = self.sandbox.config
        return config.frontcore.webhook_secret if source == "frontcore" else config.studiocart.webhook_secret

    def sell(self, rng: Random, seed: int, *, paid: bool = True) -> list[Sale]:
        """Put one kind of purchase, by `rng`, into a shop; its learners are new by `seed`."""
        sales = self._purchases.next_purchase(rng, f"learner-{seed}", is_paid_late=not paid)
        for sale in sales:
            self._shop(sale).add_order(sale.record)
        return sales

    def change(self, sale: Sale) -> None:
        """Make the change of an order that its sale foresees."""
        self._shop(sale).update_order(int(sale.order_id), **(sale.later or {}))

    def _shop(self, sale: Sale) -> Frontcore | Studiocart:
        return self.sandbox.frontcore if sale.source == "frontcore" else self.sandbox.studiocart

    def comped_orders(self) -> list[CompedOrder]:
        """Every comped order that was made, oldest first."""
        return comped_orders(effect.to_json() for effect in self.sandbox.effects_of("learningcart", "addCompOrder"))

    def trouble(self, who: str, error: BaseException) -> None:
        """Note what no actor and no worker may meet."""
        reported = " ".join(str(error).split())
        self.troubles.append(f"{who} failed: {type(error).__name__}: {reported}"[:_LONGEST_TROUBLE])

    def close(self) -> None:
        self.broker.close()
        for worker in self._workers:
            worker.join()
        self.actors.shutdown()
        for web in self.webs:
            web.close()
        for runtime in self.processes:
            runtime.close()
        self.sandbox.stop()
        logging.getLogger().removeHandler(self._overheard)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _start_process(self, settings: Settings, number: int) -> Runtime:
        runtime = start_runtime(settings, clock=self.sandbox.clock.now, rng=Random(number))
        runtime.dispatcher = DoublingDispatcher(runtime, self.broker)
        return runtime

    def _work(self, number: int) -> None:
        """A worker's life: what it takes, it does."""
        tasks = self.processes[number % PROCESSES].app.tasks
        while (message := self.broker.take(number)) is not None:
            try:
                tasks[message.task].apply(args=message.arguments, throw=True)
            except Exception as error:  # noqa: BLE001 - whatever it is, the trial has failed by it
                self.trouble(f"worker {number} at {message.task}", error)
            finally:
                self.broker.done()


def _settings(sandbox: Sandbox, ledger_url: str, folder: Path) -> Settings:
    variables = {
        "CARTBRIDGE_RETRY__MAX_SECONDS": str(RETRY_MAX_SECONDS),
        # So many connections are kept: opening them anew would be much of a trial.
        "CARTBRIDGE_WORKER__CONCURRENCY": str(ACTORS),
        "CARTBRIDGE_FRONTCORE__START_AT": "2010-01-01",
    }
    for system in SYSTEMS:
        variables[f"CARTBRIDGE_{system.upper()}__READ_TIMEOUT_SECONDS"] = str(READ_TIMEOUT_SECONDS)
    return settings_of(sandbox, ledger_url, folder, ALL_OFFERS, *SYSTEMS, **variables)
