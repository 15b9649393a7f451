"""`workflows.recording.subscription_status` by line: an order may begin a trial and sell something else besides."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.in_process.workflows.ingest.test_repeats import Hooks, Site
from tests.unit.worker.sources.captured import captured
from tests.unit.workflows.fakes.storefront import NOW, START, Clock, a_hint_reader, offers, put_run, states
from worker.clients.studiocart import models as records
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.sources.studiocart import StudiocartSource, to_order
from worker.sources.studiocart_subscriptions import to_subscription
from workflows.ingest.deliveries import SourcePolicy
from workflows.planning.offers_file import OffersFile
from workflows.recording.order_recording import Look, record_order
from workflows.recording.subscription_status import SubscriptionRules, keep_subscriptions, record_subscription

RULES = """
[[offer]]
source = "studiocart"
product_id = "9"
grants = [{ price_id = 509 }]
renewals = "ignore"

[[offer]]
source = "studiocart"
product_id = "5"
grants = [{ price_id = 505 }]
"""
TRIAL: dict[str, Any] = captured("K-trial-29") | {"date_time": f"{START:%Y-%m-%d} 23:00:00"}
SUBSCRIPTION: dict[str, Any] = captured("K-trial-28")
BUMP = {"id": "19", "product_id": "5", "price_id": "bump", "item_type": "bump", "product_name": "Book of Tips"}
WITH_BUMP = TRIAL | {
    "order_amount": 1500,
    "items": [*TRIAL["items"], BUMP | {"quantity": "1", "total_amount": 1500, "trial_days": 0}],
}
FIRST_PAYMENT = TRIAL | {
    "id": 35,
    "order_id": 35,
    "order_amount": 2500,
    "items": [TRIAL["items"][0] | {"total_amount": 2500, "trial_days": "0", "sub_summary": "$25.00 / month"}],
}
RENEWAL = FIRST_PAYMENT | {"id": 44, "order_id": 44}
TRIAL_SEAT, BUMP_SEAT, PAID_SEAT = "29/9/buyer/509", "29/5/buyer/505", "35/9/buyer/509"


class Shop:
    """Shows orders and their subscription's record together, as a poll reads them."""

    def __init__(self, ledger: Ledger, trials: Any) -> None:
        self.ledger, self.rules, self.trials = ledger, SubscriptionRules(trials=trials), trials
        self.invoices: list[dict[str, Any]] = []

    def tell(self, status: str = "active") -> None:
        read = records.Subscription.model_validate(SUBSCRIPTION | {"status": status, "invoices": self.invoices})
        with self.ledger.write() as connection:
            record_subscription(connection, to_subscription(read), self.rules, fetched_at=NOW, now=NOW)

    def show(self, order: dict[str, Any]) -> None:
        read = to_order(records.Order.model_validate(order), trials=self.trials)
        with self.ledger.write() as connection:
            keep_subscriptions(connection, [read], self.rules, fetched_at=NOW, now=NOW, start_at=START)
            look = Look(fetched_at=NOW)
            record_order(connection, read, offers(RULES), look, now=NOW, start_at=START, rules=self.rules)

    def bill(self, order: dict[str, Any]) -> None:
        self.invoices.append({"id": order["id"], "status": order["status"], "order_amount": order["order_amount"]})

    @property
    def given(self) -> set[str]:
        return {key for key, (state, _) in states(self.ledger).items() if state in {"pending", "succeeded"}}


@pytest.mark.parametrize("trials", ["wait", "grant"])
@pytest.mark.parametrize("knows_subscription_first", [False, True])
def test_bump_is_given_and_the_trial_waits_for_its_first_payment(
    ledger: Ledger, trials: Any, knows_subscription_first: bool
) -> None:
    shop = Shop(ledger, trials)
    shop.bill(WITH_BUMP)
    if knows_subscription_first:
        shop.tell("trialing")
    shop.show(WITH_BUMP)
    shop.tell("trialing")
    shop.show(WITH_BUMP)
    first = {BUMP_SEAT, TRIAL_SEAT} if trials == "grant" else {BUMP_SEAT}
    assert shop.given == first
    for order in (FIRST_PAYMENT, RENEWAL):
        shop.bill(order)
        shop.tell()
        shop.show(order)
        shop.show(WITH_BUMP)
        assert shop.given == first | ({PAID_SEAT} if trials == "wait" else set())


def test_first_payment_is_given_once_when_the_subscription_was_read_whole_before_its_orders(ledger: Ledger) -> None:
    shop = Shop(ledger, "wait")
    for order in (WITH_BUMP, FIRST_PAYMENT, RENEWAL):
        shop.bill(order)
    shop.tell()
    for order in (WITH_BUMP, FIRST_PAYMENT, RENEWAL, WITH_BUMP):
        shop.show(order)
    assert shop.given == {BUMP_SEAT, PAID_SEAT}


def test_later_payment_stays_the_purchase_when_the_one_before_is_paid_after_it(ledger: Ledger) -> None:
    shop = Shop(ledger, "wait")
    failed = FIRST_PAYMENT | {"status": "past_due"}
    for order in (WITH_BUMP, failed, RENEWAL):
        shop.bill(order)
    shop.tell()
    for order in (WITH_BUMP, failed, RENEWAL):
        shop.show(order)
    put_run(ledger, "44/9/buyer/509", RunState.SUCCEEDED, reason=None)
    shop.invoices[1]["status"] = "paid"
    shop.tell()
    shop.show(FIRST_PAYMENT)
    assert shop.given == {BUMP_SEAT, "44/9/buyer/509"}


