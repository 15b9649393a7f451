"""Plausible Studiocart orders by the dozen, in every shape that planning has to tell apart."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final, NamedTuple

from worker.sandbox.studiocart.records import PaymentPlan, item_of, order_defaults, whole_seconds

_SHOP_ZONE: Final = timezone(timedelta(minutes=330))
_SITE_URL: Final = "http://studiocart.local"
_FIRST_NAMES: Final = (
    "Asha",
    "Bjørn",
    "Chidi",
    "Dagny",
    "Elif",
    "Farid",
    "Grace",
    "Hanna",
    "Ines",
    "Jun",
    "Kofi",
    "Léa",
)
_LAST_NAMES: Final = ("Adeyemi", "Berg", "Costa", "Dahl", "Eriksen", "Fontaine", "García", "Haug", "Iyer", "Jansen")


class SampleProduct(NamedTuple):
    """A product of the sample shop; the price is in minor units."""

    id: str
    name: str
    price: int


COURSES: Final = (
    SampleProduct("1107", "SC Product 1", 500),
    SampleProduct("1130", "SC Product 2", 400),
    SampleProduct("1140", "First Aid at Work", 14900),
)
"""What is sold as a course; the first two are the document's own products."""

BUMP: Final = SampleProduct("1150", "Fire Safety Refresher", 2900)
"""An order bump: a product of its own, which only an order's items name."""

UNMAPPED: Final = SampleProduct("1199", "Company T-Shirt", 2500)
"""A product that no offer is meant to know."""

SHAPES: Final = (
    "paid",
    "completed",
    "bump",
    "quantity",
    "free",
    "unmapped",
    "pending-payment",
    "paid",
    "refunded",
    "returning",
    "canceled",
    "capitals",
    "failed",
    "paid",
)
"""The shapes `make_orders` goes through, over and over: fourteen orders hold every one of them."""

_STATUSES: Final = frozenset({"completed", "pending-payment", "refunded", "canceled", "failed"})


def make_orders(
    n: int, rng: random.Random, *, first_id: int = 2001, newest_at: datetime | None = None
) -> list[dict[str, Any]]:
    """Return `n` whole order records, oldest first, ids counting up from `first_id`, at most seven minutes apart.

    The last one is made at `newest_at` (aware; default: now). The same arguments give the same orders. Emails are
    distinct, at `example.test`, except for `returning`, who is an earlier buyer. Add them with `Studiocart.add_order`.
    """
    newest_at = newest_at or datetime.now(UTC)
    gaps = [rng.randint(20, 400) for _ in range(n)]
    created_at = whole_seconds(newest_at) - timedelta(seconds=sum(gaps[1:]))
    orders: list[dict[str, Any]] = []
    for index, gap in enumerate(gaps):
        created_at += timedelta(seconds=gap if index else 0)
        shape = SHAPES[index % len(SHAPES)]
        person = _person(index + 1, rng)
        if shape == "returning":
            earlier = rng.choice(orders)
            person = {name: earlier[name] for name in person}
        if shape == "capitals":
            person["customer_email"] = person["customer_email"].upper()
        orders.append(_order(first_id + index, shape, person, rng, created_at))
    return orders


def _person(number: int, rng: random.Random) -> dict[str, str]:
    first, last = rng.choice(_FIRST_NAMES), rng.choice(_LAST_NAMES)
    return {
        "customer_firstname": first,
        "customer_lastname": last,
        "customer_name": f"{first} {last}",
        "customer_email": f"learner-{number:04}@example.test",
    }


def _order(
    order_id: int, shape: str, person: dict[str, str], rng: random.Random, created_at: datetime
) -> dict[str, Any]:
    product = UNMAPPED if shape == "unmapped" else rng.choice(COURSES)
    quantity = rng.randint(2, 4) if shape == "quantity" else 1
    price = 0 if shape == "free" else product.price
    items = [item_of(order_id, product_id=product.id, product_name=product.name, unit_price=price, quantity=quantity)]
    if shape == "bump":
        items.append(
            item_of(
                order_id,
                product_id=BUMP.id,
                product_name=BUMP.name,
                unit_price=BUMP.price,
                item_type="bump",
                plan=PaymentPlan("bump", BUMP.name),
                number=2,
            )
        )
    given = {
        **person,
        "product_id": product.id,
        "product_name": product.name,
        "order_amount": sum(item["total_amount"] for item in items),
        "status": shape if shape in _STATUSES else "paid",
        "items": items,
        "gateway": "manual" if shape == "free" else "stripe",
        "order_url": f"/products/{product.name.lower().replace(' ', '-')}/",
    }
    local = created_at.astimezone(_SHOP_ZONE)
    return {"id": order_id} | order_defaults(order_id, given, local, _SITE_URL) | given
