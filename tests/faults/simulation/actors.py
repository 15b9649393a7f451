"""The company of a simulation: a shop that sells, a web process, workers, two beats, an operator, and bad luck."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from sqlalchemy import select

from tests.faults.harness.deployment import LEASE_SECONDS
from tests.faults.harness.offers import SOURCE
from tests.faults.simulation import boundaries
from tests.faults.simulation.boundaries import Boundary
from tests.faults.simulation.fault_profile import Weather
from tests.faults.simulation.messages import Message
from tests.faults.simulation.network import SMOOTH, Fate
from tests.faults.simulation.sales import Kind
from tests.faults.simulation.schedule import Actor, Schedule
from tests.faults.simulation.shop import Hook, Shop
from tests.faults.simulation.world import Process, Stage
from worker.errors import IllegalTransitionError
from worker.ledger.tables.runs import runs
from worker.sandbox import wire

_INTENT = Boundary(boundaries.COMMITTED, "workflows.execution.recorder.commit_intent")


@dataclass
class Company:
    """Everybody of one seed. `accepted` are the delivery ids that the web process confirmed to the shop."""

    stage: Stage
    schedule: Schedule
    weather: Weather
    rng: Random
    shop: Shop = field(init=False)
    accepted: list[str] = field(default_factory=list)
    operated: set[str] = field(default_factory=set)
    """Runs that an operator has cancelled."""
    is_calm: bool = False
    """Nothing goes wrong any more."""
    failures: list[str] = field(default_factory=list)
    _hooks: list[Hook] = field(default_factory=list)
    _living: dict[str, Actor] = field(default_factory=dict)
    _restarts: dict[str, Callable[[], None]] = field(default_factory=dict)
    _cut_until: float = 0.0
    _planned: int = 0
    """How many things are set down to happen, messages and webhooks on their way among them."""

    def __post_init__(self) -> None:
        troubles, learners = self.weather.troubles, self.weather.learners
        if troubles.firewall_status:
            learners = 2  # one whose name is refused, and one whose is not
        self.shop = Shop(self.stage, self.rng, troubles, learners, self._at, self._hook)
        self.shop.open()

    def open(self) -> None:
        """Start every process, and set down what will happen when."""
        self.stage.network.in_front = self._in_front
        self.stage.broker.post = self._post
        self.stage.network.fate_of = self._fate
        self.stage.network.on_sent = lambda operation: self.reach(Boundary(boundaries.SENT, operation))
        self._start("web", self._web)
        for number in range(self.weather.workers):
            self._start(f"worker-{number}", self._work)
        for number in range(2):
            self._start(f"beat-{number}", self._beat)
        span = self.weather.span_seconds
        for _ in range(self.weather.orders):
            self._at(self.rng.uniform(0, span * 0.7), self.shop.sell)
        for count, act in (
            (self.weather.kills, self._kill_one),
            (self.weather.freezes, self._freeze_one),
            (self.weather.outages, self._cut_off),
            (self.weather.flushes, self.stage.broker.waiting.clear),
            (self.weather.operator_acts, self._operate),
        ):
            for _ in range(count):
                self._at(self.rng.uniform(1, span), act)
        self.shop.live_on(span)
        self._at(span, self._calm_down)

    def reach(self, boundary: Boundary) -> None:
        """Where a process comes to a boundary, the others may go on; inside a transaction they cannot."""
        if boundary.kind == boundaries.COMMIT or self.schedule.current() is None:
            return
        if boundary == _INTENT and not self.is_calm and self.rng.random() < self.weather.held_up:
            self.schedule.wait(LEASE_SECONDS + self.rng.uniform(-40, 250))
            return
        draw = self.rng.random()
        self.schedule.wait(0.001 + 0.01 * draw if draw < 0.97 or self.is_calm else self.rng.uniform(0.1, 8.0))

    # The processes

    def _start(self, name: str, body: Callable[[Process], None], after_seconds: float = 0.0) -> None:
        def live() -> None:
            skew = self.rng.uniform(-self.weather.skew_seconds, self.weather.skew_seconds)
            process = Process(self.stage, skew_seconds=skew)
            actor.runtime = process.runtime
            body(process)

        actor = self._living[name] = self.schedule.spawn(name, live, after_seconds=after_seconds)
        self._restarts[name] = lambda: self._start(name, body, self.rng.uniform(1, 30))

    def _web(self, process: Process) -> None:
        while True:
            if not self._hooks:
                self.schedule.park()
                continue
            hook = self._hooks.pop(0)
            self.accepted.append(process.take_webhook(hook.record_id, hook.body).delivery_id)

    def _work(self, process: Process) -> None:
        while True:
            message = self.stage.broker.take()
            if message is None:
                self.schedule.park()
                continue
            self.reach(Boundary(boundaries.RECEIVED, message.task))
            process.perform(message)
            self.reach(Boundary(boundaries.ACKNOWLEDGE, message.task))

    def _beat(self, process: Process) -> None:
        polled_at = -self.rng.uniform(0, self.weather.poll_seconds)
        while True:
            process.runtime.dispatcher.send_sweep()
            if self.stage.timeline.seconds() - polled_at >= self.weather.poll_seconds:
                polled_at = self.stage.timeline.seconds()
                process.runtime.dispatcher.send_poll(SOURCE)
            self.schedule.wait(self.weather.sweep_seconds)

    # The wires

    def _post(self, message: Message) -> None:
        times = 1 if self.is_calm else self.rng.choices((1, 0, 2), (10, 10 * self.weather.lost_messages, 1))[0]
        for _ in range(times):
            slow = not self.is_calm and self.rng.random() < 0.1
            self._at(self.rng.uniform(1, 60) if slow else self.rng.uniform(0.001, 0.05), lambda: self._deliver(message))

    def _deliver(self, message: Message) -> None:
        if message.task == "cartbridge.dispatch_due" and message in self.stage.broker.waiting:
            return  # it expires
        self.stage.broker.waiting.append(message)
        parked = [each for name, each in sorted(self._living.items()) if name.startswith("worker") and each.is_parked]
        if parked:
            self.schedule.unpark(self.rng.choice(parked))

    def _fate(self, operation: str) -> Fate:
        system = operation.partition(" ")[0]
        if self.is_calm:
            return SMOOTH
        if system == "learningcart" and self.stage.timeline.seconds() < self._cut_until:
            return Fate(refused=True)
        found = self.weather.troubles.fate(self.rng, operation, self.stage.timeline.seconds())
        return found or self.weather.fate(self.rng, operation)

    def _in_front(self, system: str, request: wire.Request, answer: Callable[[], wire.Answer]) -> wire.Answer:
        return self.weather.troubles.answer(system, request, self.stage.world, answer)

    # The shop

    def _hook(self, hook: Hook) -> None:
        self._hooks.append(hook)
        self.schedule.unpark(self._living["web"])

    # Bad luck, and the operator

    def _kill_one(self) -> None:
        name = self.rng.choice(sorted(self._living))
        if self._living[name].is_alive and not self.is_calm:
            self.schedule.kill(self._living[name])
            self._restarts[name]()

    def _freeze_one(self) -> None:
        actor = self.rng.choice([each for _, each in sorted(self._living.items())])
        if not self.is_calm:
            beyond_its_lease = LEASE_SECONDS + self.rng.uniform(0, 200)
            self.schedule.freeze(actor, self.rng.choice([self.rng.uniform(1, 40), beyond_its_lease]))

    def _cut_off(self) -> None:
        self._cut_until = self.stage.timeline.seconds() + self.rng.uniform(10, 300)

    def _operate(self) -> None:
        self.schedule.spawn("operator", self._act)

    def _act(self) -> None:
        """An operator does something to some run that is not done, as `cartbridge replay` or `runs cancel` would."""
        process = Process(self.stage)
        with self.stage.fresh.engine.connect() as connection:
            rows = connection.execute(
                select(runs.c.id, runs.c.state, runs.c.order_id)
                .where(runs.c.workflow == "enrolment")
                .order_by(runs.c.key)
            ).all()
        # What an operator gives on purpose is no finding: other orders are left to what the product makes of them.
        rows = [row for row in rows if self.shop.sold[int(row.order_id)].kind is Kind.PLAIN]
        if not rows:
            return
        row = self.rng.choice(rows)
        operations = process.runtime.operations
        try:
            if self.rng.random() < 0.75:
                replayed = operations.replay(row.id, actor="operator:test", reason="a learner called")
                process.runtime.dispatcher.send_runs(replayed.ready)
            else:
                self.operated.add(row.id)
                operations.cancel(row.id, actor="operator:test", reason="sold by mistake")
        except IllegalTransitionError:
            return  # refused, with a sentence: nothing was changed

    def _calm_down(self) -> None:
        self.is_calm = True
        self._cut_until = 0.0
        self.weather.troubles.calm_down(self.stage.world)

    def is_under_way(self) -> bool:
        """Whether somebody has something to do yet: a process at work or frozen, a webhook or message on its way."""
        frozen = any(each.frozen_until > self.stage.timeline.seconds() for each in self._living.values())
        busy = any(not each.is_parked for name, each in self._living.items() if not name.startswith("beat"))
        return frozen or busy or bool(self._planned or self._hooks or self.stage.broker.waiting)

    def bury_the_dead(self) -> None:
        """Bring back what died of a fault of its own, which is a finding all the same."""
        for name, actor in sorted(self._living.items()):
            if actor.failure is not None:
                self.failures.append(f"{name} died of {actor.failure!r}")
                self._restarts[name]()

    def _at(self, seconds: float, act: Callable[[], None]) -> None:
        """Let somebody do something later."""

        def happen() -> None:
            self._planned -= 1
            act()

        self._planned += 1
        self.stage.timeline.after(seconds, happen)
