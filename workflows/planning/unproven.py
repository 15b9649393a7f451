"""Orders that are complete by their status, and in which nothing shows that money was taken: how long they wait."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from worker.sources.order import Order

ASKED_AFTER: Final = timedelta(hours=24)
"""Evidence of the payment may come so much later than the order; then a person is asked."""


def asked_at(order: Order, *, first_seen_at: datetime, start_at: datetime | None) -> datetime | None:
    """When a person is to be asked whether an order was paid; None where nobody is.

    An order from before the start waits without a question, as all do that were unpaid then.
    """
    if not order.payment_unproven:
        return None
    if start_at is not None and order.created_at is not None and order.created_at < start_at:
        return None
    made_at = first_seen_at if order.created_at is None else min(order.created_at, first_seen_at)
    return made_at + ASKED_AFTER
