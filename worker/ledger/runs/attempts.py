"""The attempts of a run's steps: intents, their outcomes, and which of them nobody knows the outcome of.

Each function works inside the transaction it is given and commits nothing itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, exists, insert, or_, select, update

from worker.ledger.events import log_outcome
from worker.ledger.runs.held import HeldRun, HeldStep
from worker.ledger.states import Outcome, StepState
from worker.ledger.tables.runs import attempts, runs, steps


def insert_intent(connection: Connection, held: HeldRun, step: HeldStep, *, reference: str, now: datetime) -> None:
    """Record that a call which is not safe to repeat is about to be sent. It counts towards the cap from here on."""
    step.attempts += 1
    step.counted += 1
    connection.execute(
        insert(attempts).values(
            run_id=held.id,
            step=step.name,
            number=step.attempts,
            kind="call",
            generation=held.generation,
            fence=held.fence,
            holder=held.holder,
            reference=reference,
            started_at=now,
        )
    )
    connection.execute(
        update(steps).where(steps.c.run_id == held.id, steps.c.position == step.position).values(counted=step.counted)
    )


def close_attempt(connection: Connection, held: HeldRun, step: HeldStep, **values: Any) -> None:
    """Give the step's last attempt its outcome. An attempt that has one keeps it."""
    connection.execute(
        update(attempts)
        .where(
            attempts.c.run_id == held.id,
            attempts.c.step == step.name,
            attempts.c.number == step.attempts,
            attempts.c.outcome.is_(None),
        )
        .values(**values)
    )
    log_outcome(connection, run_id=held.id, order=held.order, step=step.name, number=step.attempts, **values)


def effect_open_runs(connection: Connection, run_ids: list[str]) -> set[str]:
    """Which of these runs have a call whose outcome is not known: open, or unknown with no lookup's answer since."""
    if not run_ids:
        return set()
    later = attempts.alias("later")
    resolved = exists().where(
        later.c.run_id == attempts.c.run_id,
        later.c.step == attempts.c.step,
        later.c.generation == attempts.c.generation,
        later.c.number > attempts.c.number,
        later.c.kind == "lookup",
        later.c.outcome.in_([Outcome.ADOPTED, Outcome.ABSENT]),
    )
    statement = (
        select(attempts.c.run_id)
        .join(runs, and_(runs.c.id == attempts.c.run_id, runs.c.generation == attempts.c.generation))
        .join(steps, and_(steps.c.run_id == attempts.c.run_id, steps.c.name == attempts.c.step))
        .where(
            attempts.c.run_id.in_(run_ids),
            attempts.c.kind == "call",
            or_(attempts.c.outcome.is_(None), attempts.c.outcome == Outcome.UNKNOWN),
            steps.c.state == StepState.PENDING,
            ~resolved,
        )
        .distinct()
    )
    return set(connection.scalars(statement))
