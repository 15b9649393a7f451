"""`worker.sources.studiocart`: what the vendor's own plugin sent and answered, whole."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.worker.sources.captured import FOLDER, body_of, captured, order_of
from tests.unit.worker.sources.studiocart_records import NOW, seats
from worker.clients.studiocart import models as records
from worker.errors import NotFoundError, WebhookRejectedError
from worker.sources.order import Learner, Money, Order, Payment
from worker.sources.source import SubscriptionFoundError
from worker.sources.studiocart import StudiocartSource, to_order
from worker.sources.subscription import Access
from workflows.ingest.half_written import is_half_written

WEBHOOKS = sorted(path.stem for path in FOLDER.glob("*.json") if "request" in path.read_text()[:20])
WITH_A_BODY = [name for name in WEBHOOKS if captured(name)["request"]["body"]]


class Answers:
    """A client that answers `/orders/{id}` with one capture, and nothing else."""

    def __init__(self, name: str = "rest-order-paid", **said: Any) -> None:
        self._record = captured(name) | said

    def retrieve_order(self, _order_id: int) -> records.Order:
        return records.Order.model_validate(self._record)

    def retrieve_product(self, _product_id: int) -> records.Product:
        raise NotFoundError("sold no more", status=404)


def source(name: str = "rest-order-paid", **more: Any) -> StudiocartSource:
    return StudiocartSource(Answers(name), clock=lambda: NOW, **more)  # type: ignore[arg-type]


def learner_of(order: Order) -> Learner:
    learner = order.lines[0].seats[0].learner
    assert learner is not None
    return learner


# REST answers


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("rest-order-paid", {"Onboarding Course": 1}),
        ("rest-order-22", {"Onboarding Course": 1, "Workbook": 1}),
        ("rest-order-23", {"Onboarding Course": 1}),  # a priced field, bought three times, is no seat
        ("rest-order-24", {"Onboarding Course": 3}),
        ("rest-order-25", {"Free Taster": 1}),
        ("rest-order-of-subscription", {"Monthly Academy": 1}),
        ("rest-renewal", {"Monthly Academy": 1}),
        ("G-rest-order-redated-by-stripe-invoice", {"Monthly Academy": 1}),
        ("L-names-with-entities", {"Baker’s “Bed & Breakfast” – Level 2 x 1": 1, "Tips & Tricks 2 x 4": 1}),
    ],
)
def test_lines_and_seats_are_those_that_were_bought(name: str, lines: dict[str, int]) -> None:
    order = order_of(name)
    assert order.payment is Payment.PAID
    assert {title: len(found) for title, found in seats(order).items()} == lines


def test_lines_are_known_by_the_ids_of_their_products() -> None:
    order = order_of("L-names-with-entities")
    assert [(line.id, line.product.product_id, line.product.plan_id) for line in order.lines] == [
        ("34", "34", "p1"),
        ("35", "35", None),
    ]
    renamed = captured("L-names-with-entities")
    renamed["items"][1] |= {"product_name": "Another name"}
    assert [line.id for line in to_order(records.Order.model_validate(renamed)).lines] == ["34", "35"]


@pytest.mark.parametrize("name", ["F-rest-orders-16-completed-subscription", "K-trial-28"])
def test_subscription_is_no_order_when_its_record_answers_for_one(name: str) -> None:
    with pytest.raises(SubscriptionFoundError) as caught:
        source(name, trials="grant").fetch(str(captured(name)["id"]))
    found = caught.value.subscription
    assert found is not None
    assert (found.id, found.is_partial) == (str(captured(name)["id"]), False)
    assert [each.order_id for each in found.invoices or ()] == [str(each["id"]) for each in captured(name)["invoices"]]
    assert found.access is (Access.COMPLETE if name.startswith("F") else Access.TRIAL)


def test_subscription_is_no_order_when_a_subscription_s_id_is_asked_for() -> None:
    with pytest.raises(SubscriptionFoundError):
        source("rest-orders-of-a-subscription-id").fetch("14")


@pytest.mark.parametrize(
    "field_name", ["sub_amount", "frequency", "installments", "next_bill_date", "next_bill_date_time"]
)
@pytest.mark.parametrize("name", ["F-rest-orders-16-completed-subscription", "K-trial-28"])
def test_subscription_is_no_order_when_its_invoices_and_interval_are_null(name: str, field_name: str) -> None:
    others = {"sub_amount", "frequency", "installments", "next_bill_date", "next_bill_date_time"} - {field_name}
    record = captured(name) | dict.fromkeys({"invoices", "interval", *others})
    record[field_name] = record.get(field_name, "3")
    with pytest.raises(SubscriptionFoundError):
        source(trials="grant").from_body(record)


@pytest.mark.parametrize("none", [[], {}, "", False, 0])
def test_order_is_no_subscription_when_its_invoices_are_empty(none: object) -> None:
    answers: Any = Answers(invoices=none)
    order = StudiocartSource(answers, clock=lambda: NOW).fetch("10")
    assert (order.payment, [line.id for line in order.lines]) == (Payment.PAID, ["4"])


@pytest.mark.parametrize("trigger", ["purchased", "renewal"])
def test_order_is_no_subscription_when_its_trigger_is_an_orders(trigger: str) -> None:
    told = {"id": 20, "trigger": trigger, "status": "paid", "product_id": "7", "customer_email": "sue@lab.test"}
    order = source().from_body(told | {"order_amount": "19.99", "interval": "month", "frequency": "1"})
    assert (order.id, order.payment) == ("20", Payment.PAID)


@pytest.mark.parametrize("trigger", ["Completed", "Installment Plan Completed", "cancelled", " PAST DUE "])
def test_subscription_is_no_order_when_its_trigger_is_written_otherwise(trigger: str) -> None:
    told = {"id": 16, "trigger": trigger, "status": "completed", "product_id": "8", "customer_email": "ines@lab.test"}
    with pytest.raises(SubscriptionFoundError):
        source().from_body(told)


@pytest.mark.parametrize("trials", ["wait", "grant"])
def test_trial_is_told_by_its_own_order_and_a_declined_card_pays_for_nothing(trials: Any) -> None:
    begun, declined = order_of("K-trial-29", trials=trials), order_of("M-trial-card-declined-order", trials=trials)
    assert (begun.payment, begun.trial, begun.subscription_id) == (Payment.PAID, True, "28")
    assert declined.payment is Payment.WAITING


def test_order_begins_a_trial_when_its_amount_is_null() -> None:
    record = captured("K-trial-29") | {"order_amount": None}
    assert to_order(records.Order.model_validate(record)).trial


@pytest.mark.parametrize(
    ("name", "subscription_id"),
    [("rest-order-of-subscription", "14"), ("rest-renewal", "20"), ("rest-order-paid", None)],
)
def test_order_names_its_subscription_itself(name: str, subscription_id: str | None) -> None:
    order = order_of(name)
    assert (order.subscription_id, order.recurring, order.trial) == (
        subscription_id,
        subscription_id is not None,
        False,
    )


def test_half_written_order_is_known_as_one() -> None:
    assert is_half_written(order_of("N-order-read-while-being-written"))
    for name in ("rest-order-paid", "rest-order-25", "K-trial-29"):
        assert not is_half_written(order_of(name))


# Webhook bodies that are trusted


@pytest.mark.parametrize("name", WITH_A_BODY)
def test_every_body_is_an_order_or_a_subscription_s_news_or_refused(name: str) -> None:
    body = body_of(name)
    if not isinstance(body, dict):
        return  # a header line that took the body's place: it names no order
    is_news = body.get("trigger") in {"active", "completed", "past_due", "canceled"} and "items" not in body
    if is_news:
        with pytest.raises(SubscriptionFoundError) as caught:
            source().from_body(body)
        assert caught.value.subscription is not None
        assert (caught.value.subscription.id, caught.value.subscription.is_partial) == (str(body["id"]), True)
    else:
        order = source().from_body(body)
        assert order.id == str(body["id"])
        assert "secret" not in str(order.raw)


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("C-default-body-purchased", 5799),
        ("I-global-hook-prices-in-cents", 5799),
        ("H-apostrophe-in-the-purchase-request", 5799),
        ("J-trust-webhook-slashed-name", 0),
    ],
)
def test_total_of_a_body_is_in_minor_units(name: str, total: int) -> None:
    assert source().from_body(body_of(name)).total == Money(minor_units=total, currency="USD")


@pytest.mark.parametrize(
    ("amount", "currency", "total"),
    [("19.99", "USD", 1999), (19.99, "USD", 1999), (58, "USD", 5800), ("500", "JPY", 500), ("1.005", "EUR", 101)],
)
def test_decimals_are_rounded_and_only_multiplied_where_there_are_minor_units(
    amount: Any, currency: str, total: int
) -> None:
    body = {"id": 1, "status": "paid", "order_amount": amount, "currency": currency}
    assert source().from_body(body).total == Money(minor_units=total, currency=currency)


def test_names_have_no_slashes_when_they_come_out_of_the_checkout() -> None:
    assert learner_of(source().from_body(body_of("J-trust-webhook-slashed-name"))).last_name == "O'Neil"
    order = source().from_body(body_of("H-apostrophe-in-the-purchase-request"))
    assert (learner_of(order).last_name, order.buyer_name) == ("O'Brien", "Sinéad O'Brien")


@pytest.mark.parametrize(("trigger", "payment"), [("purchased", "first"), ("renewal", "later"), ("refunded", None)])
def test_trigger_says_which_payment_of_its_subscription_an_order_is(trigger: str, payment: str | None) -> None:
    body = captured("rest-renewal") | {"trigger": trigger}
    assert source().from_body(body).subscription_payment == payment


def test_body_without_an_id_is_refused() -> None:
    with pytest.raises(WebhookRejectedError):
        source().from_body({"trigger": "completed"})
