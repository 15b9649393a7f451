"""A source that shows fixed records, read by whatever version of Cartbridge runs this."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from worker.clients.frontcore import models as frontcore_models
from worker.clients.studiocart import models as studiocart_models
from worker.clients.threedcart import models as threedcart_models
from worker.errors import NotFoundError
from worker.sources import frontcore, studiocart, threedcart
from worker.sources.order import Order
from worker.sources.source import Page, Until, Walk

HERE = Path(__file__).parent
RECORDS: dict[str, list[dict[str, Any]]] = json.loads((HERE / "records.json").read_text(encoding="utf-8"))
SOURCES = tuple(RECORDS)
FILLED_AT = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
START_AT = datetime(2026, 1, 1, tzinfo=UTC)
BASELINE_DAYS = 3000
NOT_COMPLETED = 7
_STORE_ZONE = timezone(timedelta(hours=-5))


def read(source: str, record: Mapping[str, Any]) -> Order:
    """Our order of a source's record, by the source's default settings."""
    if source == "studiocart":
        return studiocart.to_order(studiocart_models.Order.model_validate(record))
    if source == "frontcore":
        return frontcore.to_order(frontcore_models.Order.model_validate(record))
    return threedcart.to_order(threedcart_models.Order.model_validate(record), zone=_STORE_ZONE)


class RecordShop:
    """The records of one source. `edits` change a record by its order's id."""

    def __init__(self, name: str, clock: Callable[[], datetime]) -> None:
        self.name = name
        self.clock = clock
        self.edits: dict[str, dict[str, Any]] = {}

    def orders(self) -> list[Order]:
        """All orders, highest id first."""
        given = [each for each in RECORDS[self.name] if each.get("OrderStatusID") != NOT_COMPLETED]
        found = [read(self.name, each | self.edits.get(read(self.name, each).id, {})) for each in given]
        return sorted(found, key=lambda order: -int(order.id))

    def fetch(self, order_id: str) -> Order:
        """One order."""
        found = next((order for order in self.orders() if order.id == order_id), None)
        if found is None:
            raise NotFoundError("no such order", system=self.name, operation="fetch", status=404)
        return found

    def from_body(self, body: dict[str, Any]) -> Order:
        """An order from a webhook's body."""
        return read(self.name, body)

    def reread(self, record: Mapping[str, Any]) -> Order | None:
        """An order from a record that was kept."""
        return read(self.name, record)

    def annotate(self, orders: Sequence[Order]) -> list[Order]:
        """The same orders."""
        return list(orders)

    def walks(self, *, polled_at: datetime, highest_id: int) -> Iterator[Walk]:
        """All orders, twice."""
        yield Walk(self._pages(), Until.KNOWN_ID)
        yield Walk(self._pages(), Until.UNCHANGED, is_of_changes=True)

    def walk_since(self, since: datetime) -> Iterator[Page]:
        """All orders."""
        return self._pages()

    def _pages(self) -> Iterator[Page]:
        yield Page(tuple(self.orders()), self.clock())
