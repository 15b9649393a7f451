"""`worker.sources.studiocart_subscriptions`: a record of Studiocart's as a subscription of ours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from tests.unit.worker.sources.studiocart_records import NOW
from worker.clients.studiocart import models as records
from worker.errors import NotFoundError
from worker.sources.studiocart_subscriptions import ACCESS, SubscriptionReader, to_subscription
from worker.sources.subscription import Access, Subscription

SUBSCRIPTION_1108: dict[str, Any] = {
    "id": 1108,
    "customer_email": "janedoe@email.com",
    "product_id": "1107",
    "product_name": "SC Product 1",
    "date": "2023-05-27",
    "date_time": "2023-05-27 08:14:00",
    "payment_plan_id": "price_1N4iASSEsjR3TKDuTSloXYv5",
    "order_amount": 500,
    "status": "active",
    "interval": "month",
    "frequency": "1",
    "trial_days": 0,
    "next_bill_date": "2023-06-27",
    "next_bill_date_time": "2023-06-27 13:44:00",
    "invoices": [{"id": 1109, "status": "paid", "order_amount": 500, "date": "2023-05-27"}],
}
"""The vendor's own sample, less what is not read."""


def read(installments: int | None = None, **changes: Any) -> Subscription:
    return to_subscription(records.Subscription.model_validate(SUBSCRIPTION_1108 | changes), installments=installments)


def invoice(order_id: int, day: str, status: str = "paid", amount: int | None = 500) -> dict[str, Any]:
    return {"id": order_id, "status": status, "order_amount": amount, "date": day}


def test_subscription_is_read_whole_when_it_is_the_vendors_sample() -> None:
    found = read()
    assert (found.source, found.id, found.status, found.access) == ("studiocart", "1108", "active", Access.LIVE)
    assert (found.product_id, found.product_name, found.buyer_email) == ("1107", "SC Product 1", "janedoe@email.com")
    assert [(each.order_id, each.is_begun, each.is_free_trial) for each in found.invoices or ()] == [
        ("1109", True, False)
    ]
    assert (found.next_bill_on, found.period_ends_on, found.canceled_on) == (date(2023, 6, 27), date(2023, 6, 27), None)


def test_every_status_of_the_vendors_list_is_ruled_on_when_a_subscription_has_it() -> None:
    listed = (
        "pending-payment pending initiated paid completed refunded failed past_due uncollectible active unpaid paused "
        "canceled incomplete trialing"
    )
    assert set(listed.split()) <= set(ACCESS)
    assert read(status="on-hold").access is Access.UNKNOWN
    assert read(status=None).access is Access.UNKNOWN


@pytest.mark.parametrize(
    ("changes", "until"),
    [
        ({"interval": "month", "invoices": [invoice(1, "2024-01-31")]}, "2024-02-29"),
        ({"interval": "year", "invoices": [invoice(1, "2024-02-29")]}, "2025-02-28"),
        ({"interval": "week", "frequency": 2, "invoices": [invoice(1, "2024-01-01")]}, "2024-01-15"),
        ({"interval": "day", "frequency": None, "invoices": [invoice(1, "2024-01-01")]}, "2024-01-02"),
        ({"invoices": [invoice(1, "2024-01-01"), invoice(2, "2024-02-01", "failed")]}, "2024-02-01"),
        ({"trial_days": 14, "date": "2024-01-01", "invoices": [invoice(1, "2024-01-01", "trialing", 0)]}, "2024-01-15"),
        ({"trial_days": 14, "date": "2024-01-01", "invoices": [invoice(1, "2024-01-01")]}, "2024-01-15"),
        ({"trial_days": 14, "date": "2024-01-01", "invoices": [invoice(2, "2024-01-15")]}, "2024-02-15"),
        ({"interval": "fortnight", "next_bill_date": "2024-05-05"}, "2024-05-05"),
        ({"interval": None, "next_bill_date": "", "next_bill_date_time": "2024-05-06 00:00:00"}, "2024-05-06"),
        ({"end_date": "2024-09-09"}, "2024-09-09"),
        ({"interval": "year", "frequency": 999, "invoices": [invoice(1, "9999-01-01")]}, "2023-06-27"),
    ],
)
def test_access_is_paid_for_until_the_period_of_the_last_payment_ends(changes: dict[str, Any], until: str) -> None:
    assert read(**changes).period_ends_on == date.fromisoformat(until)


