"""The shop of a simulation: what it sells and to whom, what becomes of that, and the webhooks that it sends.

Its records are the sandbox's; what was really sold it writes down once more, for the judge.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any

from tests.faults.harness.offers import BUMP, BUMP_NAME, BUMP_PRICE_ID, BUNDLE, COURSE, SOURCE, SUBSCRIPTION
from tests.faults.harness.sales import seats_of, studiocart_record
from tests.faults.judging.sold import Seat
from tests.faults.simulation.sales import PAID, WITHDRAWN, Kind, Sold
from tests.faults.simulation.troubles import BLOCKED_NAME, Troubles
from tests.faults.simulation.virtual_time import BEGINNING
from tests.faults.simulation.world import SIMULATED_OFFERS, Stage
from worker.sandbox.studiocart.records import DATE_TIME, item_of, named_item

FIRST_ID, FIRST_OLD_ID = 7001, 6001
START_AT = BEGINNING - timedelta(hours=1)
"""Of a shop with a past."""
BUMP_NAMES = (BUMP_NAME, "Hints")
BUMP_PRICE_IDS = (BUMP_PRICE_ID, 702)
RENAMED_OFFER = f"""
[[offer]]
source = "studiocart"
product_name = "{BUMP_NAMES[1]}"
grants = [{{ price_id = {BUMP_PRICE_IDS[1]} }}]
"""
_KINDS = {
    Kind.PLAIN: 40,
    Kind.BUMP: 12,
    Kind.PRICED_FIELD: 8,
    Kind.HALF_WRITTEN: 8,
    Kind.SUBSCRIPTION: 14,
    Kind.TRIAL: 10,
    Kind.ABANDONED: 12,
}
_TRIGGERS = {
    "paid": "purchased",
    "completed": "completed",
    "refunded": "refunded",
    "failed": "failed",
    "canceled": "canceled",
    "pending-payment": "pending",
}
"""Some are subscriptions' triggers as well: the record says which it is."""


@dataclass(frozen=True)
class Hook:
    """One webhook on its way: a body to trust, or None for a hint that carries an id alone."""

    record_id: int
    body: bytes | None = None


