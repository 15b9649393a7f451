"""Studiocart's records: rows with the times the API does not show, and what a record holds where nothing was said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timezone
from typing import Any, Final

DATE_TIME: Final = "%Y-%m-%d %H:%M:%S"

RENEWED_FIELDS: Final = frozenset(
    {
        "customer_firstname",
        "customer_lastname",
        "customer_name",
        "customer_email",
        "product_id",
        "product_name",
        "gateway",
        "payment_plan",
        "payment_plan_id",
        "order_amount",
        "currency",
    }
)
"""What the order of a renewal takes over from its subscription."""

_SUBSCRIBED_FIELDS: Final = RENEWED_FIELDS | {
    "date",
    "date_time",
    "tax_amount",
    "tax_rate",
    "tax_type",
    "website_url",
    "order_url",
}


@dataclass(frozen=True)
class Row:
    """One record, never changed in place, and what WordPress keeps beside it. Times are UTC, in whole seconds."""

    record: dict[str, Any]
    created_at: datetime
    modified_at: datetime

    @property
    def id(self) -> int:
        """The record's id."""
        return int(self.record["id"])


def order_defaults(order_id: int, given: Mapping[str, Any], local: datetime, site_url: str) -> dict[str, Any]:
    """Return a whole paid order of one item, made of what is given; `local` is its time in the shop's zone."""
    first, last = given.get("customer_firstname", "Jane"), given.get("customer_lastname", "Doe")
    product_name, amount = given.get("product_name", "SC Product 1"), given.get("order_amount", 500)
    item = {
        "product_name": f"{product_name} x 1",
        "quantity": 1,
        "subtotal": amount,
        "total_amount": amount,
        "tax_amount": 0,
        "unit_price": amount,
        "sub_summary": "",
    }
    return {
        "customer_firstname": first,
        "customer_lastname": last,
        "customer_name": f"{first} {last}".strip(),
        "customer_email": "janedoe@email.com",
        "product_id": "1107",
        "product_name": product_name,
        "gateway": "stripe",
        "shipping_amount": 0,
        "date": f"{local:%Y-%m-%d}",
        "date_time": f"{local.astimezone(UTC):{DATE_TIME}}",
        "payment_plan": "One Time Payment",
        "payment_plan_id": "price_1",
        "order_amount": amount,
        "tax_amount": 0,
        "pre_tax_amount": 0,
        "tax_rate": 0,
        "tax_type": "tax",
        "currency": "INR",
        "transaction_id": f"ch_{order_id}",
        "status": "paid",
        "items": [item],
        "invoice_total": 0,
        "invoice_subtotal": 0,
        "website_url": site_url,
        "order_url": "/products/sc-product-1/",
        "link": f"{site_url}/wp-json/sc/v1/orders/{order_id}",
    }


def subscription_defaults(subscription_id: int, orders: list[dict[str, Any]], site_url: str) -> dict[str, Any]:
    """Return an active monthly subscription, without its invoices, begun by the first of its orders."""
    first = {name: value for name, value in orders[0].items() if name in _SUBSCRIBED_FIELDS} if orders else {}
    return first | {
        "subscription_id": f"sub_{subscription_id}",
        "status": "active",
        "amount": first.get("order_amount", 0),
        "interval": "month",
        "frequency": "1",
        "trial_days": 0,
        "sign_up_fee": 0,
        "link": f"{site_url}/wp-json/sc/v1/subscriptions/{subscription_id}",
    }


def invoice(order: Row, zone: timezone) -> dict[str, Any]:
    """Return an order as its subscription lists it, its time in the shop's zone."""
    shown = {name: order.record.get(name) for name in ("id", "status", "order_amount", "date", "link")}
    return shown | {"date_time": f"{order.created_at.astimezone(zone):{DATE_TIME}}"}


def customer_after(order: Mapping[str, Any], local_time: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return a customer's record with one more order in its totals; `known` may hold no more than the id."""
    fresh = {
        "id": 0,
        "first_name": order.get("customer_firstname"),
        "last_name": order.get("customer_lastname"),
        "email": order["customer_email"],
        "date_created": local_time,
    }
    return {
        **fresh,
        **known,
        "lifetime_value": known.get("lifetime_value", 0) + int(order.get("order_amount") or 0),
        "total_orders": known.get("total_orders", 0) + 1,
        "last_order_date": local_time,
    }


def whole_seconds(moment: datetime) -> datetime:
    """Cut a moment down to what MySQL's `datetime` keeps."""
    return moment.astimezone(UTC).replace(microsecond=0)


def utc_moment(text: str) -> datetime:
    """Read `2023-05-27 08:14:00` as UTC."""
    return datetime.strptime(text, DATE_TIME).replace(tzinfo=UTC)
