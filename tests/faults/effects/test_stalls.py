"""A server that stalls, and then carries out all that had queued: one order, with the product's own settings.

In virtual time, with the real clients: IIS starts cold, requests hang for tens of seconds, and the given-up ones count.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import select

from tests.faults.simulation import boundaries
from tests.faults.simulation.boundaries import Boundary
from tests.faults.simulation.messages import Message
from tests.faults.simulation.network import COMPED_ORDER, Fate
from tests.faults.simulation.world import FreshLedger, Process, Stage
from worker.ledger.runs.held import PROMPT_ANSWER_SECONDS
from worker.ledger.tables.runs import attempts, runs
from worker.settings.settings import load_settings

pytestmark = pytest.mark.faults

STALL_SECONDS = 100.0
GATEWAY_SECONDS = 30.0
STEP_SECONDS = 1.0
LONGEST_SECONDS = 3600.0


class Killed(BaseException):
    """The worker is killed here."""


@pytest.fixture(scope="module")
def fresh() -> Iterator[FreshLedger]:
    with FreshLedger() as fresh:
        yield fresh


@dataclass
class Stall:
    """A LearningCart that stalls from its first comped order on, and answers at once before and afterwards."""

    fresh: FreshLedger
    stall_seconds: float = STALL_SECONDS
    gateway_seconds: float | None = None
    works_off_seconds: float = 0.0
    """How long after the stall the comped order is carried out: the queue is worked off in no order."""
    is_lost: bool = False
    """The stalled comped order is never carried out: the server was restarted."""
    begins_at: float | None = None
    stage: Stage = field(init=False)

    def __post_init__(self) -> None:
        self.fresh.empty()
        defaults = load_settings({}, env_file=None)
        self.stage = Stage(
            self.fresh,
            fate_of=self.fate_of,
            CARTBRIDGE_SETTLE_SECONDS=str(defaults.settle_seconds),
            CARTBRIDGE_LEASE_SECONDS=str(defaults.lease_seconds),
        )

    def fate_of(self, operation: str) -> Fate:
        now = self.stage.timeline.seconds()
        if operation == COMPED_ORDER and self.begins_at is None:
            self.begins_at = now
            travel = float("inf") if self.is_lost else self.stall_seconds + self.works_off_seconds
            return Fate(travel_seconds=travel, gateway_seconds=self.gateway_seconds)
        if self.begins_at is None or not operation.startswith("learningcart"):
            return Fate()
        left = self.begins_at + self.stall_seconds - now
        return Fate(travel_seconds=left, gateway_seconds=self.gateway_seconds) if left > 0 else Fate()

    def enrol(self) -> None:
        self.stage.sweep_first()
        self.stage.sell(7001, email="jane@example.test")
        Process(self.stage).take_webhook(7001)

    def work(self) -> None:
        """What beat and one worker do for as long as there is anything to do."""
        process = Process(self.stage)
        timeline = self.stage.timeline
        end = timeline.seconds() + LONGEST_SECONDS
        while timeline.seconds() < end:
            process.perform(Message("cartbridge.dispatch_due"))
            while (message := self.stage.broker.take()) is not None:
                process.perform(message)
            states = {row["state"] for row in self.rows(runs)}
            if states and not states & {"pending", "running", "waiting"}:
                timeline.advance(LONGEST_SECONDS)  # what is still queued is carried out
                return
            timeline.advance(STEP_SECONDS)

    def rows(self, table: Any) -> list[dict[str, Any]]:
        with self.fresh.engine.connect() as connection:
            return [dict(row) for row in connection.execute(select(table)).mappings()]

    @property
    def ended(self) -> tuple[str, str | None]:
        (run,) = self.rows(runs)
        return run["state"], run["reason"]

    @property
    def lookups(self) -> list[str | None]:
        return [row["outcome"] for row in self.rows(attempts) if row["kind"] == "lookup"]


def play(stall: Stall) -> None:
    with stall.stage.playing():
        stall.enrol()
        stall.work()


@pytest.mark.parametrize("gateway_seconds", [None, GATEWAY_SECONDS, 1.0], ids=["bare", "gateway", "quick gateway"])
@pytest.mark.parametrize("stall_seconds", [20.0, 34.0, 40.0, 90.0, STALL_SECONDS, 130.0, 600.0, 1800.0])
def test_one_order_is_made_when_the_server_stalls_and_carries_out_what_had_queued(
    fresh: FreshLedger, stall_seconds: float, gateway_seconds: float | None
) -> None:
    stall = Stall(fresh, stall_seconds=stall_seconds, gateway_seconds=gateway_seconds)
    play(stall)
    assert stall.ended == ("succeeded", None)
    assert len(stall.stage.world.learningcart.orders) == 1
    assert "absent" not in stall.lookups


def test_settle_time_counts_from_the_first_prompt_answer_when_the_queue_is_worked_off_slowly(
    fresh: FreshLedger,
) -> None:
    stall = Stall(fresh, stall_seconds=130.0, works_off_seconds=20.0)
    play(stall)
    assert stall.ended == ("succeeded", None)
    assert len(stall.stage.world.learningcart.orders) == 1


def test_settle_time_does_not_begin_when_an_answer_is_slow(fresh: FreshLedger) -> None:
    """It sat in the stall itself, and was given before what had queued was carried out."""
    stall = Stall(fresh, stall_seconds=60.0, works_off_seconds=70.0)
    play(stall)
    assert stall.ended == ("succeeded", None)
    assert len(stall.stage.world.learningcart.orders) == 1
    slow = [row for row in stall.rows(attempts) if (row["answer_seconds"] or 0) > PROMPT_ANSWER_SECONDS]
    assert slow


def test_one_order_is_made_when_a_second_stall_holds_the_lookup(fresh: FreshLedger) -> None:
    """The answer that would prove absence sits in it, and was given before the order was made."""
    stall = Stall(fresh)
    asked: list[float] = []

    def fate_of(operation: str) -> Fate:
        now = stall.stage.timeline.seconds()
        if operation == COMPED_ORDER and stall.begins_at is None:
            stall.begins_at = now
            return Fate(travel_seconds=60.0, cut_seconds=0.1)
        if operation == "learningcart getOrdersByDate":
            asked.append(now)
            return Fate(answer_seconds=20.0) if len(asked) == 2 else Fate()
        return Fate()

    stall.stage.network.fate_of = fate_of
    play(stall)
    assert stall.ended == ("succeeded", None)
    assert len(stall.stage.world.learningcart.orders) == 1


@pytest.mark.parametrize("stall_seconds", [90.0, STALL_SECONDS, 130.0, 300.0])
def test_one_order_is_made_when_its_worker_is_killed_during_the_stall(fresh: FreshLedger, stall_seconds: float) -> None:
    stall = Stall(fresh, stall_seconds=stall_seconds)

    def die_when_sent(operation: str) -> None:
        if operation == COMPED_ORDER:
            raise Killed

    with stall.stage.playing():
        stall.enrol()
        stall.stage.network.on_sent = die_when_sent
        with suppress(Killed):
            stall.work()
        stall.stage.network.on_sent = lambda operation: None
        stall.work()
    assert stall.ended == ("succeeded", None)
    assert len(stall.stage.world.learningcart.orders) == 1
    assert "absent" not in stall.lookups


def test_one_order_is_made_when_its_worker_is_killed_at_each_lookup_during_the_stall(fresh: FreshLedger) -> None:
    stall = Stall(fresh)
    deaths: list[str] = []

    def die_when_asked(boundary: Boundary) -> None:
        if boundary == Boundary(boundaries.ANSWERED, "learningcart getOrdersByDate") and len(deaths) < 3:
            deaths.append(str(boundary))
            raise Killed

    with stall.stage.playing(), boundaries.watching(die_when_asked):
        stall.enrol()
        for _ in range(4):
            with suppress(Killed):
                stall.work()
    assert len(deaths) == 3
    assert stall.ended == ("succeeded", None)
    assert len(stall.stage.world.learningcart.orders) == 1


def test_order_is_sent_again_when_the_stalled_request_was_lost(fresh: FreshLedger) -> None:
    stall = Stall(fresh, is_lost=True)
    play(stall)
    assert stall.ended == ("succeeded", None)
    (order,) = stall.stage.world.learningcart.orders
    assert stall.lookups[-1] == "absent"
    assert stall.begins_at is not None
    made_after = (order.ordered_at - stall.stage.timeline.now()).total_seconds() + stall.stage.timeline.seconds()
    assert made_after - stall.begins_at >= STALL_SECONDS + load_settings({}, env_file=None).settle_seconds


def test_run_asks_at_least_every_minute_when_the_server_stalls(fresh: FreshLedger) -> None:
    stall = Stall(fresh, stall_seconds=600.0, gateway_seconds=1.0)
    play(stall)
    asked = sorted(row["started_at"] for row in stall.rows(attempts) if row["kind"] == "lookup")
    waits = [(later - before).total_seconds() for before, later in pairwise(asked)]
    assert max(waits) <= 60 + 2 * STEP_SECONDS
