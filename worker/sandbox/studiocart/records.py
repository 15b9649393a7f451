"""Studiocart's records: rows with the times the API does not show, and what a record holds where nothing was said.

Their shape is what the vendor's plugin (2.7) answered. An older one lists items by their names alone: give such
`items` by hand, or set `StudiocartConfig.items`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timezone
from typing import Any, Final

DATE_TIME: Final = "%Y-%m-%d %H:%M:%S"

_BARE_AMPERSAND: Final = re.compile(r"&(?!#?\w+;)")
_QUOTED: Final = re.compile(r'"([^"]*)"')

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
class PaymentPlan:
    """How a product is paid for, as an item shows it."""

    id: str
    name: str


ONE_TIME: Final = PaymentPlan("price_1", "One Time Payment")


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
    product_id, plan = str(given.get("product_id", "1107")), given.get("payment_plan", ONE_TIME.name)
    item = item_of(
        order_id,
        product_id=product_id,
        product_name=product_name,
        unit_price=amount,
        plan=PaymentPlan(given.get("payment_plan_id", ONE_TIME.id), plan),
    )
    return {
        "customer_firstname": first,
        "customer_lastname": last,
        "customer_name": f"{first} {last}".strip(),
        "customer_email": "janedoe@email.com",
        "product_id": "1107",
        "product_name": product_name,
        "gateway": "stripe",
        "shipping_amount": 0,
        "ip_address": "192.0.2.7",
        "date": f"{local:%Y-%m-%d}",
        "date_time": f"{local.astimezone(UTC):{DATE_TIME}}",
        "payment_plan": ONE_TIME.name,
        "payment_plan_id": ONE_TIME.id,
        "order_amount": amount,
        "tax_amount": 0,
        "pre_tax_amount": 0,
        "tax_rate": 0,
        "tax_type": "tax",
        "currency": "INR",
        "transaction_id": f"ch_{order_id}",
        "subscription_id": 0,
        "status": "paid",
        "order_status": given.get("status", "paid"),
        "order_id": order_id,
        "items": [item],
        "invoice_total": 0,
        "invoice_subtotal": 0,
        "website_url": site_url,
        "order_url": "/products/sc-product-1/",
        "link": f"{site_url}/wp-json/sc/v1/orders/{order_id}",
    }


def item_of(
    order_id: int,
    *,
    product_id: str,
    product_name: str,
    unit_price: int,
    quantity: int = 1,
    item_type: str = "main",
    plan: PaymentPlan = ONE_TIME,
    number: int = 1,
) -> dict[str, Any]:
    """Return one of an order's items: `main`, `bump`, or `line item` (a priced field of the main product).

    Its own `id` is that of a database row, made of the order's and its `number` in it. Ids and quantity are text.
    """
    return {
        "id": str(order_id * 10 + number),
        "order_id": str(order_id),
        "product_id": product_id,
        "price_id": plan.id,
        "item_type": item_type,
        "product_name": product_name,
        "price_name": plan.name,
        "total_amount": quantity * unit_price,
        "tax_amount": 0,
        "unit_price": unit_price,
        "quantity": str(quantity),
        "subtotal": quantity * unit_price,
        "discount_amount": 0,
        "shipping_amount": 0,
        "sign_up_fee": 0,
        "trial_days": 0,
        "tax_rate": "",
        "tax_desc": "",
        "purchase_note": "",
    }


def named_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item as an older version shows it: by its name, with its quantity behind it, and no id."""
    quantity = int(item["quantity"])
    amounts = ("subtotal", "total_amount", "tax_amount", "unit_price")
    return (
        {"product_name": f"{item['product_name']} x {quantity}", "quantity": quantity}
        | {name: item[name] for name in amounts if name in item}
        | {"sub_summary": item.get("sub_summary", "")}
    )


def subscribed(order: Mapping[str, Any], subscription_id: int, subscription: Mapping[str, Any]) -> dict[str, Any]:
    """Return an order as one of a subscription: the order and its items carry the subscription's id, as text."""
    summary = f"&#36;{int(subscription.get('amount') or 0) / 100:.2f} / {subscription.get('interval') or 'month'}"
    items = [
        {**item, "subscription_id": str(subscription_id), "sub_summary": item.get("sub_summary") or summary}
        if item.get("product_id")
        else item
        for item in order.get("items") or []
    ]
    return {**order, "subscription_id": str(subscription_id), "items": items}


def texturized(name: str) -> str:
    """Return a title as WordPress shows it everywhere, the REST API too: curly quotes, dashes and entities."""
    shown = _BARE_AMPERSAND.sub("&#038;", name).replace(" - ", " &#8211; ")
    shown = _QUOTED.sub(r"&#8220;\1&#8221;", shown)
    return shown.replace("'", "&#8217;")


def with_titles_as_shown(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return an order or a subscription whose names of products and prices are as WordPress shows titles."""
    shown = {**record, **_titles(record)}
    if isinstance(record.get("items"), list):
        shown["items"] = [{**item, **_titles(item)} if isinstance(item, dict) else item for item in record["items"]]
    return shown


def _titles(record: Mapping[str, Any]) -> dict[str, str]:
    names = ("product_name", "price_name")
    return {name: texturized(record[name]) for name in names if isinstance(record.get(name), str)}


def no_order(record_id: int, site_url: str) -> dict[str, Any]:
    """Return what `/orders/{id}` answers for a post of another kind, under 200: an order's frame without an id."""
    return {
        "customer_name": " ",
        "shipping_amount": 0,
        "order_amount": 0,
        "tax_amount": 0,
        "pre_tax_amount": 0,
        "subscription_id": 0,
        "items": [],
        "invoice_total": 0,
        "invoice_subtotal": 0,
        "website_url": site_url,
        "link": f"{site_url}/wp-json/sc/v1/orders/{record_id}",
    }


def subscription_defaults(subscription_id: int, orders: list[dict[str, Any]], site_url: str) -> dict[str, Any]:
    """Return an active monthly subscription, without its invoices, begun by the first of its orders."""
    first = {name: value for name, value in orders[0].items() if name in _SUBSCRIBED_FIELDS} if orders else {}
    amount = first.get("order_amount", 0)
    return first | {
        "ip_address": "192.0.2.7",
        "sub_amount": amount / 100 if isinstance(amount, int) else amount,
        "subscription_id": f"sub_{subscription_id}",
        "status": "active",
        "amount": amount,
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
