"""Tells a scenario with processes that are killed at given boundaries, and judges the end by what the world saw."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, literal, select

from tests.faults.crash_points import follow_on
from tests.faults.crash_points.scenarios import EMAIL, SCENARIOS, Scenario
from tests.faults.harness.offers import SOURCE
from tests.faults.harness.sales import seats_of
from tests.faults.judging.ledger import read_runs
from tests.faults.judging.sold import Access
from tests.faults.judging.verdict import SeatFacts, match
from tests.faults.simulation import boundaries
from tests.faults.simulation.boundaries import Boundary
from tests.faults.simulation.messages import Message
from tests.faults.simulation.world import FreshLedger, Process, Stage
from worker.ledger.tables.base import LedgerModel
from worker.ledger.tables.runs import deliveries, orders, runs

_LONGEST_SECONDS = 4 * 3600.0
_REPLAY_AFTER_SECONDS = 20.0
_POLL_SECONDS = 300.0
_QUIET_STATES = ("succeeded", "failed", "review", "cancelled")
_OPEN_STATES = ("received", "waiting")


class KilledHereError(BaseException):
    """The process is killed: nothing below catches it, and nothing more is written."""


class _KnownWorldError(Exception):
    """What is left is what another telling had left."""


@dataclass
class CrashResult:
    """How a telling went."""

    scenario: str
    kills: tuple[int, ...]
    reached: list[Boundary] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    world: str = ""
    """What the last kill left, in short: two tellings that leave the same go on in the same way."""
    is_known: bool = False
    """It left what another telling had left, and was not told to its end again."""

    @property
    def ok(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        killed = ", ".join(f"{number} ({self.reached[number]})" for number in self.kills if number < len(self.reached))
        return f"{self.scenario}, killed at {killed or 'nothing'}: {'; '.join(self.problems) or 'ok'}"


class CrashRun:
    """One telling of a scenario: at most one process at a time, each living until it is killed.

    `kills` are numbers of boundaries, counted over the whole telling. `redelivers`: the broker gives a killed worker's
    message to the next one; else it is lost. A killed sender's request goes its way. `known`: worlds that were told to
    their end; a telling whose last kill leaves one of them ends there.
    """

    def __init__(
        self,
        fresh: FreshLedger,
        scenario: Scenario,
        kills: Sequence[int] = (),
        *,
        redelivers: bool = False,
        known: Collection[str] = (),
    ) -> None:
        fresh.empty()
        self._scenario = scenario
        self._kills = set(kills)
        self._redelivers = redelivers
        self._known = known
        self._acts = 0
        variables = follow_on.variables() if scenario.completes else {}
        self._stage = Stage(fresh, seed=1, wait=None, fate_of=scenario.fate_of(), **variables)
        self._stage.network.on_sent = lambda operation: self._reach(Boundary(boundaries.SENT, operation))
        self._process: Process | None = None
        self._accepted = 0
        self._replayed = False
        self.result = CrashResult(scenario.name, tuple(sorted(kills)))

    def run(self) -> CrashResult:
        """Tell it to its end, and judge."""
        with self._stage.playing():
            self._stage.sweep_first()
            self._stage.timeline.advance(60)
            with boundaries.watching(self._reach), suppress(_KnownWorldError):
                self._happen()
        if not self.result.is_known:
            self._judge()
        return self.result

    def _reach(self, boundary: Boundary) -> None:
        number = len(self.result.reached)
        self.result.reached.append(boundary)
        if number in self._kills:
            raise KilledHereError

    def _as_process(self, act: Callable[[Process], object]) -> bool:
        """Let the living process act, or a new one; False if that was its death."""
        self._acts += 1
        try:
            self._process = self._process or Process(self._stage)
            act(self._process)
        except KilledHereError:
            self._process = None
            if len(self.result.reached) > max(self._kills):
                self._look_at_what_is_left()
            return False
        return True

    def _look_at_what_is_left(self) -> None:
        """After the last kill: all that outlives it decides what follows, but for the ids that will be drawn."""
        stage = self._stage
        with stage.fresh.engine.connect() as connection:
            rows = [connection.execute(select(table)).all() for table in LedgerModel.metadata.sorted_tables]
        outside = [
            system.describe() for system in (stage.world.learningcart, stage.world.studiocart, stage.world.threedcart)
        ]
        outside[0].pop("tokens")  # a new process asks for a token of its own
        under_way = [stage.timeline.seconds(), sorted(stage.timeline.due_seconds()), stage.broker.waiting]
        script = [self._acts, self._accepted, self._replayed, self._redelivers, len(stage.network.comped_orders_sent)]
        self.result.world = hashlib.sha256(repr([rows, outside, under_way, script]).encode()).hexdigest()
        if self.result.world in self._known:
            self.result.is_known = True
            raise _KnownWorldError

    # What happens

    def _happen(self) -> None:
        stage = self._stage
        for sale in self._scenario.sales:
            stage.sell(sale.order_id, email=EMAIL, product_id=sale.product_id)
            for _ in range(sale.webhooks):
                self._accepted += self._hook(sale.order_id)
        if self._scenario.completes:
            follow_on.complete(stage, EMAIL)
            self._as_process(self._read_completions)
        sold_at = polled_at = stage.timeline.seconds()
        cancel_after = self._scenario.cancelled_after_seconds
        while stage.timeline.seconds() < _LONGEST_SECONDS:
            self._work()
            since_sale = stage.timeline.seconds() - sold_at
            if cancel_after is not None and since_sale >= cancel_after:
                cancel_after = None
                stage.sell(self._scenario.sales[0].order_id, email=EMAIL, status="canceled")
                self._hook(self._scenario.sales[0].order_id)
            elif self._scenario.replayed and not self._replayed and since_sale >= _REPLAY_AFTER_SECONDS:
                self._replayed = self._as_process(self._replay)
            elif stage.timeline.seconds() - polled_at >= _POLL_SECONDS:
                polled_at = stage.timeline.seconds()
                self._as_process(self._read_completions if self._scenario.completes else _send_poll)
            elif cancel_after is None and self._has_settled():
                return
            else:
                stage.timeline.advance(15)

    def _hook(self, order_id: int) -> bool:
        """The shop sends a webhook; whether it was accepted. None is sent twice: polling is there for what is lost."""
        return self._as_process(lambda process: process.take_webhook(order_id))

    def _work(self) -> None:
        """Beat's sweeps and the worker's messages, until nothing more is sent now."""
        for _ in range(200):
            message = self._stage.broker.take()
            if message is None:
                if not self._is_due() or (self._as_process(self._sweep) and not self._stage.broker.waiting):
                    return
            elif not self._as_process(partial(self._serve, message=message)) and self._redelivers:
                self._stage.broker.waiting.append(message)
        self.result.problems.append("the work never ends")

    def _sweep(self, process: Process) -> None:
        self._serve(process, Message("cartbridge.dispatch_due"))

    def _serve(self, process: Process, message: Message) -> None:
        self._reach(Boundary(boundaries.RECEIVED, message.task))
        process.perform(message)
        self._reach(Boundary(boundaries.ACKNOWLEDGE, message.task))
        self._reach(Boundary(boundaries.ACKNOWLEDGED, message.task))

    def _read_completions(self, process: Process) -> None:
        self._serve(process, Message("cartbridge.poll_completions"))

    def _replay(self, process: Process) -> None:
        for row in self._rows(runs):
            if row["workflow"] == "enrolment" and row["state"] != "succeeded":
                replayed = process.runtime.operations.replay(row["id"], actor="operator:test", reason="asked for")
                process.runtime.dispatcher.send_runs(replayed.ready)

    # What can be seen

    def _rows(self, table: Any) -> list[dict[str, Any]]:
        with self._stage.fresh.engine.connect() as connection:
            return [dict(row) for row in connection.execute(select(table)).mappings()]

    def _is_due(self) -> bool:
        """Whether a sweep would find something to send."""
        now = self._stage.timeline.now()
        with self._stage.fresh.engine.connect() as connection:
            unsent = [
                *connection.execute(select(runs.c.dispatched_at, runs.c.dispatches).where(*_due(runs, now))),
                *connection.execute(select(deliveries.c.dispatched_at, literal(1)).where(*_due(deliveries, now))),
            ]
            ended = connection.execute(select(runs.c.id).where(runs.c.state == "running", runs.c.lease_until <= now))
            # It sends what it sent again after 10 s, then 20, then 40: before that it finds nothing to do.
            return ended.first() is not None or any(
                sent_at is None or (now - sent_at).total_seconds() >= 10.0 * 2 ** min(max(times - 1, 0), 2)
                for sent_at, times in unsent
            )

    def _is_quiet(self) -> bool:
        with self._stage.fresh.engine.connect() as connection:
            restless = connection.execute(select(runs.c.id).where(runs.c.state.not_in(_QUIET_STATES))).first()
            unsettled = connection.execute(select(deliveries.c.id).where(deliveries.c.state.in_(_OPEN_STATES))).first()
            return restless is None and unsettled is None

    def _has_settled(self) -> bool:
        """Everything is at rest, and the ledger has heard of every order what the shop says of it."""
        if self._scenario.completes and not self._rows(runs):
            return False
        with self._stage.fresh.engine.connect() as connection:
            heard = {row.order_id: row.status for row in connection.execute(select(orders.c.order_id, orders.c.status))}
        shop = {str(order["id"]): order["status"] for order in self._stage.world.studiocart.describe()["orders"]}
        return heard == shop and self._is_quiet()

    # How it ended

    def _judge(self) -> None:
        problems = self.result.problems
        if not self._is_quiet():
            problems.append("it never came to rest")
        if self._scenario.completes:
            problems += follow_on.problems(self._stage)
        is_cancelled = self._scenario.cancelled_after_seconds is not None
        seats = [seat for sale in self._scenario.sales for seat in seats_of(str(sale.order_id), EMAIL, sale.product_id)]
        with self._stage.fresh.engine.connect() as connection:
            known = read_runs(connection)
        access = Access.WITHDRAWN if is_cancelled else Access.DUE
        found, stray = match(dict.fromkeys(seats, access), self._stage.comped_orders, known)
        problems += [f"nobody bought what {order} gives" for order in stray]
        for facts in found:
            problems += _unlike_cancelled(facts) if is_cancelled else facts.unlike_once()
        hooks = [row for row in self._rows(deliveries) if row["via"] == "webhook"]
        if len(hooks) < self._accepted:
            problems.append(f"{self._accepted} webhooks were accepted, {len(hooks)} are recorded")


def _unlike_cancelled(facts: SeatFacts) -> Iterator[str]:
    """Found: a question to take it back. Absent: cancelled, and nothing was made."""
    if len(facts.made) > 1:
        yield f"{len(facts.made)} comped orders for {facts.seat}"
    states = [run.state for run in facts.enrolments]
    if not facts.made and not states:
        return  # it was cancelled before anybody heard that it was paid
    expected = ["succeeded"] if facts.made else ["cancelled"]
    if states != expected or [run.state for run in facts.questions] != ["review"] * len(facts.made):
        made = "made" if facts.made else "not made"
        yield f"{made}, cancelled, and ended {states} with {len(facts.questions)} revocations"


def _due(table: Any, now: datetime) -> tuple[ColumnElement[bool], ...]:
    is_open = table.c.state.in_(_OPEN_STATES if table is deliveries else ("pending", "waiting"))
    is_free = table.c.lease_until.is_(None) | (table.c.lease_until <= now)
    return is_open, table.c.next_attempt_at.is_(None) | (table.c.next_attempt_at <= now), is_free


def _send_poll(process: Process) -> None:
    process.runtime.dispatcher.send_poll(SOURCE)


def scenario_named(name: str) -> Scenario:
    """The scenario with this name."""
    return next(each for each in SCENARIOS if each.name == name)
