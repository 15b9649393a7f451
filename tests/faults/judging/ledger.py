"""What the ledger says at the end: its runs and their attempts, as bare facts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from tests.faults.judging.sold import Seat
from worker.ledger.states import RunState
from worker.ledger.tables.runs import attempts, runs

ENDED = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.REVIEW, RunState.CANCELLED})
"""The states that nothing leaves by itself."""


@dataclass(frozen=True)
class RunFact:
    """One run, as far as a judgement needs it."""

    id: str
    key: str
    workflow: str
    state: str
    reason: str | None
    source: str
    order_id: str
    line_id: str
    seat_id: str
    email: str | None
    price_id: int | None
    """None: the run holds a place until the seat is planned."""
    result_id: str | None
    parent_id: str | None
    finished_at: datetime | None

    @property
    def is_parked(self) -> bool:
        """Whether a person is asked, and told why."""
        return self.state in {RunState.REVIEW, RunState.FAILED} and bool(self.reason)

    @property
    def is_superseded(self) -> bool:
        return (self.state, self.reason) == (RunState.CANCELLED, "superseded")

    def is_for(self, seat: Seat) -> bool:
        """Whether it is about this seat."""
        return (
            (self.source, self.order_id) == (seat.source, seat.order_id)
            and seat.line_id in {None, self.line_id}
            and seat.seat_id in {None, self.seat_id}
            and self.email in {None, seat.email.casefold()}
            and self.price_id in {None, *seat.price_ids}
        )

    def __str__(self) -> str:
        return f"{self.id} {self.key}: {self.state} {self.reason or ''}".strip()


@dataclass(frozen=True)
class AttemptFact:
    """One attempt, as far as a judgement needs it."""

    run_id: str
    kind: str
    holder: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None

    @property
    def process_id(self) -> int:
        """Of the process that made it; a holder is `host:process id:token`."""
        return int(self.holder.split(":")[1])


def read_runs(connection: Connection) -> list[RunFact]:
    """Every run."""
    return [
        RunFact(
            id=row.id,
            key=row.key,
            workflow=row.workflow,
            state=row.state,
            reason=row.reason,
            source=row.source,
            order_id=row.order_id,
            line_id=row.line_id,
            seat_id=row.seat_id,
            email=row.email_key,
            price_id=(row.grant or {}).get("price_id"),
            result_id=row.result_id,
            parent_id=row.parent_id,
            finished_at=row.finished_at,
        )
        for row in connection.execute(select(runs).order_by(runs.c.id))
    ]


def read_attempts(connection: Connection) -> list[AttemptFact]:
    """Every attempt, by run and in its order."""
    ordered = select(attempts).order_by(attempts.c.run_id, attempts.c.step, attempts.c.number)
    return [
        AttemptFact(row.run_id, row.kind, row.holder, row.started_at, row.finished_at, row.outcome)
        for row in connection.execute(ordered)
    ]
