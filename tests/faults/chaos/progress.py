"""How far the product is, as the ledger says while chaos goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select

from tests.faults.chaos.storefront import Sold
from tests.faults.judging.ledger import ENDED
from tests.faults.judging.sold import Access
from worker.ledger.session import Ledger
from worker.ledger.states import DeliveryState, OrderState
from worker.ledger.tables.runs import cursors, deliveries, orders, pauses, runs

SETTLED = frozenset({DeliveryState.PLANNED, DeliveryState.IGNORED, DeliveryState.REVIEW})


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
            if self.orders.get((each.sale.source, each.sale.order_id)) != _EXPECTED_STATES[each.access]
        ]


_EXPECTED_STATES = {
    Access.NOT_DUE: OrderState.WAITING,
    Access.WITHDRAWN: OrderState.CANCELLED,
    Access.DUE: OrderState.PLANNED,
}


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
