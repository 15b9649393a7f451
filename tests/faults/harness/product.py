"""A product in one process against a sandbox, with a clock that moves only when a test moves it.

What beat, broker and workers do is done here by hand and in order: `sweep` is beat's, `work` is a worker's. So a test
says at which point something goes wrong, and waits for nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, text

from tasks.control import sweep
from tasks.dispatch import Dispatcher
from tests.faults.harness.deployment import LEASE_SECONDS, SETTLE_SECONDS, settings_of, start_runtime
from tests.faults.harness.impatience import LONG_SECONDS, give_up_on_what_hangs
from tests.faults.harness.offers import OFFERS
from tests.faults.harness.sales import studiocart_record
from worker.clients.base import CallLimits
from worker.ledger.runs.held import HeldRun
from worker.ledger.tables.runs import attempts, cursors, deliveries, events, pauses, runs, steps
from worker.sandbox import Effect, Sandbox

ON_SQLITE = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
"""For what one ledger tells as well as two."""
MAX_ATTEMPTS = 4

Row = Mapping[str, Any]


class Killed(BaseException):
    """The process is killed here: nothing below catches it, and nothing more is written."""


def die() -> None:
    raise Killed


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self._now

    def move(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def move_to(self, moment: datetime) -> None:
        self._now = max(self._now, moment)


class SilentDispatcher(Dispatcher):
    """Sends nothing: every message is lost, and remembered."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self._remembering = threading.Lock()

    def send_order(self, source: str, order_id: str) -> bool:
        return False

    def send_runs(self, run_ids: Sequence[str]) -> bool:
        with self._remembering:
            self.sent += run_ids
        return False