def test_trial_that_was_given_access_before_stays_the_purchase(ledger: Ledger) -> None:
    shop = Shop(ledger, "grant")
    shop.bill(WITH_BUMP)
    shop.tell("trialing")
    shop.show(WITH_BUMP)
    put_run(ledger, TRIAL_SEAT, RunState.SUCCEEDED, reason=None)
    shop.rules, shop.trials = SubscriptionRules(trials="wait"), "wait"
    shop.bill(FIRST_PAYMENT)
    shop.tell()
    shop.show(FIRST_PAYMENT)
    assert shop.given == {BUMP_SEAT, TRIAL_SEAT}


def test_bump_is_asked_nothing_when_the_trial_ends_without_a_payment(ledger: Ledger) -> None:
    shop = Shop(ledger, "wait")
    shop.bill(WITH_BUMP)
    shop.tell("trialing")
    shop.show(WITH_BUMP)
    put_run(ledger, BUMP_SEAT, RunState.SUCCEEDED, reason=None)
    shop.tell("canceled")
    shop.show(WITH_BUMP | {"customer_firstname": "Tinka"})
    assert set(states(ledger)) == {BUMP_SEAT}


@pytest.mark.parametrize("fee", [{"sign_up_fee": 900}, {"total_amount": 900}])
def test_trial_is_a_purchase_when_something_was_paid_with_it(ledger: Ledger, fee: dict[str, Any]) -> None:
    shop = Shop(ledger, "wait")
    paid = TRIAL | {"order_amount": 900, "items": [TRIAL["items"][0] | fee]}
    shop.bill(paid)
    shop.tell("trialing")
    shop.show(paid)
    assert shop.given == {TRIAL_SEAT}


# Trusted bodies


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def hooks(ledger: Ledger, site: Site, clock: Clock, tmp_path: Any) -> Hooks:
    path = tmp_path / "offers.toml"
    path.write_text(RULES)
    source: Any = StudiocartSource(site, clock=clock)  # type: ignore[arg-type]
    policy = SourcePolicy(start_at=START, trust_webhook=True)
    return Hooks(ledger, a_hint_reader(ledger, source, OffersFile(path), clock, policy=policy), clock)


def body(order: dict[str, Any], trigger: str = "purchased", *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    return {name: value for name, value in (order | {"trigger": trigger}).items() if name not in without}


def test_bump_alone_is_given_when_a_trusted_body_sells_it_with_a_trial(ledger: Ledger, hooks: Hooks) -> None:
    hooks.send(body(WITH_BUMP), order_id="29")
    assert set(states(ledger)) == {BUMP_SEAT}
    hooks.send(body(FIRST_PAYMENT, "renewal"), order_id="35")
    hooks.send(body(RENEWAL, "renewal"), order_id="44")
    assert set(states(ledger)) == {BUMP_SEAT, PAID_SEAT}


SAYS_NOTHING = [
    ("items", "order_amount"),
    ("items",),
    ("items", "order_amount", "subscription_id"),
    ("items", "subscription_id"),
]


@pytest.mark.parametrize("without", SAYS_NOTHING)
def test_nothing_is_given_when_a_trusted_body_says_nothing_of_money(
    ledger: Ledger, hooks: Hooks, clock: Clock, without: tuple[str, ...]
) -> None:
    hooks.send(body(TRIAL, without=without), order_id="29")
    assert states(ledger) == {}
    clock.advance(hours=25)
    hooks.reader.replan("studiocart", "29")
    assert states(ledger) == {"29/-/-/payment-unproven": ("review", "payment_unproven")}


@pytest.mark.parametrize("without", SAYS_NOTHING)
def test_order_is_fetched_when_a_trusted_body_says_nothing_of_money(
    ledger: Ledger, hooks: Hooks, site: Site, without: tuple[str, ...]
) -> None:
    site.record = TRIAL | {"subscription_id": 0, "order_amount": 2500, "product_id": "5", "items": [BUMP]}
    hooks.send(body(TRIAL, without=without), order_id="29")
    assert site.asked == 1
    assert {key for key, (state, _) in states(ledger).items() if state == "pending"} == {BUMP_SEAT}


def test_order_that_is_known_to_be_paid_stays_so_when_a_body_says_nothing_of_money(
    ledger: Ledger, hooks: Hooks
) -> None:
    hooks.send(body(WITH_BUMP), order_id="29")
    hooks.send(body(WITH_BUMP, without=("items", "order_amount")), order_id="29")
    assert hooks.payment == "paid"
    assert set(states(ledger)) == {BUMP_SEAT}


def test_free_order_is_given_when_its_body_says_that_it_begins_no_trial(ledger: Ledger, hooks: Hooks) -> None:
    free = TRIAL | {"subscription_id": 0, "items": [TRIAL["items"][0] | {"trial_days": 0, "sub_summary": ""}]}
    free["items"][0].pop("subscription_id")
    hooks.send(body(free), order_id="29")
    assert set(states(ledger)) == {TRIAL_SEAT}
