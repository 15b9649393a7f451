"""What the demo sells: its offers, its orders, and what each order must come to in the end, written down beforehand.

None of this uses Cartbridge's own planning: it is what planning is held against.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from worker.sandbox import make_orders
from worker.sandbox.seeds import seed_records

SEED_ORDER_ID: Final = 1109
"""The one order of the vendor's own documents."""
SEED_SUBSCRIPTION_ID: Final = 1108
START_AT: Final = "2023-05-01"
"""Before the seed order, and after the oldest one."""
OLDEST_AT: Final = "2023-04-20 09:30:00"

OFFERS: Final = """\
# The offers of the demo: which product grants which LearningCart price and groups.

[[offer]]
source = "studiocart"
product_id = "1107"
renewals = "grant"
grants = [{ price_id = 501, group_ids = [12] }]

[[offer]]
source = "studiocart"
product_id = "1130"
grants = [{ price_id = 502, group_ids = [13] }]

[[offer]]
source = "studiocart"
product_id = "1140"
grants = [{ price_id = 503, group_ids = [12, 14] }]

# An order bump: a product of its own.
[[offer]]
source = "studiocart"
product_id = "1150"
grants = [{ price_id = 504 }]

# A bundle: two grants, two runs.
[[offer]]
source = "studiocart"
product_id = "1160"
grants = [{ price_id = 505, group_ids = [15] }, { price_id = 506 }]

# A book: not a course.
[[ignore]]
source = "studiocart"
product_id = "1200"
"""
PRICES: Final[Mapping[str, tuple[int, ...]]] = {"1107": (501,), "1130": (502,), "1140": (503,), "1160": (505, 506)}
"""The prices a product grants, by its id, as in `OFFERS`."""
BUMP_PRICE: Final = 504
GROUPS: Final[Mapping[int, tuple[int, ...]]] = {501: (12,), 502: (13,), 503: (12, 14), 504: (), 505: (15,), 506: ()}
"""The groups that go with a price, as in `OFFERS`."""

_PRODUCTS: Final = {
    "1107": ("SC Product 1", 500),
    "1130": ("SC Product 2", 400),
    "1140": ("First Aid at Work", 14900),
    "1160": ("Site Manager Bundle", 39900),
    "1200": ("First Aid Handbook", 1900),
}
_PAID: Final = frozenset({"paid", "completed"})


@dataclass(frozen=True)
class Sale:
    """One order of the demo, as it is first put into the shop, and what it must come to by the end."""

    record: Mapping[str, Any]
    """Studiocart's record; the shop fills in what is left out."""
    says: str
    """What is special about it."""
    prices: tuple[int, ...] = ()
    """The comped orders it must have in LearningCart, one each."""
    reviews: tuple[str, ...] = ()
    """Why it must wait for a person, once for each run that does."""

    @property
    def order_id(self) -> int:
        """The shop's id of the order."""
        return int(self.record["id"])


@dataclass(frozen=True)
class Change:
    """A status the shop gives an order later on."""

    order_id: int
    status: str
    says: str
    announced: bool
    """By a webhook; else it is for polling to find."""


@dataclass(frozen=True)
class Season:
    """Every order of the demo, by when and how it comes."""

    before: tuple[Sale, ...]
    """In the shop before Cartbridge is started for the first time."""
    announced: tuple[Sale, ...]
    """Announced by webhook, several times each."""
    unannounced: tuple[Sale, ...]
    """Never announced: polling finds them."""
    faulty: tuple[Sale, ...]
    """Bought while LearningCart misbehaves."""
    killed: Sale
    """Bought just before the process is killed, with its call under way."""
    missed: tuple[Sale, ...]
    """Bought while nobody listens: their webhooks are lost."""
    seed: Sale
    renewal: Sale
    """The second payment of the seed's subscription; the shop makes its record."""
    changes: tuple[Change, ...]

    def sales(self) -> Iterator[Sale]:
        """All of them."""
        yield from self.before
        yield self.seed
        yield from (*self.announced, *self.unannounced, *self.faulty, self.killed, *self.missed)
        yield self.renewal

    def expected_orders(self) -> Counter[tuple[str, int]]:
        """The comped orders there must be in the end: how many by order id and price."""
        return Counter((str(sale.order_id), price) for sale in self.sales() for price in sale.prices)

    def expected_reviews(self) -> Counter[tuple[str, str]]:
        """The runs that must wait for a person in the end: how many by order id and reason."""
        return Counter((str(sale.order_id), reason) for sale in self.sales() for reason in sale.reviews)


