"""What the ledger says: how far the product is, and at the end what became of every seat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from tests.faults.chaos.storefront import Sold
from worker.ledger.session import Ledger
from worker.ledger.states import DeliveryState, OrderState, RunState
from worker.ledger.tables.runs import attempts, cursors, deliveries, orders, pauses, runs

ENDED = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.REVIEW, RunState.CANCELLED})
"""The states that nothing leaves by itself."""
SETTLED = frozenset({DeliveryState.PLANNED, DeliveryState.IGNORED, DeliveryState.REVIEW})


@dataclass(frozen=True)
class RunFact:
    """One run, as far as the judgement needs it."""

    id: str
    key: str
    workflow: str
    state: str
    reason: str | None
    source: str
    order_id: str
    email: str | None
    price_id: int | None
    result_id: str | None
    parent_id: str | None
    fence: int
    finished_at: datetime | None


@dataclass(frozen=True)
class AttemptFact:
    """One attempt, as far as the judgement needs it."""

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


@dataclass(frozen=True)
class Progress:
    """How the ledger stands at one moment."""

    runs: Counter[str]
    deliveries: Counter[str]
    orders: dict[tuple[str, str], str]
    paused: tuple[str, ...]
    contacted: frozenset[str]
    """The sources that were reached once at least."""

    @property
    def unfinished_runs(self) -> int:
        return sum(count for state, count in self.runs.items() if state not in ENDED)

    def unseen(self, sold: Iterable[Sold]) -> list[str]:
        """The orders whose last news has not reached the ledger, as `source/id`."""
        return [
            f"{each.sale.source}/{each.sale.order_id}"
            for each in sold
            if self.orders.get((each.sale.source, each.sale.order_id)) != _expected_state(each)
        ]


def _expected_state(sold: Sold) -> str:
    if sold.paid_at is None:
        return OrderState.WAITING
    return OrderState.CANCELLED if sold.is_withdrawn else OrderState.PLANNED


def read_progress(ledger: Ledger) -> Progress:
    """How it stands. `SQLAlchemyError` while PostgreSQL is away."""
    with ledger.read() as connection:
        by_state = connection.execute(select(runs.c.state, func.count()).group_by(runs.c.state)).all()
        arrivals = connection.execute(select(deliveries.c.state, func.count()).group_by(deliveries.c.state)).all()
        seen = connection.execute(select(orders.c.source, orders.c.order_id, orders.c.state)).all()
        paused = tuple(connection.scalars(select(pauses.c.system)))
        reached = select(cursors.c.source).where(cursors.c.baseline_at.is_not(None))
        contacted = frozenset(connection.scalars(reached))
    return Progress(
        Counter(dict(row._tuple() for row in by_state)),
        Counter(dict(row._tuple() for row in arrivals)),
        {(row.source, row.order_id): row.state for row in seen},
        paused,
        contacted,
    )


def read_runs(ledger: Ledger) -> list[RunFact]:
    """Every run."""
    with ledger.read() as connection:
        return [
            RunFact(
                id=row.id,
                key=row.key,
                workflow=row.workflow,
                state=row.state,
                reason=row.reason,
                source=row.source,
                order_id=row.order_id,
                email=row.email_key,
                price_id=(row.grant or {}).get("price_id"),
                result_id=row.result_id,
                parent_id=row.parent_id,
                fence=row.fence,
                finished_at=row.finished_at,
            )
            for row in connection.execute(select(runs).order_by(runs.c.id))
        ]


def read_attempts(ledger: Ledger) -> list[AttemptFact]:
    """Every attempt, by run and in its order."""
    with ledger.read() as connection:
        return [
            AttemptFact(row.run_id, row.kind, row.holder, row.started_at, row.finished_at, row.outcome)
            for row in connection.execute(
                select(attempts).order_by(attempts.c.run_id, attempts.c.step, attempts.c.number)
            )
        ]
