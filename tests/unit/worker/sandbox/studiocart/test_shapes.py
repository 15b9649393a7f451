from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from worker.sandbox.clock import Clock
from worker.sandbox.config import SandboxConfig, StudiocartConfig
from worker.sandbox.studiocart.site import Studiocart
from worker.sandbox.wire import Answer, Request
from worker.sandbox.world import World

CAPTURES = Path(__file__).parents[4] / "captures" / "studiocart"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def cart() -> Studiocart:
    return Studiocart(StudiocartConfig(), Clock(lambda: NOON), seeded=False)


def get(cart: Studiocart, path: str) -> Any:
    answer = cart.answer(Request("GET", path, path, headers={"x-api-key": cart.config.api_key}))
    assert answer.status == 200
    return json.loads(answer.body)


def capture(name: str) -> Any:
    return json.loads((CAPTURES / name).read_text())


def test_an_order_and_its_items_have_the_plugins_fields_when_sold_once(cart: Studiocart) -> None:
    cart.add_order({"id": 10})
    order, real = get(cart, "/orders/10"), capture("rest-order-paid.json")
    assert set(order) - {"transaction_id"} == set(real)
    assert set(order["items"][0]) == set(real["items"][0])
    shape = {name: type(value) for name, value in real["items"][0].items()}
    assert {name: type(value) for name, value in order["items"][0].items()} == shape


def test_orders_name_their_subscription_when_they_are_its_charges(cart: Studiocart) -> None:
    cart.add_order({"id": 15, "currency": "USD", "order_amount": 1999})
    cart.add_subscription({"id": 14, "invoices": [15], "frequency": "1"})
    renewal = cart.add_renewal(14, id=33)
    for order in (get(cart, "/orders/15"), renewal, get(cart, "/orders/33")):
        assert order["subscription_id"] == "14"
        assert order["items"][0]["subscription_id"] == "14"
        assert order["items"][0]["sub_summary"] == "&#36;19.99 / month"
    assert set(renewal["items"][0]) == set(capture("rest-renewal.json")["items"][0])


def test_the_orders_route_answers_a_subscription_when_the_id_is_one(cart: Studiocart) -> None:
    cart.add_order({"id": 15})
    cart.add_subscription({"id": 14, "invoices": [15], "next_bill_date": "2026-04-01"})
    record, real = get(cart, "/orders/14"), capture("rest-orders-of-a-subscription-id.json")
    assert set(record) == set(real) - {"next_bill_date_time"}
    assert set(record["invoices"][0]) == set(real["invoices"][0])
    assert "link" in get(cart, "/subscriptions/14")["invoices"][0]


def test_the_orders_route_answers_without_an_id_when_the_post_is_of_another_kind(cart: Studiocart) -> None:
    cart.add_product({"id": 4, "name": "Onboarding Course", "plans": []})
    assert "id" not in get(cart, "/orders/4")


def test_a_trashed_order_is_in_no_list_and_still_paid_when_asked_for(cart: Studiocart) -> None:
    cart.add_order({"id": 10})
    cart.trash_order(10)
    assert get(cart, "/orders") == []
    assert get(cart, "/orders/10")["status"] == "paid"
    cart.restore_order(10)
    assert [order["id"] for order in get(cart, "/orders")] == [10]


def test_old_orders_show_the_new_name_when_a_product_is_renamed(cart: Studiocart) -> None:
    cart.add_order({"id": 36, "product_id": "35", "product_name": "Tricks"})
    cart.rename_product("35", 'Tips & "Tricks" - O\'Neil')
    order = get(cart, "/orders/36")
    shown = "Tips &#038; &#8220;Tricks&#8221; &#8211; O&#8217;Neil"
    assert (order["product_name"], order["items"][0]["product_name"]) == (shown, shown)
    cart.update_order(36, status="refunded")
    assert cart.order(36)["product_name"] == shown


