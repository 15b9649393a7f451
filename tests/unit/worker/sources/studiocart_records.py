"""Studiocart's records as the tests of its orders change them, and those orders as ours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from worker.clients.studiocart import models as records
from worker.sandbox.seeds import seed_records
from worker.sources.order import Order
from worker.sources.studiocart import to_order

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)

[ORDER_1109] = seed_records("studiocart", "orders")
"""The vendor's own sample, as its document prints it."""


def read(**changes: Any) -> Order:
    return to_order(records.Order.model_validate(ORDER_1109 | changes))


def item(name: Any, quantity: Any = None) -> dict[str, Any]:
    return {"product_name": name, "quantity": quantity}


def seats(order: Order) -> dict[str, list[tuple[str, str | None]]]:
    """The seats' ids and holds, by the line's product name."""
    return {line.title: [(seat.id, seat.hold) for seat in line.seats] for line in order.lines}
