"""Studiocart's records as the tests of its orders change them, and those orders as ours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from worker.clients.studiocart import models as records
from worker.sources.order import Order
from worker.sources.studiocart import to_order

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)

ORDER_1109: dict[str, Any] = {
    "id": 1109,
    "customer_firstname": "Jane",
    "customer_lastname": "Doe",
    "customer_name": "Jane Doe",
    "customer_email": "janedoe@email.com",
    "product_id": "1107",
    "product_name": "SC Product 1",
    "gateway": "stripe",
    "shipping_amount": 0,
    "date": "2023-05-27",
    "date_time": "2023-05-27 08:14:00",
    "payment_plan": "Subscription Payment",
    "payment_plan_id": "price_1N4iASSEsjR3TKDuTSloXYv5",
    "order_amount": 500,
    "tax_amount": 0,
    "pre_tax_amount": 0,
    "tax_rate": 0,
    "tax_type": "tax",
    "currency": "INR",
    "transaction_id": "ch_3NCNPYSEsjR3TKDu0BcJrS1F",
    "status": "paid",
    "items": [
        {
            "product_name": "SC Product 1 x 1",
            "quantity": 1,
            "subtotal": 500,
            "total_amount": 500,
            "tax_amount": 0,
            "unit_price": 500,
            "sub_summary": "$5.00 / month",
        }
    ],
    "invoice_total": 0,
    "invoice_subtotal": 0,
    "website_url": "http://studiocart.local",
    "order_url": "/products/sc-product-1/",
    "link": "http://studiocart.local/wp-json/sc/v1/orders/1109",
}
"""The vendor's own sample, as its document prints it."""


def read(**changes: Any) -> Order:
    return to_order(records.Order.model_validate(ORDER_1109 | changes))


def item(name: Any, quantity: Any = None) -> dict[str, Any]:
    return {"product_name": name, "quantity": quantity}


def seats(order: Order) -> dict[str, list[tuple[str, str | None]]]:
    """The seats' ids and holds, by the line's product name."""
    return {line.title: [(seat.id, seat.hold) for seat in line.seats] for line in order.lines}
