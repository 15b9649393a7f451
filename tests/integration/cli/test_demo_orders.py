from __future__ import annotations

from datetime import UTC, datetime

import pytest

from worker.cli.demo_orders import (
    BUMP_PRICE,
    GROUPS,
    OFFERS,
    PRICES,
    SEED_ORDER_ID,
    START_AT,
    Season,
    plan_season,
)
from worker.sandbox import SandboxConfig
from worker.sandbox.world import World
from workflows.offers import parse_offers

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def season() -> Season:
    return plan_season(NOW)


def test_offers_say_what_the_expectations_do_when_read_by_cartbridge() -> None:
    offers = parse_offers(OFFERS)
    by_product = {offer.product_id: tuple(grant.price_id for grant in offer.grants) for offer in offers.offers}
    assert by_product == {**PRICES, "1150": (BUMP_PRICE,)}
    assert {grant.price_id: grant.group_ids for offer in offers.offers for grant in offer.grants} == GROUPS


def test_seed_order_and_two_dozen_more_are_sold_when_planned(season: Season) -> None:
    ids = [sale.order_id for sale in season.sales()]
    assert len(ids) == len(set(ids)) >= 25
    assert SEED_ORDER_ID in ids
    assert season.seed.record["customer_email"] == "janedoe@email.com"
    assert str(season.seed.record["date_time"]) > START_AT > str(season.before[0].record["date_time"])


def test_season_is_the_same_when_planned_twice(season: Season) -> None:
    assert plan_season(NOW) == season


def test_every_shape_that_planning_tells_apart_is_sold_when_planned(season: Season) -> None:
    expected = season.expected_orders()
    reviews = season.expected_reviews()
    assert expected["1109", 501] == expected["3302", 501] == 1  # the same learner and price: a renewal
    assert {price for order_id, price in expected if order_id == "3002"} == {505, 506}
    assert BUMP_PRICE in {price for _, price in expected}
    assert reviews["3001", "unnamed_seat"] == 2
    assert {reason for _, reason in reviews} == {
        "unnamed_seat",
        "unmapped_product",
        "refunded_after_provisioning",
        "cancelled_after_provisioning",
    }
    assert max(expected.values()) == 1
    nothing = {str(sale.order_id) for sale in season.sales()} - {order_id for order_id, _ in [*expected, *reviews]}
    assert {"1001", "3003", "3007"} <= nothing


def test_changes_name_orders_that_are_sold_when_planned(season: Season) -> None:
    statuses = {sale.order_id: sale.record.get("status", "paid") for sale in season.sales()}
    for change in season.changes:
        assert statuses[change.order_id] != change.status
    assert {change.announced for change in season.changes} == {True, False}


def test_shop_takes_every_order_when_they_are_put_into_it(season: Season) -> None:
    shop = World(SandboxConfig()).studiocart
    shop.delete_order(SEED_ORDER_ID)
    for sale in season.sales():
        if sale is not season.renewal:
            assert shop.add_order(dict(sale.record))["id"] == sale.order_id
