"""The storm: sixteen actors that bring, plan, send and replay a purchase at the same moment, and the calm after it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from sqlalchemy import select

from tasks.control import sweep
from tasks.runtime import Runtime
from tests.faults.harness.sales import Sale
from tests.faults.races.deployment import ACTORS, Company
from worker.ledger.session import Ledger
from worker.ledger.states import DeliveryState, RunState
from worker.ledger.tables.runs import deliveries, orders, runs

BEATS = 8
WEBHOOKS = 20
POLLS = 2
OPERATORS = 3
BEATS_SPREAD_SECONDS = (0.0, 0.01, 0.04)
"""Within which time the beats of a storm tick: all with the first arrivals, or on through what follows from them."""
LONGEST_JITTER_SECONDS = 0.004
NEXT_WAVE_SECONDS = 61.0
"""Beyond the settle time, every backoff, and the longest wait before a message that was not taken is sent again."""
WAVE_BEATS = 3
WAVES = 20
ACT_TIMEOUT_SECONDS = 60.0
OPERATOR = "operator:races"


class Act(Protocol):
    """What one actor does, in one of the processes, by a chance of its own."""

    __name__: str

    def __call__(self, runtime: Runtime, rng: Random, /) -> None: ...


@dataclass
class Arrivals:
    """What was told to the company: each must be one delivery."""

    webhooks: list[tuple[str, str, str]] = field(default_factory=list)
    """Source, order, and the delivery's id, as answered."""
    ingested: list[tuple[str, str]] = field(default_factory=list)
    versions: int = 1
    """How many versions of each order were told."""
    polls: int = 0
    """How many polls did not find another one under way."""


