"""What was paid for a subscription before an order of its: it tells whether that renews it, or buys something else."""

from __future__ import annotations

from sqlalchemy import Connection

from worker.ledger.orders import order_rows, subscription_rows
from worker.sources.order import Order


def earlier_payments(
    connection: Connection, order: Order, subscription_id: str, purchase_id: str | None
) -> tuple[Order, ...]:
    """The purchase, and the payment right before the order, as far as the ledger holds them; none for the purchase."""
    if purchase_id in {None, order.id}:
        return ()
    ids = subscription_rows.orders_of(connection, order.source, subscription_id)
    before = max((each for each in ids if int(each) < int(order.id)), key=int, default=None)
    wanted = [each for each in {purchase_id, before} if each is not None]
    found = (order_rows.load_order(connection, order.source, each) for each in wanted)
    return tuple(each for each in found if each is not None)
