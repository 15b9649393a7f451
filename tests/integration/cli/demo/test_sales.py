from __future__ import annotations

from datetime import UTC, datetime

import pytest

from worker.cli.demo.sales import CHANGES, GRANTS, SEED_ORDER_ID, START_AT, Sales, offers_text, plan_sales
from worker.sandbox import SandboxConfig
from worker.sandbox.world import World
from workflows.planning.offers import parse_offers

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def sales() -> Sales:
    return plan_sales(NOW)


def test_offers_say_what_the_expectations_do_when_read_by_cartbridge() -> None:
    offers = parse_offers(offers_text())
    granted = {offer.product_id: {grant.price_id: grant.group_ids for grant in offer.grants} for offer in offers.offers}
    assert granted == GRANTS


def test_seed_order_and_two_dozen_more_are_sold_when_planned(sales: Sales) -> None:
    ids = [sale.order_id for sale in sales]
    assert len(ids) == len(set(ids)) >= 25
    assert SEED_ORDER_ID in ids
    assert sales.seed.record["customer_email"] == "janedoe@email.com"
    assert str(sales.seed.record["date_time"]) > START_AT > str(sales.before[0].record["date_time"])


def test_sales_is_the_same_when_planned_twice(sales: Sales) -> None:
    assert plan_sales(NOW) == sales


def test_every_shape_that_planning_tells_apart_is_sold_when_planned(sales: Sales) -> None:
    expected = sales.expected_orders()
    reviews = sales.expected_reviews()
    assert expected["1109", 501] == expected["3302", 501] == 1  # the same learner and price: a renewal
    assert {price for order_id, price in expected if order_id == "3001"} == {505, 506}
    assert 504 in {price for _, price in expected}
    assert reviews["2004", "unnamed_seat"] == 3
    assert {reason for _, reason in reviews} == {
        "unnamed_seat",
        "unmapped_product",
        "refunded_after_provisioning",
        "cancelled_after_provisioning",
    }
    assert max(expected.values()) == 1
    nothing = {str(sale.order_id) for sale in sales} - {order_id for order_id, _ in [*expected, *reviews]}
    assert {"1001", "2021", "3002"} <= nothing


def test_changes_name_orders_that_are_sold_when_planned(sales: Sales) -> None:
    statuses = {sale.order_id: sale.record.get("status", "paid") for sale in sales}
    for change in CHANGES:
        assert statuses[change.order_id] != change.status
    assert {change.is_announced for change in CHANGES} == {True, False}


def test_shop_takes_every_order_when_they_are_put_into_it(sales: Sales) -> None:
    shop = World(SandboxConfig()).studiocart
    shop.delete_order(SEED_ORDER_ID)
    for sale in sales:
        if sale is not sales.renewal:
            assert shop.add_order(dict(sale.record))["id"] == sale.order_id