def test_no_day_is_told_when_the_record_tells_none() -> None:
    found = read(invoices=None, next_bill_date=None, next_bill_date_time=None, cancel_date="2024-01-02 10:00")
    assert (found.period_ends_on, found.invoices, found.canceled_on) == (None, None, date(2024, 1, 2))


@pytest.mark.parametrize(
    ("status", "paid", "expected"),
    [
        ("active", 2, Access.LIVE),
        ("active", 3, Access.COMPLETE),
        ("completed", 1, Access.COMPLETE),
        ("canceled", 3, Access.COMPLETE),
        ("canceled", 2, Access.CANCELED),
        ("expired", 2, Access.EXPIRED),
        ("past_due", 2, Access.PAST_DUE),
        ("on-hold", 3, Access.UNKNOWN),
    ],
)
def test_instalment_plan_is_complete_when_every_payment_was_made(status: str, paid: int, expected: Access) -> None:
    invoices = [invoice(number, "2024-01-01") for number in range(paid)]
    assert read(3, status=status, invoices=invoices).access is expected


def test_only_the_first_charge_begins_a_trial_when_a_later_one_is_free() -> None:
    found = read(trial_days=7, invoices=[invoice(2, "2024-02-01", amount=0), invoice(1, "2024-01-01", amount=0)])
    assert [(each.order_id, each.is_free_trial) for each in found.invoices or ()] == [("2", False), ("1", True)]


class FakeProducts:
    def __init__(self, *plans: dict[str, Any]) -> None:
        self.plans: list[dict[str, Any]] | None = list(plans)
        self.asked = 0

    def retrieve_product(self, product_id: int) -> records.Product:
        self.asked += 1
        if self.plans is None:
            raise NotFoundError("no such product", status=404)
        return records.Product.model_validate({"id": product_id, "plans": self.plans})

    def list_subscription_orders(self, subscription_id: int) -> Iterator[records.Order]:
        assert subscription_id == 1108
        yield records.Order.model_validate({"id": 1109, "status": "paid", "order_amount": 500, "date": "2024-01-01"})


def test_orders_are_asked_for_when_a_record_leaves_its_invoices_out() -> None:
    reader = SubscriptionReader(FakeProducts(), clock=lambda: NOW)  # type: ignore[arg-type]
    found = reader.read(records.Subscription.model_validate(SUBSCRIPTION_1108 | {"invoices": None}))
    assert [each.order_id for each in found.invoices or ()] == ["1109"]
    assert found.period_ends_on == date(2024, 2, 1)


@pytest.mark.parametrize(
    ("plans", "changes", "expected"),
    [
        ([{"id": "p", "installments": "-1"}], {}, None),
        ([{"id": "q", "installments": "2"}, {"id": "p", "installments": "3"}], {}, 3),
        ([{"id": "p", "installments": None}], {}, None),
        ([{"id": None, "installments": "3"}], {"payment_plan_id": None}, None),
        ([{"id": "p", "installments": "3"}], {"product_id": "x"}, None),
        ([{"id": "p", "installments": "3"}], {"sub_installments": "-1"}, None),
        ([], {"installments": "4"}, 4),
        (None, {}, None),
    ],
)
def test_number_of_payments_is_the_records_or_its_plans(
    plans: list[dict[str, Any]] | None, changes: dict[str, Any], expected: int | None
) -> None:
    client = FakeProducts()
    client.plans = plans
    reader = SubscriptionReader(client, clock=lambda: NOW)  # type: ignore[arg-type]
    record = records.Subscription.model_validate(SUBSCRIPTION_1108 | {"payment_plan_id": "p"} | changes)
    assert reader.read(record).installments == expected


def test_plans_are_asked_for_once_an_hour_when_many_subscriptions_share_them() -> None:
    client, moments = FakeProducts({"id": "p", "installments": "3"}), [NOW]
    reader = SubscriptionReader(client, clock=lambda: moments[0])  # type: ignore[arg-type]
    record = records.Subscription.model_validate(SUBSCRIPTION_1108 | {"payment_plan_id": "p"})
    for minutes, asked in ((0, 1), (59, 1), (61, 2), (62, 2)):
        moments[0] = NOW + timedelta(minutes=minutes)
        assert reader.read(record).installments == 3
        assert client.asked == asked
