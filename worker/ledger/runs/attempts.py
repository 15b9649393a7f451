"""What the attempts tell: which runs have an effect whose outcome nobody knows, and whom a destination answered."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, and_, exists, or_, select

from worker.ledger.states import AttemptKind, Outcome, StepState
from worker.ledger.tables.runs import attempts, runs, steps

_LONGEST_CALL: Final = timedelta(hours=1)
_ANSWERED: Final = (Outcome.OK, Outcome.ADOPTED, Outcome.ABSENT)


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


def answered_others(
    connection: Connection, system: str, run_id: str, *, since: datetime, other_steps: Collection[str]
) -> bool:
    """Whether a call or lookup of another run was answered as it should since then.

    `other_steps`: the names of steps that are another destination's, where a run's calls go to several.
    """
    found = connection.execute(
        select(attempts.c.run_id)
        .join(runs, runs.c.id == attempts.c.run_id)
        .where(
            attempts.c.started_at > since - _LONGEST_CALL,
            attempts.c.finished_at >= since,
            attempts.c.run_id != run_id,
            attempts.c.step.not_in(sorted(other_steps)),
            or_(
                attempts.c.outcome.in_(_ANSWERED),
                (attempts.c.kind == AttemptKind.LOOKUP) & attempts.c.answer_seconds.is_not(None),
            ),
            runs.c.system == system,
        )
        .limit(1)
    )
    return found.first() is not None
