"""Doubt about calls that a restored ledger may have forgotten: an attempt of unknown outcome, so that all who ask, ask.

A doubted run is as one whose worker vanished during the call: LearningCart is asked by the reference before anything is
sent. Written for the runs there are when the ledger is recovered, and with each run that is planned later for an order
made before. Each function works inside the transaction it is given and commits nothing itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from sqlalchemy import Connection, func, insert, or_, select, update

from worker.ledger.events import without_people
from worker.ledger.keys import new_id, reference
from worker.ledger.runs.attempts import effect_open_runs
from worker.ledger.sql import parts, record_of
from worker.ledger.states import CLAIMABLE, AttemptKind, Outcome, RunState, StepState
from worker.ledger.tables.follow_on import completions
from worker.ledger.tables.ledger import Recovery, recoveries
from worker.ledger.tables.runs import Run, attempts, orders, runs, steps

FORGOTTEN_CALL: Final = "the ledger was restored from an older copy: this may have been sent since"
"""What the attempt's row says to people."""
SOURCE_MARGIN: Final = timedelta(days=1)
"""An order's own date may be off by this: its source's clock, and a time zone that is not stated."""


def shut_out_planners(connection: Connection) -> None:
    """Let no other process add or change a run until the transaction ends: its first statement, or it may deadlock.

    A run that is added meanwhile would be seen neither here nor see the recovery. On SQLite there is one writer anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE runs IN SHARE ROW EXCLUSIVE MODE")


def add(
    connection: Connection,
    *,
    copied_at: datetime,
    recovered_at: datetime,
    settled_at: datetime,
    steps_asked: Collection[str],
    actor: str,
    reason: str | None,
) -> str:
    """Record a recovery; its id. From its commit on, `doubt_planned` doubts what is planned."""
    recovery_id = new_id(recovered_at)
    connection.execute(
        insert(recoveries).values(
            id=recovery_id,
            copied_at=copied_at,
            recovered_at=recovered_at,
            settled_at=settled_at,
            steps=sorted(steps_asked),
            actor=actor,
            reason=without_people(connection, reason) if reason else None,
        )
    )
    return recovery_id


def read_all(connection: Connection) -> list[Recovery]:
    """Every recovery, the first first."""
    return [record_of(Recovery, row) for row in connection.execute(_ALL)]


_ALL = select(recoveries).order_by(recoveries.c.recovered_at)


class PlannedRun(Protocol):
    """What is asked of a run that was just added."""

    @property
    def key(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def order_id(self) -> str | None: ...
    @property
    def completion_id(self) -> str | None: ...
    @property
    def step_names(self) -> Sequence[str]: ...


def doubt_planned(connection: Connection, planned: Mapping[str, PlannedRun], *, now: datetime) -> None:
    """Doubt those runs, by id, that were just added for what was there before one of the recoveries."""
    found = read_all(connection)
    for run_id, run in planned.items():
        made_at = _made_at(connection, run.source, run.order_id, run.completion_id)
        concerning = [each for each in found if made_at is None or made_at < each.recovered_at + SOURCE_MARGIN]
        asked = {name for each in concerning for name in each.steps}.intersection(run.step_names)
        if asked:
            doubt(
                connection,
                [ForgottenCall(run_id, run.key, step) for step in sorted(asked)],
                sent_at=min(each.copied_at for each in concerning),
                settled_at=max(each.settled_at for each in concerning),
                now=now,
            )


def _made_at(connection: Connection, source: str, order_id: str | None, completion_id: str | None) -> datetime | None:
    """When the order was made, or the course completed, as its source says; None where it does not."""
    if order_id is None:
        return connection.scalar(select(completions.c.completed_at).where(completions.c.id == completion_id))
    return connection.scalar(
        select(orders.c.created_at).where(orders.c.source == source, orders.c.order_id == order_id)
    )


@dataclass(frozen=True)
class ForgottenCall:
    """A call that may have been sent in the time that the ledger forgot."""

    run_id: str
    key: str
    """The run's."""
    step: str
    generation: int = 0
    number: int = 1
    """Of the attempt it is recorded as."""

    def attempt(self, *, sent_at: datetime, now: datetime) -> dict[str, Any]:
        """The attempt's row."""
        return {
            "run_id": self.run_id,
            "step": self.step,
            "number": self.number,
            "kind": AttemptKind.CALL,
            "generation": self.generation,
            "fence": 0,
            "holder": "",
            "reference": reference(self.key, self.step, self.generation),
            "started_at": sent_at,
            "finished_at": now,
            "outcome": Outcome.UNKNOWN,
            "error": FORGOTTEN_CALL,
            "is_forgotten": True,
        }


