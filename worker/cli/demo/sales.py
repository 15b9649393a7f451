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

GRANTS: Final[Mapping[str, Mapping[int, tuple[int, ...]]]] = {
    "1107": {501: (12,)},
    "1130": {502: (13,)},
    "1140": {503: (12, 14)},
    "1150": {504: ()},  # an order bump: a product of its own
    "1160": {505: (15,), 506: ()},  # a bundle: two grants, two runs
}
"""The LearningCart prices that a product grants, by its id, and the groups that go with each."""
_BUMP: Final = "1150"
_HANDBOOK: Final = "1200"
_PAID: Final = frozenset({"paid", "completed"})


@dataclass(frozen=True)
class Sale:
    """One order of the demo, as it is first put into the shop, and what it must come to by the end."""

    record: Mapping[str, Any]
    """Studiocart's record; the shop fills in what is left out."""
    prices: tuple[int, ...] = ()
    """The comped orders it must have in LearningCart, one each."""
    reviews: tuple[str, ...] = ()
    """Why it must wait for a person, once for each run that does."""

    @property
    def order_id(self) -> int:
        """The shop's id of the order."""
        return int(self.record["id"])

    @property
    def is_paid(self) -> bool:
        """Whether it is paid when it is first sold, so that no later change is needed."""
        return self.record.get("status", "paid") in _PAID


@dataclass(frozen=True)
class Change:
    """A status the shop gives an order later on."""

    order_id: int
    status: str
    note: str
    is_announced: bool = True
    """By a webhook; else polling has to find it."""


CHANGES: Final = (
    Change(2007, "completed", "paid at last, without a webhook", is_announced=False),
    Change(2011, "paid", "canceled, then paid after all"),
    Change(2013, "paid", "failed, then paid by another card"),
    Change(2021, "canceled", "canceled before it was paid"),
    Change(3101, "refunded", "refunded after access was given"),
    Change(3102, "canceled", "canceled after access was given, without a webhook", is_announced=False),
)
_PAID_LATER: Final = frozenset(change.order_id for change in CHANGES if change.status in _PAID)


@dataclass(frozen=True)
class Sales:
    """Every order of the demo, by when and how it comes."""

    before: tuple[Sale, ...]
    """In the shop before Cartbridge is started for the first time."""
    seed: Sale
    announced: tuple[Sale, ...]
    """Announced by webhook, several times each."""
    unannounced: tuple[Sale, ...]
    """Never announced: polling finds them."""
    faulty: tuple[Sale, ...]
    """Bought while LearningCart misbehaves."""
    killed: Sale
    """Bought just before the process is killed, with its call under way."""
    missed: Sale
    """Bought while nobody listens: its webhook is lost."""
    renewal: Sale
    """The second payment of the seed's subscription; the shop makes its record."""

    def __iter__(self) -> Iterator[Sale]:
        """All of them."""
        yield from (*self.before, self.seed, *self.announced, *self.unannounced, *self.faulty)
        yield from (self.killed, self.missed, self.renewal)

    def expected_orders(self) -> Counter[tuple[str, int]]:
        """The comped orders there must be in the end: how many by order id and price."""
        return Counter((str(sale.order_id), price) for sale in self for price in sale.prices)

    def expected_reviews(self) -> Counter[tuple[str, str]]:
        """The runs that must wait for a person in the end: how many by order id and reason."""
        return Counter((str(sale.order_id), reason) for sale in self for reason in sale.reviews)


def offers_text() -> str:
    """The demo's offers file."""
    parts = ["# The offers of the demo: which product grants which LearningCart price and groups."]
    for product_id, grants in GRANTS.items():
        listed = ", ".join(f"{{ price_id = {price}, group_ids = {list(groups)} }}" for price, groups in grants.items())
        rule = f'source = "studiocart"\nproduct_id = "{product_id}"\nrenewals = "grant"\ngrants = [{listed}]'
        parts.append(f"[[offer]]\n{rule}")
    parts.append(f'# A book: not a course.\n[[ignore]]\nsource = "studiocart"\nproduct_id = "{_HANDBOOK}"\n')
    return "\n\n".join(parts)


def plan_sales(newest_at: datetime) -> Sales:
    """The demo's orders; the sample ones are made up to `newest_at` (aware). The same every time."""
    samples = [_of_sample(record) for record in make_orders(21, random.Random(1109), newest_at=newest_at)]  # noqa: S311 -- the same every time, on purpose
    [seed] = [record for record in seed_records("studiocart", "orders") if record["id"] == SEED_ORDER_ID]
    faulty = [_buy(3101 + number, f"Storm {number + 1}", "1140") for number in range(7)]
    faulty[0] = replace(faulty[0], reviews=("refunded_after_provisioning",))
    faulty[1] = replace(faulty[1], reviews=("cancelled_after_provisioning",))
    return Sales(
        before=(replace(_buy(1001, "Olga Older", "1107", date_time=OLDEST_AT), prices=()), *samples[:4]),
        seed=Sale(seed, (501,)),
        announced=(*samples[4:11], *samples[14:], _buy(3001, "Bo Bundle", "1160"), _buy(3002, "Bella Book", _HANDBOOK)),
        unannounced=tuple(samples[11:14]),
        faulty=tuple(faulty),
        killed=_buy(3201, "Kim Killed", "1130"),
        missed=_buy(3301, "Mia Missed", "1107"),
        renewal=Sale({"id": 3302}, (501,)),
    )


def _buy(order_id: int, name: str, product_id: str, **fields: Any) -> Sale:
    """An order that is paid in the end."""
    first, last = name.split(" ")
    record = {
        "id": order_id,
        "customer_firstname": first,
        "customer_lastname": last,
        "customer_email": f"{first}.{last}@example.test".lower(),
        "product_id": product_id,
    }
    return Sale(record | fields, _prices_of(product_id))


def _prices_of(product_id: str) -> tuple[int, ...]:
    return tuple(GRANTS.get(product_id, ()))


def _of_sample(record: Mapping[str, Any]) -> Sale:
    """What one of the sandbox's sample orders must come to."""
    if record["status"] not in _PAID and record["id"] not in _PAID_LATER:
        return Sale(record)
    prices, quantity = _prices_of(record["product_id"]), int(record["items"][0]["quantity"])
    if not prices:
        return Sale(record, reviews=("unmapped_product",) * quantity)
    bumps = _prices_of(_BUMP) if len(record["items"]) > 1 else ()
    return Sale(record, (*prices, *bumps), ("unnamed_seat",) * (quantity - 1))