class Rig:
    """One process: a runtime of its own on a ledger that exists, against a running sandbox."""

    def __init__(
        self,
        sandbox: Sandbox,
        ledger_url: str,
        folder: Path,
        *,
        clock: HandClock | None = None,
        shared_clock: bool = False,
        **overrides: str,
    ) -> None:
        """With `shared_clock` the time is the ledger's own, as in a real process, and cannot be moved."""
        variables = {
            "CARTBRIDGE_RETRY__MAX_ATTEMPTS": str(MAX_ATTEMPTS),
            "CARTBRIDGE_LEARNINGCART__READ_TIMEOUT_SECONDS": str(LONG_SECONDS),
            "CARTBRIDGE_LEARNINGCART__CONNECT_TIMEOUT_SECONDS": str(LONG_SECONDS),
        }
        self.sandbox = sandbox
        give_up_on_what_hangs(sandbox)
        self.clock = clock or HandClock()
        self.settings = settings_of(
            sandbox, ledger_url, folder, OFFERS, "learningcart", "studiocart", **(variables | overrides)
        )
        self.runtime = start_runtime(self.settings, clock=None if shared_clock else self.clock, rng=Random(1))
        self.dispatcher = self.runtime.dispatcher = SilentDispatcher()
        self.ledger = self.runtime.ledger
        self.executor = self.runtime.executor

    def close(self) -> None:
        self.runtime.close()

    # Orders

    def sell(
        self,
        order_id: int,
        *,
        email: str = "jane@example.test",
        product_id: str = "1107",
        status: str = "paid",
        quantity: int = 1,
    ) -> None:
        """Put an order into the shop, or change the one that has this id."""
        order = studiocart_record(email, product_id=product_id, status=status, quantity=quantity)
        self.sandbox.studiocart.replace_order(order_id, order)

    def ingest(self, order_id: int) -> list[str]:
        """Look at an order; the ids of its enrolments that can be worked, oldest first."""
        result = self.runtime.ingest("studiocart", str(order_id), actor="operator:test")
        assert result.ok, result
        return [
            row["id"]
            for row in self.rows("runs")
            if row["order_id"] == str(order_id) and row["workflow"] == "enrolment" and row["grant"] is not None
        ]

    def enrol(self, order_id: int = 7001, **order: Any) -> str:
        """Sell one seat and plan it; the id of its run."""
        self.sell(order_id, **order)
        (run_id,) = self.ingest(order_id)
        return run_id

    # What beat and the workers do

    def sweep(self) -> list[str]:
        """One `dispatch_due`; the runs it sent."""
        before = len(self.dispatcher.sent)
        sweep(self.runtime)
        return self.dispatcher.sent[before:]

    def sweep_quietly(self) -> None:
        """One `dispatch_due`, whatever dispatcher the runtime has."""
        sweep(self.runtime)

    def work(self, run_id: str) -> None:
        """What a worker does with the message about a run; a ledger that cannot be used is told, not logged."""
        self.runtime.app.tasks["cartbridge.enrolment.add_customer"].run(run_id)

    def go_on(self) -> None:
        """Let beat and a worker work until nothing is due now."""
        for _ in range(100):
            due = self.sweep()
            if not due:
                return
            for run_id in due:
                self.work(run_id)
        raise AssertionError("the work never ends")

    def finish(self) -> None:
        """Let time go by until nothing is left that time alone could bring forward."""
        self.go_on()
        for _ in range(100):
            moments = [
                moment
                for row in self.rows("runs")
                for moment in (row["next_attempt_at"], row["lease_until"])
                if moment is not None
            ]
            later = [moment for moment in moments if moment > self.clock()]
            if not later:
                if not moments or self.rows("pauses"):
                    return
                self.clock.move(60)  # sent lately: long enough for a lost message to be sent again
            else:
                self.clock.move_to(min(later))
            self.go_on()
        raise AssertionError("it never ends")

    def claim(self, run_id: str) -> HeldRun:
        held = self.executor.claim(run_id, "learningcart")
        assert held is not None
        return held

    def perform(self, held: HeldRun) -> bool:
        """Perform the held run's next step."""
        planned = next(iter(self.executor.steps_left(held)), None)
        assert planned is not None
        return self.executor.perform(held, planned)

    def claim_before_order(self, run_id: str) -> HeldRun:
        """A run whose safe steps are done, and whose comped order is next."""
        held = self.claim(run_id)
        while (step := held.next_step) is not None and step.name != "add_comped_order":
            assert self.perform(held)
        return held

    # What happens at a point of a call

    def before_call(self, method: str, action: Callable[[], object]) -> None:
        """Do something once when the client's method is entered: before the last check, and before anything is sent."""
        self._once(method, lambda call, arguments, options: (action(), call(*arguments, **options))[1])

    def after_last_check(self, method: str, action: Callable[[], object]) -> None:
        """Do something once between the last check and the first byte: the process is frozen there, or dies."""

        def froze(call: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
            limits: CallLimits = options.pop("limits")
            check = limits.before_send or (lambda: None)
            return call(*arguments, **options, limits=replace(limits, before_send=lambda: (check(), action())[0]))

        self._once(method, froze)

    def after_call(self, method: str, action: Callable[[], object]) -> None:
        """Do something once when the answer of the client's method is there, and the caller does not know it yet."""

        def answered(call: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
            try:
                return call(*arguments, **options)
            finally:
                action()

        self._once(method, answered)

    def _once(self, method: str, around: Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]) -> None:
        client = self.runtime.clients["learningcart"]
        call = getattr(client, method)

        def only_once(*arguments: Any, **options: Any) -> Any:
            setattr(client, method, call)
            return around(call, arguments, options)

        setattr(client, method, only_once)

    def watch_boundaries(self, reach: Callable[[str], None], calls: Mapping[tuple[Any, str], str]) -> None:
        """Have every commit, and every call of these, pass by `reach`: before it, and after it.

        `calls`: by the client and its method, what the call is called.
        """
        write = self.ledger.write

        @contextmanager
        def watched_write(**how: bool) -> Iterator[Connection]:
            with write(**how) as connection:
                yield connection
                if self.ledger.is_sqlite or not how.get("alone"):  # else the statement was a transaction by itself
                    reach("before a commit")
            reach("after a commit")

        def watched(call: Callable[..., Any], name: str) -> Callable[..., Any]:
            def watched_call(*arguments: Any, **options: Any) -> Any:
                reach(f"before {name}")
                answer = call(*arguments, **options)
                reach(f"after {name}")
                return answer

            return watched_call

        setattr(self.ledger, "write", watched_write)  # noqa: B010  (mypy refuses the plain way)
        for (client, method), name in calls.items():
            setattr(client, method, watched(getattr(client, method), name))

    # What is left

    def rows(self, table: str) -> list[Row]:
        keys: dict[str, tuple[Any, ...]] = {
            "runs": (runs.c.id,),
            "steps": (steps.c.run_id, steps.c.position),
            "attempts": (attempts.c.run_id, attempts.c.step, attempts.c.number),
            "events": (events.c.id,),
            "pauses": (pauses.c.system,),
            "deliveries": (deliveries.c.id,),
            "cursors": (cursors.c.source,),
        }
        key = keys[table]
        with self.ledger.read() as connection:
            return [dict(row) for row in connection.execute(key[0].table.select().order_by(*key)).mappings()]

    def run(self, run_id: str) -> Row:
        (row,) = [row for row in self.rows("runs") if row["id"] == run_id]
        return row

    def state(self, run_id: str) -> tuple[str, str | None]:
        row = self.run(run_id)
        return row["state"], row["reason"]

    def outcomes(self, run_id: str, step: str = "add_comped_order") -> list[tuple[str, str | None]]:
        """A step's attempts as `(kind, outcome)`, in order, without the lookups that only began the settle time."""
        return [
            (row["kind"], row["outcome"])
            for row in self.rows("attempts")
            if row["run_id"] == run_id
            and row["step"] == step
            and not (row["kind"] == "lookup" and row["outcome"] == "unknown" and row["error"] is None)
        ]

    def reviews(self, *, about: str | None = None) -> list[Row]:
        """The runs that ask a person about another run's effect."""
        return [
            row
            for row in self.rows("runs")
            if row["workflow"] == "revocation" and (about is None or row["parent_id"] == about)
        ]

    def kinds_of_events(self, run_id: str) -> list[str]:
        return [row["kind"] for row in self.rows("events") if row["run_id"] == run_id]

    @property
    def comped_orders(self) -> list[Effect]:
        """Every comped order that was made through the API."""
        return self.sandbox.effects_of("learningcart", "addCompOrder")

    def count(self, operation: str) -> int:
        """How many requests of a LearningCart method arrived."""
        return self.sandbox.requests("learningcart", operation)

    def everything_stored(self) -> str:
        """Every value of every column of every table, as text."""
        with self.ledger.read() as connection:
            names = connection.dialect.get_table_names(connection)
            return "\n".join(
                repr(tuple(row))
                for name in names
                for row in connection.execute(text(f'SELECT * FROM "{name}"'))  # noqa: S608
            )


def let_lease_end(rig: Rig) -> None:
    rig.clock.move(LEASE_SECONDS + 1)


def let_outcome_settle(rig: Rig) -> None:
    rig.clock.move(SETTLE_SECONDS + 1)


def let_outcome_be_asked(rig: Rig, run_id: str) -> None:
    """The first lookup is answered, and then the settle time goes by."""
    rig.clock.move_to(rig.run(run_id)["next_attempt_at"])
    rig.work(run_id)
    let_outcome_settle(rig)


def assert_succeeded_once(rig: Rig, run_id: str) -> None:
    """The run has succeeded with the one comped order there is, and nobody is asked anything."""
    assert rig.state(run_id) == ("succeeded", None)
    (effect,) = rig.comped_orders
    assert rig.run(run_id)["result_id"] == str(effect.facts["order_id"])
    assert rig.reviews() == []


NewRig = Callable[..., Rig]
"""Makes another process on the same ledger: its keywords are settings, and a `clock` to share."""