def doubt(
    connection: Connection, calls: Sequence[ForgottenCall], *, sent_at: datetime, settled_at: datetime, now: datetime
) -> None:
    """Record calls that may have been sent from `sent_at` on, and let their runs settle."""
    if calls:
        connection.execute(insert(attempts), [call.attempt(sent_at=sent_at, now=now) for call in calls])
        let_settle(connection, {call.run_id for call in calls}, settled_at)


def doubt_run(connection: Connection, run: Run, step: str, *, sent_at: datetime, now: datetime) -> int:
    """Doubt one run whose row is locked, since an effect of its own was found; the attempt's number."""
    number = last_numbers(connection, [run.id]).get((run.id, step), 0) + 1
    call = ForgottenCall(run.id, run.key, step, run.generation, number)
    doubt(connection, [call], sent_at=sent_at, settled_at=now, now=now)
    return number


def let_settle(connection: Connection, run_ids: Collection[str], settled_at: datetime) -> None:
    """Fence out whoever holds these runs, so that the next holder looks at their attempts, and start none before."""
    these = runs.c.id.in_(sorted(run_ids))
    connection.execute(update(runs).where(these).values(fence=runs.c.fence + 1))
    is_early = or_(runs.c.next_attempt_at.is_(None), runs.c.next_attempt_at < settled_at)
    due = runs.c.state.in_(sorted(CLAIMABLE))
    connection.execute(update(runs).where(these, due, is_early).values(next_attempt_at=settled_at))
    is_open = or_(runs.c.lane_shut_until.is_(None), runs.c.lane_shut_until < settled_at)
    connection.execute(update(runs).where(these, is_open).values(lane_shut_until=settled_at))


def last_numbers(connection: Connection, run_ids: Sequence[str]) -> dict[tuple[str, str], int]:
    """The number of the last attempt of each step of these runs, by run and step."""
    found = connection.execute(
        select(attempts.c.run_id, attempts.c.step, func.max(attempts.c.number).label("number"))
        .where(attempts.c.run_id.in_(run_ids))
        .group_by(attempts.c.run_id, attempts.c.step)
    )
    return {(row.run_id, row.step): row.number for row in found}


def doubt_existing(
    connection: Connection,
    steps_by_workflow: Mapping[str, Collection[str]],
    *,
    copied_at: datetime,
    settled_at: datetime,
    now: datetime,
) -> int:
    """Doubt every run that may send one of these steps yet, and whose effect is not being asked about; how many.

    Whoever holds one is fenced out. Not those that other runs replaced: they never run again but by a new plan. Safe to
    repeat; an earlier `copied_at` widens what is asked of the runs that were doubted before.
    """
    connection.execute(
        update(attempts).where(attempts.c.is_forgotten, attempts.c.started_at > copied_at).values(started_at=copied_at)
    )
    may_send = or_(
        *(
            (runs.c.workflow == workflow) & steps.c.name.in_(sorted(names))
            for workflow, names in sorted(steps_by_workflow.items())
        )
    )
    rows = connection.execute(
        select(runs.c.id, runs.c.key, runs.c.generation, steps.c.name)
        .join(steps, steps.c.run_id == runs.c.id)
        .where(
            may_send,
            steps.c.state == StepState.PENDING,
            runs.c.state != RunState.SUCCEEDED,
            runs.c.result_id.is_(None),
            or_(runs.c.cancelled_by.is_(None), runs.c.cancelled_by != "superseded"),
        )
        .order_by(runs.c.id, steps.c.position)
    ).all()
    doubted: set[str] = set()
    for some in parts(rows):
        run_ids = sorted({row.id for row in some})
        asked_already = effect_open_runs(connection, run_ids)
        numbers = last_numbers(connection, run_ids)
        not_asked = [row for row in some if row.id not in asked_already]
        calls = [
            ForgottenCall(row.id, row.key, row.name, row.generation, numbers.get((row.id, row.name), 0) + 1)
            for row in not_asked
        ]
        doubt(connection, calls, sent_at=copied_at, settled_at=settled_at, now=now)
        let_settle(connection, asked_already, settled_at)
        doubted |= {row.id for row in not_asked}
    return len(doubted)