@dataclass
class Shop:
    """One seed's shop. `at` sets down what happens later, `post` sends a webhook."""

    stage: Stage
    rng: Random
    troubles: Troubles
    learners: int
    at: Callable[[float, Callable[[], None]], None]
    post: Callable[[Hook], None]
    sold: dict[int, Sold] = field(default_factory=dict)
    subscriptions: set[int] = field(default_factory=set)
    _renewals: set[int] = field(default_factory=set)
    _next_id: int = FIRST_ID
    _is_renamed: bool = False
    _is_broken: bool = False

    # What is there before

    def open(self) -> None:
        """Put the offers and, where the shop has one, its past in their places."""
        self.write_offers()
        self.troubles.configure(self.stage.world)
        if not self.troubles.has_history:
            return
        for number in range(self.rng.randint(1, 2)):
            kind = self.rng.choice([Kind.OLD, Kind.OLD, Kind.OLD_UNPAID])
            order_id = FIRST_OLD_ID + number
            status = "paid" if kind is Kind.OLD else "pending-payment"
            made_at = START_AT - timedelta(hours=self.rng.uniform(1, 40))
            self._take(order_id, kind, status, date_time=f"{made_at:{DATE_TIME}}")

    def live_on(self, span_seconds: float) -> None:
        """Set down what becomes of the past and of the site, over all that time."""
        for order_id, sold in list(self.sold.items()):
            status = "paid" if sold.kind is Kind.OLD_UNPAID else "completed"
            if sold.kind is Kind.OLD_UNPAID or self.rng.random() < 0.6:
                self.at(self.rng.uniform(5, span_seconds), partial(self.change, order_id, status))
        for count, act in (
            (self.troubles.redatings, self._redate_one),
            (self.troubles.zone_moves, self._move_zone),
            (self.troubles.trashings, self._trash_one),
            (int(self.troubles.has_history and self.rng.random() < 0.6), self._import_one),
        ):
            for _ in range(count):
                self.at(self.rng.uniform(5, span_seconds), act)
        if self.troubles.broken_offers.ends:
            self.at(self.troubles.broken_offers.begins, lambda: self._break_offers(is_broken=True))
            self.at(min(self.troubles.broken_offers.ends, span_seconds), lambda: self._break_offers(is_broken=False))
        for seconds in self.troubles.spent_tokens:
            self.at(seconds, self.stage.world.learningcart.revoke_tokens)

    def write_offers(self) -> None:
        """The offers file as it stands now."""
        text = SIMULATED_OFFERS + (RENAMED_OFFER if self._is_renamed else "")
        self.stage.fresh.offers.write_text("[[offer\n" + text if self._is_broken else text)

    def _break_offers(self, *, is_broken: bool) -> None:
        self._is_broken = is_broken
        self.write_offers()

    # Sales

    def sell(self) -> None:
        """Sell something, of whatever kind, and set down what becomes of it."""
        kind = self.rng.choices(list(_KINDS), list(_KINDS.values()))[0]
        order_id, self._next_id = self._next_id, self._next_id + 1
        match kind:
            case Kind.HALF_WRITTEN:
                self._sell_half_written(order_id)
            case Kind.SUBSCRIPTION:
                self._sell_subscription(order_id)
            case Kind.TRIAL:
                self._sell_trial(order_id)
            case Kind.ABANDONED:
                self._leave_checkout(order_id)
            case _:
                self._sell_once(order_id, kind)

    def _sell_once(self, order_id: int, kind: Kind) -> None:
        status = self.rng.choice(["paid", "paid", "completed", "pending-payment"])
        self._take(order_id, kind, status)
        self.tell(order_id)
        if status == "pending-payment":
            self.at(self.rng.uniform(5, 200), lambda: self.change(order_id, "paid"))
        if kind is Kind.BUMP:
            self.at(self.rng.uniform(1, 300), self._rename_bump)
            self.at(self.rng.uniform(300, 400), lambda: self._touch(order_id))
        if self.rng.random() < 0.25:
            after = self.rng.uniform(0, 400)
            self.at(after, lambda: self.change(order_id, self.rng.choice(["canceled", "refunded"])))
            if self.rng.random() < 0.4:
                self.at(after + self.rng.uniform(1, 200), lambda: self.change(order_id, "paid"))

    def _sell_half_written(self, order_id: int) -> None:
        sold = self._take(order_id, Kind.HALF_WRITTEN, "paid")
        sold.was_half_written = True
        whole = self.stage.world.studiocart.order(order_id)
        nobody: dict[str, Any] = {
            "customer_email": "",
            "customer_firstname": "",
            "customer_lastname": "",
            "customer_name": " ",
        }
        self.stage.world.studiocart.update_order(order_id, **nobody, items=[], product_id="", product_name="")
        self.tell(order_id)
        stored = {name: whole[name] for name in (*nobody, "items", "product_id", "product_name")}

        def finish() -> None:
            self.stage.world.studiocart.update_order(order_id, **stored)
            self.tell(order_id)

        self.at(self.rng.choice([2.0, 20.0, self.rng.uniform(40, 150)]), finish)

    def _sell_subscription(self, order_id: int) -> None:
        status = self.rng.choice(["paid", "paid", "pending-payment"])
        self._take(order_id, Kind.SUBSCRIPTION, status)
        subscription_id = self._subscribe(order_id, "active" if status == "paid" else "pending-payment")
        self.tell(order_id)
        paid_after = 0.0
        if status != "paid":
            paid_after = self.rng.uniform(5, 100)
            self.at(paid_after, lambda: self.change(order_id, "paid"))
            self.at(paid_after, lambda: self._change_subscription(subscription_id, "active"))
        self._go_on_with(subscription_id, paid_after, [Kind.RENEWAL] * self.rng.randint(0, 2))

    def _sell_trial(self, order_id: int) -> None:
        is_granted = self.troubles.trials == "grant"
        self._take(order_id, Kind.SUBSCRIPTION if is_granted else Kind.TRIAL, "paid", trial_days=14)
        subscription_id = self._subscribe(order_id, "trialing", trial_days=14)
        self.tell(order_id)
        first = Kind.RENEWAL if is_granted else Kind.SUBSCRIPTION
        self._go_on_with(subscription_id, 0.0, [first, Kind.RENEWAL][: self.rng.randint(0, 2)])

    def _leave_checkout(self, order_id: int) -> None:
        """A trial whose card is declined, or a full coupon: nothing to pay, and never finished."""
        trial_days = self.rng.choice([0, 14])
        self._take(order_id, Kind.ABANDONED, "pending-payment", trial_days=trial_days, order_amount=0)
        if trial_days and self.rng.random() < 0.5:
            self._subscribe(order_id, "pending-payment", trial_days=trial_days)
        self.tell(order_id)
        if self.rng.random() < 0.5:
            self.at(self.rng.uniform(5, 200), lambda: self.change(order_id, self.rng.choice(["failed", "canceled"])))

    def _import_one(self) -> None:
        order_id, self._next_id = self._next_id, self._next_id + 1
        made_at = START_AT - timedelta(days=self.rng.uniform(5, 60))
        self._take(order_id, Kind.IMPORTED, "paid", date_time=f"{made_at:{DATE_TIME}}")
        self.tell(order_id)

    def _take(self, order_id: int, kind: Kind, status: str, *, trial_days: int = 0, **more: Any) -> Sold:
        """Put an order into the shop, and into the books."""
        number = self.rng.randrange(self.learners)
        product_id = COURSE
        if kind is Kind.PLAIN and self.rng.random() < 0.3:
            product_id = BUNDLE
        elif kind in {Kind.SUBSCRIPTION, Kind.TRIAL, Kind.RENEWAL} or trial_days:
            product_id = SUBSCRIPTION
        email = f"learner-{number}@example.test"
        seats = seats_of(str(order_id), email, product_id)
        if kind is Kind.BUMP:
            seats += (Seat(SOURCE, str(order_id), email, BUMP_PRICE_IDS, BUMP, "buyer"),)
        sold = Sold(order_id, email, product_id, status, kind, seats)
        sold.was_ever_paid = status in PAID
        self.sold[order_id] = sold
        amount = 0 if trial_days else 500
        order = {
            **studiocart_record(email, product_id=product_id, status=status),
            "customer_lastname": BLOCKED_NAME if self.troubles.firewall_status and number == 0 else "Doe",
            "order_amount": amount,
            "items": self._items(order_id, product_id, kind, amount, trial_days),
        }
        self.stage.world.studiocart.add_order(order | more | {"id": order_id})
        return sold

    def _items(self, order_id: int, product_id: str, kind: Kind, amount: int, trial_days: int) -> list[dict[str, Any]]:
        main = item_of(order_id, product_id=product_id, product_name="Course", unit_price=amount)
        if trial_days:
            reported = f"&#36;25.00 / month with a {trial_days}-day trial"
            main |= {"trial_days": str(trial_days), "sub_summary": reported}
        items = [main]
        if kind is Kind.BUMP:
            name = BUMP_NAMES[self._is_renamed]
            items.append(
                item_of(order_id, product_id=BUMP, product_name=name, unit_price=100, item_type="bump", number=2)
            )
        if kind is Kind.PRICED_FIELD:
            items.append(
                item_of(
                    order_id,
                    product_id=product_id,
                    product_name="Course",
                    unit_price=10,
                    quantity=3,
                    item_type="line item",
                    number=2,
                )
            )
        return items

    # Subscriptions

    def _subscribe(self, order_id: int, status: str, *, trial_days: int = 0) -> int:
        subscription_id, self._next_id = self._next_id, self._next_id + 1
        self.stage.world.studiocart.add_subscription(
            {"id": subscription_id, "invoices": [order_id], "status": status, "trial_days": trial_days, "amount": 2500}
        )
        self.subscriptions.add(subscription_id)
        return subscription_id

    def _go_on_with(self, subscription_id: int, after_seconds: float, payments: list[Kind]) -> None:
        """Let it be paid further, and perhaps end."""
        for kind in payments:
            after_seconds += self.rng.uniform(20, 200)
            self.at(after_seconds, partial(self._renew, subscription_id, kind))
        if self.rng.random() < 0.5:
            ending = self.rng.choice(["completed", "canceled", "paused", "past_due"])
            self.at(
                after_seconds + self.rng.uniform(5, 200), lambda: self._change_subscription(subscription_id, ending)
            )

    def _renew(self, subscription_id: int, kind: Kind) -> None:
        order_id, self._next_id = self._next_id, self._next_id + 1
        first = self._first_order_of(subscription_id)
        renewal = {
            "id": order_id,
            "order_amount": 2500,
            "items": [
                item_of(order_id, product_id=SUBSCRIPTION, product_name="Course", unit_price=2500),
            ],
        }
        self.stage.world.studiocart.add_renewal(subscription_id, **renewal)
        self._renewals.add(order_id)
        seats = seats_of(str(order_id), first.email, SUBSCRIPTION)
        self.sold[order_id] = Sold(order_id, first.email, SUBSCRIPTION, "paid", kind, seats, was_ever_paid=True)
        self._change_subscription(subscription_id, "active")
        self.tell(order_id)

    def _first_order_of(self, subscription_id: int) -> Sold:
        found = [each for each in self.stage.world.studiocart.subscriptions if each["id"] == subscription_id]
        return self.sold[int(found[0]["invoices"][0]["id"])]

    def _change_subscription(self, subscription_id: int, status: str) -> None:
        """It changes, and its webhooks carry its own id, in the number space of the orders."""
        record = self.stage.world.studiocart.update_subscription(subscription_id, status=status)
        body = self._body(record, status) if self.troubles.trusts_webhooks else None
        self._send(Hook(subscription_id, body))

    # What becomes of orders

    def change(self, order_id: int, status: str) -> None:
        """Give an order another status, and tell of it."""
        sold = self.sold[order_id]
        sold.status = status
        sold.was_ever_paid = sold.was_ever_paid or status in PAID
        sold.was_ever_withdrawn = sold.was_ever_withdrawn or status in WITHDRAWN
        self.stage.world.studiocart.update_order(order_id, status=status)
        self.tell(order_id)

    def _touch(self, order_id: int) -> None:
        if self.sold[order_id].status == "paid":
            self.change(order_id, "completed")

    def _rename_bump(self) -> None:
        """Every order shows the new name, and the operator has an offer for it."""
        self._is_renamed = True
        self.stage.world.studiocart.rename_product(BUMP, BUMP_NAMES[1])
        self.write_offers()

    def _redate_one(self) -> None:
        """A gateway's event moves an order's time by twice the site's offset, in either direction."""
        if self.sold:
            order_id = self.rng.choice(sorted(self.sold))
            hours = self.rng.choice([-1, 1]) * self.rng.choice([2.0, 11.0, 24.0])
            self.stage.world.studiocart.redate_order(order_id, timedelta(hours=hours))
            if self.rng.random() < 0.5:
                self.tell(order_id)

    def _move_zone(self) -> None:
        self.stage.world.studiocart.move_zone(self.rng.choice([-480, 0, 60, 600]))

    def _trash_one(self) -> None:
        own = [order_id for order_id, sold in sorted(self.sold.items()) if sold.kind is Kind.PLAIN]
        if own:
            order_id = self.rng.choice(own)
            self.sold[order_id].is_listed = False
            self.stage.world.studiocart.trash_order(order_id)

    # Webhooks

    def tell(self, order_id: int) -> None:
        """Send the order's webhooks: when they come, if they do, and not in order."""
        sold = self.sold[order_id]
        body = None
        if self.troubles.trusts_webhooks:
            trigger = "renewal" if self._is_renewal(sold) else _TRIGGERS[sold.status]
            body = self._body(self.stage.world.studiocart.order(order_id), trigger)
        self._send(Hook(order_id, body))

    def _is_renewal(self, sold: Sold) -> bool:
        return sold.status == "paid" and sold.order_id in self._renewals

    def _send(self, hook: Hook) -> None:
        for _ in range(self.rng.choice([0, 1, 1, 2, 4])):
            late = self.rng.uniform(1, 300 if hook.body is not None else 60)
            self.at(self.rng.choice([0.1, 1.0, late]), lambda: self.post(hook))

    def _body(self, record: dict[str, Any], trigger: str) -> bytes:
        """The vendor's default body: the whole record, its amounts in decimals; of an older plugin without ids."""
        if self.troubles.names_only and "items" in record:
            record = {name: value for name, value in record.items() if name not in {"subscription_id", "order_id"}}
            record["items"] = [named_item(item) for item in record["items"]]
        body = {name: _decimals(name, value) for name, value in record.items() if name != "link"}
        return json.dumps({"trigger": trigger, **body}).encode()


def _decimals(name: str, value: Any) -> Any:
    if name == "items":
        return [{each: _decimals(each, reported) for each, reported in item.items()} for item in value]
    is_amount = name.endswith(("amount", "price", "total")) or name in {"subtotal", "invoice_subtotal"}
    return f"{value / 100:.2f}" if is_amount and isinstance(value, int) and value else value