class Storm:
    """One purchase's storm. Perhaps `announce_unpaid`; `break_loose`, then `calm_down`."""

    def __init__(self, company: Company, sales: Sequence[Sale], rng: Random) -> None:
        self.arrivals = Arrivals()
        self.waves = 0
        self._company = company
        self._sales = sales
        self._rng = rng
        self._noting = threading.Lock()

    def announce_unpaid(self) -> None:
        """Let the company know the orders while they are not paid, and only then have them paid.

        Then it is not the new row of an order that makes one planner wait for the other.
        """
        for sale in self._sales:
            self._ingest_one(self._company.processes[0], sale)
            self._company.change(sale)
        self.arrivals.versions += 1

    def break_loose(self) -> None:
        """Let everybody act at once; returns when all have ended and the workers are idle."""
        arriving: list[Act] = [self._storm_web(number) for number in range(len(self._company.webs))]
        arriving += [self._poll] * POLLS
        arriving += [self._ingest]
        others: list[Act] = [self._beat_within(self._rng.choice(BEATS_SPREAD_SECONDS))] * BEATS
        others += [self._replay_when_planned] * OPERATORS
        self._company.broker.run_was_sent.clear()
        futures = self._start([*arriving, *others])
        for future in futures[: len(arriving)]:
            future.result(ACT_TIMEOUT_SECONDS)
        self._company.broker.wait_until_idle()
        self._company.broker.run_was_sent.set()  # whoever still waits for a run need not wait any longer
        for future in futures:
            future.result(ACT_TIMEOUT_SECONDS)
        self._company.broker.wait_until_idle()

    def calm_down(self) -> bool:
        """Let time go by and beats tick, all at once, until nothing is open. False: it never ends."""
        while not is_quiet(self._company.ledger):
            if self.waves == WAVES:
                return False
            self.waves += 1
            self._company.sandbox.clock.shift(NEXT_WAVE_SECONDS)
            for future in self._start([*[self._beat_within(0.0)] * WAVE_BEATS, self._replay]):
                future.result(ACT_TIMEOUT_SECONDS)
            self._company.broker.wait_until_idle()
        return True

    def _start(self, acts: Sequence[Act]) -> list[Future[None]]:
        """One thread an act, each in one of the processes, released together but for a jitter of its own."""
        assert len(acts) <= ACTORS
        together = threading.Barrier(len(acts))
        company = self._company

        def play(act: Act, runtime: Runtime, rng: Random) -> None:
            together.wait()
            time.sleep(rng.uniform(0, LONGEST_JITTER_SECONDS))
            try:
                act(runtime, rng)
            except Exception as error:  # noqa: BLE001 - whatever it is, the trial has failed by it
                company.trouble(act.__name__, error)

        return [
            company.actors.submit(play, act, self._rng.choice(company.processes), Random(self._rng.random()))
            for act in acts
        ]

    # Who acts

    def _storm_web(self, number: int) -> Act:
        """One web process's share of the webhooks, all at once."""
        sales = [self._sales[place % len(self._sales)] for place in range(number, WEBHOOKS, len(self._company.webs))]
        webhooks = [
            (
                sale.source,
                {"id": int(sale.order_id)},
                {"X-Webhook-Secret": self._company.webhook_secret(sale.source)},
            )
            for sale in sales
        ]

        def post(_runtime: Runtime, _rng: Random) -> None:
            answers = self._company.webs[number].post_all(webhooks)
            with self._noting:
                for sale, answer in zip(sales, answers, strict=True):
                    if answer.status_code == 202:
                        self.arrivals.webhooks.append((sale.source, sale.order_id, answer.json()["delivery_id"]))
                    else:
                        self._company.troubles.append(f"a webhook was answered {answer.status_code}")

        return post

    def _poll(self, runtime: Runtime, _rng: Random) -> None:
        polled = runtime.poller(self._sales[0].source).poll()
        runtime.dispatcher.send_runs(polled.ready)
        with self._noting:
            self.arrivals.polls += not polled.busy
            if polled.error is not None:
                self._company.troubles.append(f"a poll failed: {polled.error}")

    def _ingest(self, runtime: Runtime, rng: Random) -> None:
        self._ingest_one(runtime, rng.choice(self._sales))

    def _ingest_one(self, runtime: Runtime, sale: Sale) -> None:
        result = runtime.ingest(sale.source, sale.order_id, actor=OPERATOR)
        with self._noting:
            self.arrivals.ingested.append((sale.source, sale.order_id))
            if not result.ok:
                self._company.troubles.append(f"the ingest by name failed: {result.note}")

    def _beat_within(self, seconds: float) -> Act:
        def beat(runtime: Runtime, rng: Random) -> None:
            time.sleep(rng.uniform(0, seconds))
            sweep(runtime)

        return beat

    def _replay_when_planned(self, runtime: Runtime, rng: Random) -> None:
        """What an operator does who waits for the first run to be there."""
        self._company.broker.run_was_sent.wait(ACT_TIMEOUT_SECONDS)
        self._replay(runtime, rng)

    def _replay(self, runtime: Runtime, _rng: Random) -> None:
        for run_id in self._run_ids(runtime):
            found = runtime.operations.replay(run_id, actor=OPERATOR)
            runtime.dispatcher.send_runs(found.ready)

    def _run_ids(self, runtime: Runtime) -> list[str]:
        order_ids = [sale.order_id for sale in self._sales]
        with runtime.ledger.read() as connection:
            return list(connection.scalars(select(runs.c.id).where(runs.c.order_id.in_(order_ids))))


def is_quiet(ledger: Ledger) -> bool:
    """Whether nothing is left in a ledger that time, beats and workers would bring forward."""
    looks = (
        select(runs.c.id).where(runs.c.state.in_([RunState.PENDING, RunState.RUNNING, RunState.WAITING])),
        select(deliveries.c.id).where(deliveries.c.state.in_([DeliveryState.RECEIVED, DeliveryState.WAITING])),
        select(orders.c.order_id).where(orders.c.replan_at.is_not(None)),
    )
    with ledger.read() as connection:
        return not any(connection.execute(look.limit(1)).first() for look in looks)