def test_items_have_names_alone_when_the_plugin_is_an_older_one(cart: Studiocart) -> None:
    cart.config.items = "names"
    cart.add_order({"id": 10, "product_name": "Onboarding"})
    cart.add_subscription({"id": 14, "invoices": [10]})
    order = get(cart, "/orders/10")
    assert order["items"][0]["product_name"] == "Onboarding x 1"
    assert order["items"][0]["quantity"] == 1
    assert not {"product_id", "id", "item_type"} & set(order["items"][0])
    assert "subscription_id" not in order


# How lists are answered, and what stands before them


def ask(cart: Studiocart, path: str, query: str = "", body: bytes = b"") -> Answer:
    headers = {"x-api-key": cart.config.api_key, "content-type": "application/json"}
    return cart.answer(Request("GET", path, f"{path}?{query}", query, headers, body))


def test_a_list_tells_its_total_when_it_is_paged(cart: Studiocart) -> None:
    for _ in range(25):
        cart.add_order({})
    answer = ask(cart, "/orders", "per_page=10&page=3")
    assert (answer.headers["X-WP-Total"], answer.headers["X-WP-TotalPages"]) == ("25", "3")
    assert len(json.loads(answer.body)) == 5
    cart.config.tells_totals = False
    assert not ask(cart, "/orders").headers


def test_customers_are_nothing_at_all_when_no_buyer_has_an_account(cart: Studiocart) -> None:
    cart.config.buyers_have_accounts = False
    cart.add_order({})
    for path in ("/customers", "/customers/1"):
        answer = ask(cart, path)
        assert (answer.status, answer.body) == (200, b"")


def test_a_subscriptions_orders_are_a_500_when_no_page_size_is_given(cart: Studiocart) -> None:
    assert ask(cart, "/orders/subscription/1").status == 500
    assert ask(cart, "/orders/subscription/1", "per_page=10").status == 404


@pytest.mark.parametrize(
    ("changes", "query", "body", "ids"),
    [
        ({}, "per_page=2", b"", [12, 11]),
        ({}, "", b'{"per_page": 2}', [12, 11]),
        ({"parameters_in": "query"}, "", b'{"per_page": 2}', list(range(12, 2, -1))),
        ({"parameters_in": "neither"}, "per_page=2&page=2", b"", list(range(12, 2, -1))),
        ({"ignored_parameters": frozenset({"page"})}, "per_page=2&page=2", b"", [12, 11]),
    ],
)
def test_parameters_are_read_where_the_site_lets_them_through_when_listing(
    cart: Studiocart, changes: dict[str, Any], query: str, body: bytes, ids: list[int]
) -> None:
    for order_id in range(1, 13):
        cart.add_order({"id": order_id})
    for name, value in changes.items():
        setattr(cart.config, name, value)
    assert [order["id"] for order in json.loads(ask(cart, "/orders", query, body).body)] == ids


def test_what_stands_before_the_site_answers_itself_when_it_is_set_up_so(cart: Studiocart) -> None:
    cart.config.refuses_get_bodies = True
    refused = ask(cart, "/orders", body=b"{}")
    assert (refused.status, refused.body[:9]) == (403, b"<!DOCTYPE")
    assert ask(cart, "/orders").status == 200
    cart.config.slow_above_rows = 25
    assert [ask(cart, "/orders", f"per_page={size}").status for size in (100, 26, 25)] == [504, 504, 200]
    cart.config.has_developer_api = False
    assert json.loads(ask(cart, "/orders").body)["code"] == "rest_no_route"


def test_routes_are_in_the_query_alone_when_permalinks_are_plain() -> None:
    world = World(SandboxConfig())
    world.config.studiocart.plain_permalinks = True
    found = world.find("/studiocart/", "rest_route=/sc/v1/orders&per_page=1")
    assert found == (world.studiocart, "/orders")
    assert world.find("/studiocart/", "page_id=7") is None
    assert ask(world.studiocart, "/orders").status == 404
    assert ask(world.studiocart, "/orders", "rest_route=/sc/v1/orders").status == 200