def plan_season(newest_at: datetime) -> Season:
    """The demo's orders; the sample ones are made up to `newest_at` (aware). The same every time."""
    samples = [_of_sample(record) for record in make_orders(14, random.Random(1109), newest_at=newest_at)]  # noqa: S311 -- the same every time, on purpose
    late = next(index for index, sale in enumerate(samples) if sale.record["status"] == "pending-payment")
    samples[late] = replace(samples[late], prices=PRICES[samples[late].record["product_id"]])
    [seed] = [record for record in seed_records("studiocart", "orders") if record["id"] == SEED_ORDER_ID]
    faulty = [_buy(3101 + number, f"Storm {number + 1}", "1140", "bought in the storm") for number in range(7)]
    faulty[0] = replace(faulty[0], reviews=("refunded_after_provisioning",))
    faulty[1] = replace(faulty[1], reviews=("cancelled_after_provisioning",))
    return Season(
        before=(
            Sale(_record(1001, "Olga Older", "1107", date_time=OLDEST_AT), "older than the start: to be ignored"),
            *samples[:4],
        ),
        seed=Sale(seed, "the vendor's own sample order", prices=(501,)),
        announced=(
            *samples[4:11],
            _buy(3001, "Quentin Trio", "1140", "three seats, one buyer", quantity=3, reviews=("unnamed_seat",) * 2),
            _buy(3002, "Bo Bundle", "1160", "a bundle of two courses"),
            _buy(3003, "Bella Book", "1200", "a book: to be ignored"),
            _buy(3004, "Zoe Zero", "1130", "nothing to pay, by a coupon", order_amount=0),
            _buy(3005, "Lars Late", "1107", "paid later", status="pending-payment"),
            _buy(3006, "Rita Retry", "1130", "canceled, then paid after all", status="canceled"),
            Sale(_record(3007, "Nora Never", "1140", status="pending-payment"), "canceled before it is paid"),
        ),
        unannounced=tuple(samples[11:]),
        faulty=tuple(faulty),
        killed=_buy(3201, "Kim Killed", "1130", "its call is under way when the process is killed"),
        missed=(_buy(3301, "Mia Missed", "1107", "bought while nobody listens"),),
        renewal=Sale({"id": 3302}, "a renewal: the same learner and price once more", prices=(501,)),
        changes=(
            Change(3005, "paid", "paid at last", announced=True),
            Change(samples[late].order_id, "completed", "paid at last, without a webhook", announced=False),
            Change(3006, "paid", "canceled, then paid after all", announced=True),
            Change(3007, "canceled", "canceled before it was paid", announced=True),
            Change(3101, "refunded", "refunded after access was given", announced=True),
            Change(3102, "canceled", "canceled after access was given, without a webhook", announced=False),
        ),
    )


def _record(order_id: int, name: str, product_id: str, *, quantity: int = 1, **fields: Any) -> dict[str, Any]:
    first, last = name.split(" ", 1)
    title, price = _PRODUCTS[product_id]
    amount = fields.pop("order_amount", quantity * price)
    item = {
        "product_name": f"{title} x {quantity}",
        "quantity": quantity,
        "subtotal": amount,
        "total_amount": amount,
        "tax_amount": 0,
        "unit_price": amount // quantity,
        "sub_summary": "",
    }
    return {
        "id": order_id,
        "customer_firstname": first,
        "customer_lastname": last,
        "customer_name": name,
        "customer_email": f"{name.lower().replace(' ', '.')}@example.test",
        "product_id": product_id,
        "product_name": title,
        "order_amount": amount,
        "items": [item],
        **fields,
    }


def _buy(order_id: int, name: str, product_id: str, says: str, *, reviews: tuple[str, ...] = (), **fields: Any) -> Sale:
    """An order that is paid in the end."""
    return Sale(_record(order_id, name, product_id, **fields), says, PRICES.get(product_id, ()), reviews)


def _of_sample(record: Mapping[str, Any]) -> Sale:
    """What one of the sandbox's sample orders must come to."""
    quantity = int(record["items"][0]["quantity"])
    prices = PRICES.get(record["product_id"])
    if record["status"] not in _PAID:
        return Sale(record, str(record["status"]))
    if prices is None:
        return Sale(record, "a product no offer knows", reviews=("unmapped_product",) * quantity)
    bumps = (BUMP_PRICE,) if len(record["items"]) > 1 else ()
    return Sale(record, "a sample order", (*prices, *bumps), ("unnamed_seat",) * (quantity - 1))
