"""Whether a destination answered somebody else: what tells a run's own trouble from the destination's."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select

from worker.ledger.states import AttemptKind, Outcome
from worker.ledger.tables.runs import attempts, runs

_LONGEST_CALL = timedelta(hours=1)
_ANSWERED = (Outcome.OK, Outcome.ADOPTED, Outcome.ABSENT)


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
