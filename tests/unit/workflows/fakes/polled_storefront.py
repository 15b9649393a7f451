"""A shop that is polled: its source, its poller and its cursor, and orders by the number."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.unit.workflows.fakes.storefront import (
    NOW,
    START,
    Clock,
    FakeSource,
    an_order,
    rows,
)
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import cursors
from worker.sources.order import Order
from workflows.ingest.deliveries import SourcePolicy
from workflows.ingest.order_polling import Polled, Poller
from workflows.ingest.paging import Position
from workflows.planning.offers_file import OffersFile


class Shop:
    """A source, and pollers of it."""

    def __init__(self, ledger: Ledger, source: FakeSource, offers_reader: OffersFile, clock: Clock) -> None:
        self.ledger = ledger
        self.source = source
        self.offers_reader = offers_reader
        self.clock = clock
        self.policy = SourcePolicy(start_at=START, baseline_days=90)
        self.stopping = False

    def poller(self, holder: str = "poller") -> Poller:
        return Poller(
            self.ledger,
            self.source,
            self.policy,
            self.offers_reader,
            holder=holder,
            clock=self.clock,
            should_stop=lambda: self.stopping,
        )

    def settle(self) -> None:
        """Poll as often as it takes until a walk by change has gone past what the first sweep recorded."""
        for _ in range(2):
            self.poll()
        assert self.position.unsettled == 0

    def poll(self, **delta: float) -> Polled:
        self.source.asked.clear()
        self.clock.advance(**(delta or {"minutes": 5}))
        return self.poller().poll()

    @property
    def cursor(self) -> Any:
        (row,) = rows(self.ledger, cursors)
        return row

    @property
    def position(self) -> Position:
        return Position.read(self.cursor.position)


def numbered(*ids: int, created_at: datetime = NOW, **more: Any) -> list[Order]:
    return [an_order(str(each), created_at=created_at, **more) for each in ids]


def seats(*ids: int) -> dict[str, tuple[str, str | None]]:
    return {f"{each}/1107/buyer/501": ("pending", None) for each in ids}
