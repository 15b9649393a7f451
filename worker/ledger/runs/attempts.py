"""The attempts of a run's steps: a new one's row, and those whose outcome nobody knows."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, exists, or_, select

from worker.ledger.runs.held import HeldRun, HeldStep
from worker.ledger.states import Outcome, StepState
from worker.ledger.tables.runs import attempts, runs, steps

_NOTHING_KNOWN: Final = dict.fromkeys(attempts.c.keys()) | {"is_forgotten": False}


def new_attempt(held: HeldRun, step: HeldStep, *, started_at: datetime) -> dict[str, Any]:
    """The row of the step's last attempt, a call, without what is known only when it has ended."""
    return _NOTHING_KNOWN | {
        "run_id": held.id,
        "step": step.name,
        "number": step.attempts,
        "kind": "call",
        "generation": held.generation,
        "fence": held.fence,
        "holder": held.holder,
        "started_at": started_at,
    }


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
