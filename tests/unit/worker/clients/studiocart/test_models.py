"""`worker.clients.studiocart.models`: every field of the vendor's own samples, and what PHP makes of them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from tests.unit.worker.clients.samples import CUSTOMER, ITEM, ORDER, PRODUCT, SUBSCRIPTION
from worker.clients.studiocart.models import Customer, IdentifiedRecord, Order, Product, Subscription

SAMPLES: list[tuple[type[IdentifiedRecord], dict[str, Any]]] = [
    (Order, ORDER),
    (Subscription, SUBSCRIPTION),
    (Product, PRODUCT),
    (Customer, CUSTOMER),
]

NOT_IN_THE_SAMPLE: dict[type[IdentifiedRecord], set[str]] = {Order: {"subscription_id"}}
"""What only later versions of the plugin show."""


@pytest.mark.parametrize(("model", "sample"), SAMPLES, ids=lambda value: getattr(value, "__name__", ""))
def test_every_field_of_the_sample_has_its_place_when_it_is_read(
    model: type[IdentifiedRecord], sample: dict[str, Any]
) -> None:
    record = model.model_validate(sample)
    assert record.model_extra == {}
    assert set(model.model_fields) - NOT_IN_THE_SAMPLE.get(model, set()) == set(sample)
    only_id = model.model_validate({"id": "7"} | dict.fromkeys(set(sample) - {"id"}))
    assert only_id.id == 7
    assert model.model_validate({"id": 7, "new": {"a": 1}}).model_extra == {"new": {"a": 1}}


def test_money_keeps_its_minor_units_and_currency_when_an_order_is_read() -> None:
    order = Order.model_validate(ORDER)
    assert (order.order_amount, order.currency, order.tax_rate) == (500, "INR", Decimal(0))
    assert order.items is not None
    assert order.items[0].unit_price == 500
    assert json.loads(order.model_dump_json())["items"][0]["unit_price"] == 500


@pytest.mark.parametrize(
    ("written", "minor_units"),
    [
        ("500", 500),
        (500.0, 500),
        ("5798.999999999999", 5799),
        (Decimal("5799.0000000001"), 5799),
        ("5.50", None),
        ("", None),
        (None, None),
        ("abc", None),
        (True, None),
        (1e300, None),
    ],
)
def test_an_amount_is_whole_when_it_is_read(written: Any, minor_units: int | None) -> None:
    assert Order.model_validate({"id": 1, "order_amount": written}).order_amount == minor_units


def test_numbers_and_texts_are_tolerated_when_php_swaps_them() -> None:
    order = Order.model_validate({"id": "1", "product_id": 1107, "customer_lastname": False, "tax_rate": "25.5"})
    assert (order.id, order.product_id, order.customer_lastname, order.tax_rate) == (1, "1107", None, Decimal("25.5"))
    subscription = Subscription.model_validate(SUBSCRIPTION)
    assert subscription.frequency == 1
    assert subscription.invoices is not None
    assert subscription.invoices[0].id == 1109
    product = Product.model_validate(PRODUCT)
    assert product.is_on_sale is False
    assert product.plans is not None
    assert (product.plans[0].installments, product.plans[0].trial_days) == (-1, None)


@pytest.mark.parametrize(
    ("items", "count"),
    [
        ([ITEM, ITEM], 2),
        ({"0": ITEM, "2": ITEM}, 2),
        ([ITEM, None, "x"], 1),
        ([], 0),
        (None, None),
        ("", None),
        (False, None),
        ({}, None),
        ({"a": ITEM}, None),
    ],
)
def test_items_are_told_apart_from_silence_when_they_are_read(items: Any, count: int | None) -> None:
    read = Order.model_validate({"id": 1, "items": items}).items
    assert (None if read is None else len(read)) == count


@pytest.mark.parametrize("order_id", [None, 0, -5, "x", "", True])
def test_a_record_is_refused_when_its_id_is_no_positive_number(order_id: Any) -> None:
    with pytest.raises(ValidationError):
        Order.model_validate({"id": order_id})
