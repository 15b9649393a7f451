"""A company that loses its ledger at a moment a seed decides, goes on with a copy of an earlier one, and is judged.

One process at a time, in virtual time, on the real planner, ledger, executor and clients. Faults end with the accident:
what is asked is whether the restored ledger makes anything twice, or leaves a paid seat without access and a question.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Row, select

from tests.faults.harness.deployment import SETTLE_SECONDS
from tests.faults.harness.offers import SOURCE
from tests.faults.harness.sales import seats_of
from tests.faults.judging.ledger import read_runs
from tests.faults.judging.sold import Access
from tests.faults.judging.verdict import Wrong, match
from tests.faults.simulation.messages import Message
from tests.faults.simulation.network import COMPED_ORDER, NEVER, SMOOTH, Fate
from tests.faults.simulation.world import FreshLedger, Process, Stage, put_in_place
from worker.ledger.tables.runs import runs
from workflows.execution.recovery import Recoverer
from workflows.execution.retry_policy import Patience
from workflows.registry import WORKFLOWS

PATIENCE = Patience(base_seconds=2, max_seconds=120, max_attempts=4, settle_seconds=SETTLE_SECONDS)
_MOST_ORDERS = 4
_POLL_SECONDS = 310.0
_LAST_POLLS = 1
_LONGEST_SECONDS = 6 * 3600.0
_WITHDRAWN = {"canceled", "refunded"}


class KilledError(BaseException):
    """The process dies here."""


@dataclass
class Ended:
    """How one seed ended."""

    seed: int
    problems: list[str] = field(default_factory=list)
    lost: int = 0
    """Effects that the copy did not know."""
    states: Counter[str] = field(default_factory=Counter)
    """Of the enrolments, while the copy was made."""


class RestoredCompany:
    """One seed's story. Without `recovers` the operator forgets to run the command."""

    def __init__(self, fresh: FreshLedger, seed: int, *, recovers: bool = True) -> None:
        fresh.empty()
        self.ended = Ended(seed)
        self._rng = Random(seed)
        self._recovers = recovers
        self._stage = Stage(
            fresh,
            seed=self._rng.getrandbits(32),
            fate_of=self._fate,
            CARTBRIDGE_RETRY__MAX_SECONDS="120",
            CARTBRIDGE_RETRY__MAX_ATTEMPTS="4",
        )
        self._process: Process | None = None
        self._is_smooth = False
        self._sold: dict[int, tuple[str, str]] = {}
        """By order id: product and status."""
        self._repeated: Counter[str] = Counter()
        """How often the operator had a seat done again on purpose, by its key."""
        self._polled_at = 0.0

    def tell(self) -> Ended:
        """Live, make a copy, live on, lose the ledger, go on with the copy."""
        acts = (
            [self._sell] * 4
            + [self._serve] * 14
            + [self._let_time_go_by] * 4
            + [self._change, self._operate, self._die]
        )
        with self._stage.playing():
            self._stage.sweep_first()
            for _ in range(self._rng.randint(3, 25)):
                self._rng.choice(acts)()
            copied_at, copy = self._stage.timeline.now(), self._copy()
            self.ended.states = Counter(row.state for row in self._enrolments())
            before = len(self._stage.network.sendings)
            for _ in range(self._rng.randint(5, 35)):
                self._rng.choice(acts)()
            self._process = None
            self._is_smooth = True
            self._stage.timeline.advance(self._rng.choice([1.0, 100.0, 5000.0]))
            self.ended.lost = len(self._stage.network.sendings) - before
            self._bring_back(copy)
            if self._recovers:
                self._recover(copied_at - timedelta(seconds=self._rng.choice([0, 3600, 86_400])))
            self._come_to_rest()
        self._judge()
        return self.ended

    # What happens

    def _fate(self, operation: str) -> Fate:
        if self._is_smooth or operation != COMPED_ORDER or self._rng.random() < 0.5:
            return SMOOTH
        return self._rng.choice(
            [
                Fate(refused=True),
                Fate(travel_seconds=NEVER),
                Fate(answer_seconds=NEVER),
                Fate(travel_seconds=20, cut_seconds=0.5),
                Fate(garbled="500"),
            ]
        )

    def _living(self) -> Process:
        if self._process is None:
            self._process = Process(self._stage)
        return self._process

    def _sell(self) -> None:
        if len(self._sold) == _MOST_ORDERS:
            return
        order_id = 7001 + len(self._sold)
        product_id = self._rng.choice(["1107", "1107", "1130"])
        self._put(order_id, product_id, self._rng.choice(["paid", "paid", "pending-payment"]))
        if self._rng.random() < 0.7:
            self._living().take_webhook(order_id)

    def _put(self, order_id: int, product_id: str, status: str) -> None:
        self._sold[order_id] = (product_id, status)
        self._stage.sell(order_id, email=_email(order_id), product_id=product_id, status=status)

    def _change(self) -> None:
        if self._sold:
            order_id = self._rng.choice(sorted(self._sold))
            product_id, status = self._sold[order_id]
            after = "paid" if status != "paid" else self._rng.choice(["canceled", "refunded"])
            self._put(order_id, product_id, after)
            if self._rng.random() < 0.7:
                self._living().take_webhook(order_id)

    def _serve(self) -> None:
        if self._stage.timeline.seconds() - self._polled_at > _POLL_SECONDS:
            self._polled_at = self._stage.timeline.seconds()
            self._living().perform(Message("cartbridge.poll", (SOURCE,)))
        message = self._stage.broker.take() or Message("cartbridge.dispatch_due")
        self._living().perform(message)

    def _let_time_go_by(self) -> None:
        self._stage.timeline.advance(self._rng.choice([1.0, 10.0, 60.0, 200.0]))

    def _die(self) -> None:
        """The process vanishes in the middle of a call, before or after it was sent."""
        sent = self._rng.random() < 0.5

        def die(operation: str) -> None:
            if operation == COMPED_ORDER:
                raise KilledError

        network, fate_of = self._stage.network, self._stage.network.fate_of

        def die_before(operation: str) -> Fate:
            die(operation)
            return SMOOTH

        if sent:
            network.on_sent = die
        else:
            network.fate_of = die_before
        try:
            for _ in range(3):
                self._serve()
        except KilledError:
            self._process = None
        network.on_sent, network.fate_of = lambda operation: None, fate_of

    def _operate(self) -> None:
        """An operator repeats something that is done or in review, on purpose."""
        rows = [row for row in self._enrolments() if row.state in {"succeeded", "review", "failed"}]
        if not rows:
            return
        row = self._rng.choice(rows)
        again = self._rng.random() < 0.5
        if again:
            self._repeated[row.key] += 1
        self._living().runtime.operations.replay(
            row.id,
            actor="operator:test",
            reason="asked for",
            from_step="add_comped_order" if again else None,
            again=again,
        )

    # The accident

    def _copy(self) -> Path:
        target = self._file.with_name("copy.db")
        with closing(sqlite3.connect(self._file)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
        return target

    @property
    def _file(self) -> Path:
        return Path(self._stage.fresh.url.removeprefix("sqlite:///"))

    def _bring_back(self, copy: Path) -> None:
        self._stage.fresh.engine.dispose()
        put_in_place(copy, self._file)
        copy.unlink()
        self._stage.broker.waiting.clear()

    def _recover(self, since: datetime) -> None:
        runtime = self._living().runtime
        Recoverer(runtime.ledger, WORKFLOWS, patience=PATIENCE, clock=runtime.clock).recover(
            since, actor="operator:test"
        )

    def _come_to_rest(self) -> None:
        began = self._stage.timeline.seconds()
        polled = 0
        while self._stage.timeline.seconds() - began < _LONGEST_SECONDS:
            self._living().perform(Message("cartbridge.dispatch_due"))
            while message := self._stage.broker.take():
                self._living().perform(message)
            if self._is_at_rest():
                if polled == _LAST_POLLS:
                    return
                polled += 1
                self._stage.timeline.advance(_POLL_SECONDS)
                self._living().perform(Message("cartbridge.poll", (SOURCE,)))
            self._stage.timeline.advance(50)
        self.ended.problems.append("it never came to rest")

    # What is left

    def _enrolments(self) -> list[Row[Any]]:
        with self._stage.fresh.engine.connect() as connection:
            return list(connection.execute(select(runs).where(runs.c.workflow == "enrolment").order_by(runs.c.id)))

    def _is_at_rest(self) -> bool:
        return all(row.state in {"succeeded", "failed", "review", "cancelled"} for row in self._enrolments())

    def _judge(self) -> None:
        expected = {
            seat: Access.DUE if status == "paid" else Access.WITHDRAWN if status in _WITHDRAWN else Access.NOT_DUE
            for order_id, (product_id, status) in self._sold.items()
            for seat in seats_of(str(order_id), _email(order_id), product_id)
        }
        with self._stage.fresh.engine.connect() as connection:
            found, stray = match(expected, self._stage.comped_orders, read_runs(connection))
        self.ended.problems += [f"nobody bought what {order} gives" for order in stray]
        for facts in found:
            again = self._repeated[facts.seat.key]
            excused = {
                Wrong.UNDETECTED: again > 0 or not facts.enrolments,  # done again on purpose: its attempts tell of it
                Wrong.UNREVOKED: not facts.enrolments,  # withdrawn before the copy had heard of it: reconcile tells
                Wrong.GIVEN: True,  # it was paid once, and is not now
            }
            judged = facts.wrong(most=1 + again)
            self.ended.problems += [sentence for wrong, sentence in judged if not excused.get(wrong, False)]
            states = {run.state for run in facts.enrolments}
            if facts.access is Access.DUE and not states & {"succeeded", "review"}:
                self.ended.problems.append(f"{facts.seat} is paid and {states or 'has no run'}")


def _email(order_id: int) -> str:
    return f"learner-{order_id % 3}@example.test"
