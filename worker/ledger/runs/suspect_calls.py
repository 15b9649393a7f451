"""Doubts the runs that are there when a restored ledger is recovered: any may have sent its call since the copy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, or_, select, update

from worker.ledger.runs import recoveries
from worker.ledger.runs.attempts import effect_open_runs
from worker.ledger.runs.recoveries import ForgottenCall
from worker.ledger.sql import parts
from worker.ledger.states import RunState, StepState
from worker.ledger.tables.runs import attempts, runs, steps


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
        numbers = recoveries.last_numbers(connection, run_ids)
        mine = [row for row in some if row.id not in asked_already]
        calls = [
            ForgottenCall(row.id, row.key, row.name, row.generation, numbers.get((row.id, row.name), 0) + 1)
            for row in mine
        ]
        recoveries.doubt(connection, calls, sent_at=copied_at, settled_at=settled_at, now=now)
        recoveries.let_settle(connection, asked_already, settled_at)
        doubted |= {row.id for row in mine}
    return len(doubted)
