"""Recovers a ledger restored from an older copy: what was sent since is asked about before it is sent again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from worker.ledger.events import record_event
from worker.ledger.learners.erasure_replay import forget_again
from worker.ledger.learners.tombstones import Tombstone
from worker.ledger.runs import due, recoveries
from worker.ledger.session import Ledger
from workflows.execution.retry_policy import Patience
from workflows.execution.steps import Repeat, Workflow

RECOVERED: Final = "ledger_recovered"
"""The event of a recovery."""


@dataclass(frozen=True)
class Recovered:
    """What a recovery came to, or would."""

    copied_at: datetime
    recovered_at: datetime
    settled_at: datetime
    """No run starts before."""
    freed: int
    """Runs that a process held while the copy was made."""
    doubted: int
    """Runs whose calls may have been sent since."""
    forgotten: int = 0
    """People whom the ledger knew again, and who were forgotten again."""


class Recoverer:
    """Tells a restored ledger that it may have forgotten what was sent since its copy was made."""

    def __init__(
        self,
        ledger: Ledger,
        workflows: Mapping[str, Workflow],
        *,
        patience: Patience,
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._workflows = workflows
        self._patience = patience
        self._clock = clock

    def recover(
        self,
        copied_at: datetime,
        *,
        actor: str,
        reason: str | None = None,
        erased: Sequence[Tombstone] = (),
        dry_run: bool = False,
    ) -> Recovered:
        """Doubt every call that may have been sent since then, in one transaction; with `dry_run`, only count.

        Every run without a recorded effect, and every one that is planned from now on for an order made before now, is
        asked about by its reference before its call is sent; one whose call can neither be asked about nor repeated (a
        mail) goes to review. What a process held while the copy was made is taken from it. Who is among `erased` is
        forgotten again. Sends nothing. Safe to repeat, and to repeat with an earlier moment.
        """
        with self._ledger.write() as connection:
            recovered = self._recover(connection, copied_at, actor=actor, reason=reason, erased=erased)
            if dry_run:
                connection.rollback()
        return recovered

    def _recover(
        self,
        connection: Connection,
        copied_at: datetime,
        *,
        actor: str,
        reason: str | None,
        erased: Sequence[Tombstone],
    ) -> Recovered:
        recoveries.shut_out_planners(connection)
        now = self._clock()
        settled_at = now + timedelta(seconds=self._patience.settle_seconds)
        freed = self._free_orphans(connection, now)
        recovery_id = recoveries.add(
            connection,
            copied_at=copied_at,
            recovered_at=now,
            settled_at=settled_at,
            # A mail is planned with what was answered just now, so that none planned from now on can have been sent.
            steps_asked=[name for names in self._steps(Repeat.ASK).values() for name in names],
            actor=actor,
            reason=reason,
        )
        forgotten = forget_again(connection, erased, now=now, actor=actor)
        doubted = recoveries.doubt_existing(
            connection,
            self._steps(Repeat.ASK, Repeat.NEVER),
            copied_at=copied_at,
            settled_at=settled_at,
            now=now,
        )
        record_event(
            connection,
            at=now,
            kind=RECOVERED,
            actor=actor,
            reason=reason,
            detail={
                "recovery": recovery_id,
                "copied_at": copied_at.isoformat(),
                "freed": freed,
                "doubted": doubted,
                "forgotten": forgotten,
            },
        )
        return Recovered(copied_at, now, settled_at, freed, doubted, forgotten)

    def _free_orphans(self, connection: Connection, now: datetime) -> int:
        freed = 0
        while some := due.recover_orphans(
            connection,
            now=now,
            settle_seconds=self._patience.settle_seconds,
            max_attempts=self._patience.max_attempts,
            backoff_seconds=self._patience.base_seconds,
        ):
            freed += some
        return freed

    def _steps(self, *repeats: Repeat) -> dict[str, list[str]]:
        """The names of the steps that may be repeated so, by workflow; the names of numbered steps are of safe ones."""
        found = {
            name: [step.kind for step in workflow.definitions if step.repeat in repeats]
            for name, workflow in self._workflows.items()
        }
        return {name: steps for name, steps in found.items() if steps}
