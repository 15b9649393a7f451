"""Orders that were read while their source was writing them: paid, with nobody and nothing in them.

Such an order is read again a minute later, before anybody is asked who it is for. One that the ledger knows whole is
not written anew: a cache, or an answer cut short, shows it so, and nothing is planned by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, or_, select

from worker.ledger.orders import order_rows
from worker.ledger.states import Actor, DeliveryState, Via
from worker.ledger.tables.runs import deliveries, orders
from worker.reasons import Reason
from worker.sources.order import Order, Payment

READ_AGAIN_AFTER = timedelta(minutes=1)
_OPEN = (DeliveryState.RECEIVED, DeliveryState.WAITING)


def is_half_written(order: Order) -> bool:
    """Whether an order is paid and names neither a buyer or learner nor a product."""
    if order.payment is not Payment.PAID or order.buyer_email:
        return False
    if any(seat.learner is not None for line in order.lines for seat in line.seats):
        return False
    products = [line.product for line in order.lines]
    return order.incomplete or not any(each.product_id or each.product_name or each.sku for each in products)


def is_known_whole(connection: Connection, order: Order) -> bool:
    """Whether the ledger holds a record of this order that is not half-written."""
    of_order = (orders.c.source == order.source, orders.c.order_id == order.id)
    held = connection.scalar(select(orders.c.document).where(*of_order, orders.c.version > 0))
    return held is not None and not is_half_written(Order.model_validate({**held, "payment": Payment.PAID}))


def put_off(
    connection: Connection,
    found: Sequence[Order],
    *,
    now: datetime,
    via: Via = Via.POLL,
    actor: str = Actor.SOURCE,
) -> set[str]:
    """Have the half-written ones among a page's orders read again in a minute, each once; returns their ids.

    One that the ledger holds just like that was read again before, and is taken as it is. What an operator names stays
    named by him: `via` and `actor` are the later look's.
    """
    half = [order for order in found if is_half_written(order)]
    late = {order.id for order in half if not _is_recorded(connection, order)}
    for order in half:
        if order.id in late and not _is_open(connection, order, via):
            order_rows.insert_delivery(
                connection,
                source=order.source,
                order_id=order.id,
                via=via,
                actor=actor,
                now=now,
                state=DeliveryState.WAITING,
                reason=Reason.ORDER_INCOMPLETE,
                next_attempt_at=now + READ_AGAIN_AFTER,
            )
    return late


def _is_recorded(connection: Connection, order: Order) -> bool:
    of_order = (orders.c.source == order.source, orders.c.order_id == order.id)
    return connection.scalar(select(orders.c.content_hash).where(*of_order)) == order_rows.content_hash(order)


def _is_open(connection: Connection, order: Order, via: Via) -> bool:
    of_order = [deliveries.c.source == order.source, deliveries.c.order_id == order.id]
    if via is Via.MANUAL:
        of_order.append(deliveries.c.via == via)  # only such a one overrides what was decided by the order's date
    is_set_aside = and_(deliveries.c.state == DeliveryState.REVIEW, deliveries.c.reason == Reason.RECORD_UNREADABLE)
    found = select(deliveries.c.id).where(*of_order, or_(deliveries.c.state.in_(_OPEN), is_set_aside)).limit(1)
    return connection.scalar(found) is not None
