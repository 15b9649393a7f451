from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from worker.sandbox.clock import Clock
from worker.sandbox.config import StudiocartConfig
from worker.sandbox.studiocart.site import Studiocart
from worker.sandbox.wire import Answer, Request

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Shop:
    """A Studiocart with a clock of its own."""

    def __init__(self, *, seeded: bool = True, **settings: Any) -> None:
        self.config = StudiocartConfig(**settings)
        self.clock = Clock(lambda: NOON)
        self.cart = Studiocart(self.config, self.clock, seeded=seeded)

    def send(self, path: str, body: object = None, *, query: dict[str, Any] | None = None, **headers: str) -> Answer:
        sent = {"x-api-key": self.config.api_key, "content-type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.cart.answer(Request("GET", path, path, urlencode(query or {}), sent, text))

    def ids(self, path: str, body: object = None, **more: Any) -> list[int]:
        answer = self.send(path, body, **more)
        assert answer.status == 200, answer.body
        return [record["id"] for record in json.loads(answer.body)]


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def stocked() -> Shop:
    """Orders 1 … 12, an hour apart, the last one at noon."""
    shop = Shop(seeded=False)
    shop.clock.shift(-11 * 3600)
    for order_id in range(1, 13):
        shop.cart.add_order({"id": order_id, "customer_email": f"{order_id}@example.test"})
        shop.clock.shift(3600)
    return shop


def test_the_documents_records_are_there_when_seeded(shop: Shop) -> None:
    assert shop.ids("/orders") == [1109]
    assert shop.ids("/subscriptions") == [1108]
    assert shop.ids("/products") == [1130]
    assert shop.ids("/customers", {"order": "asc"}) == [2, 1]
    assert shop.ids("/orders/subscription/1108", {"per_page": 10}) == [1109]
    order = json.loads(shop.send("/orders/1109").body)
    assert order["customer_email"] == "janedoe@email.com"
    assert order["date_time"] == "2023-05-27 08:14:00"
    assert order["items"][0]["product_name"] == "SC Product 1 x 1"
    subscription = json.loads(shop.send("/subscriptions/1108").body)
    assert subscription["invoices"][0]["date_time"] == "2023-05-27 13:44:00"
    [customer] = json.loads(shop.send("/customers/2").body)
    assert customer["lifetime_value"] == 11000
    assert json.loads(shop.send("/products/1130").body)["plans"][0]["price_type"] == "recurring"


def test_nothing_is_there_when_not_seeded() -> None:
    cart = Shop(seeded=False).cart
    assert (cart.orders, cart.subscriptions, cart.customers, cart.products) == ([], [], [], [])


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/orders/1", "sc_rest_invalid_id"),
        ("/products/9", "not_found"),
        ("/orders/x", "rest_no_route"),
        ("/carts", "rest_no_route"),
        ("/", "rest_no_route"),
        ("/orders/subscription/x", "rest_no_route"),
    ],
)
def test_a_path_is_404_when_it_leads_nowhere(shop: Shop, path: str, code: str) -> None:
    answer = shop.send(path)
    error = json.loads(answer.body)
    assert answer.status == 404
    assert error["code"] == code
    assert error["data"] == {"status": 404}


def test_only_get_has_routes_when_calling(shop: Shop) -> None:
    answer = shop.cart.answer(Request("POST", "/orders", headers={"x-api-key": shop.config.api_key}))
    assert json.loads(answer.body)["code"] == "rest_no_route"


def test_a_key_is_refused_when_wrong_or_missing(shop: Shop) -> None:
    assert shop.send("/orders", x_api_key="").status == 401
    assert shop.send("/orders", x_api_key="other").status == 401
    shop.config.bad_key_status = 403
    answer = shop.send("/orders", x_api_key="other")
    assert answer.status == 403
    assert json.loads(answer.body)["code"] == "rest_forbidden_context"


def test_requests_are_refused_when_they_come_too_fast() -> None:
    shop = Shop(requests_per_second=1.0)
    assert shop.send("/orders").status == 200
    answer = shop.send("/orders")
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")


def test_newest_come_first_ten_to_a_page_when_nothing_is_asked(stocked: Shop) -> None:
    assert stocked.ids("/orders") == list(range(12, 2, -1))
    assert stocked.ids("/orders", {"page": 2}) == [2, 1]
    assert stocked.ids("/orders", {"page": 3}) == []


def test_a_page_beyond_the_last_is_404_when_set(stocked: Shop) -> None:
    stocked.config.empty_list = "404"
    assert stocked.send("/orders", {"page": 3}).status == 404
    assert stocked.send("/orders", {"page": 2}).status == 200


def test_a_page_is_refused_when_more_than_a_hundred_are_asked_for(shop: Shop) -> None:
    answer = shop.send("/orders", {"per_page": 101})
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "rest_invalid_param")


def test_parameters_count_from_query_and_body_when_both_are_sent(stocked: Shop) -> None:
    assert stocked.ids("/orders", query={"per_page": 2, "order": "asc"}) == [1, 2]
    assert stocked.ids("/orders", {"per_page": "3"}, query={"per_page": 2, "order": "asc"}) == [1, 2, 3]
    assert len(stocked.ids("/orders", {"per_page": 3}, content_type="text/plain")) == 10


@pytest.mark.parametrize(("place", "expected"), [("both", 3), ("body", 3), ("query", 2)])
def test_parameters_count_from_one_place_when_set(stocked: Shop, place: Any, expected: int) -> None:
    stocked.config.parameters_in = place
    assert len(stocked.ids("/orders", {"per_page": 3}, query={"per_page": 2})) == expected


def test_the_query_is_not_read_when_only_the_body_counts(stocked: Shop) -> None:
    stocked.config.parameters_in = "body"
    assert len(stocked.ids("/orders", query={"per_page": 2})) == 10


@pytest.mark.parametrize(
    "body",
    [
        {"per_page": 0},
        {"per_page": "many"},
        {"page": -1},
        {"page": None},
        {"orderby": "price"},
        {"order": "sideways"},
        {"date_after": "yesterday"},
        b'{"per_page": 1e999}',
    ],
)
def test_a_parameter_is_refused_when_unusable(shop: Shop, body: object) -> None:
    answer = shop.send("/orders", body)
    assert answer.status == 400
    assert json.loads(answer.body)["code"] == "rest_invalid_param"


def test_a_body_is_refused_when_it_is_not_json(shop: Shop) -> None:
    answer = shop.send("/orders", b"{")
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "rest_invalid_json")


def test_orders_are_sorted_as_asked(stocked: Shop) -> None:
    stocked.cart.update_order(3, status="completed")
    assert stocked.ids("/orders", {"orderby": "date_modified"})[:2] == [3, 12]
    assert stocked.ids("/orders", {"orderby": "date_modified", "order": "ASC"})[:3] == [1, 2, 4]
    assert stocked.ids("/orders", {"orderby": "id", "order": "asc"})[:2] == [1, 2]
    stocked.cart.update_order(5, product_name="A course")
    assert stocked.ids("/orders", {"orderby": "product_name", "order": "asc"})[0] == 5


def test_equal_modification_times_follow_the_ids_when_sorted(stocked: Shop) -> None:
    for order_id in (7, 3, 9):
        stocked.cart.update_order(order_id, modified_at=NOON.replace(hour=15, microsecond=order_id))
    assert stocked.ids("/orders", {"orderby": "date_modified", "per_page": 3}) == [9, 7, 3]


def test_date_after_has_the_resolution_of_the_shops_day() -> None:
    shop = Shop(seeded=False)
    shop.cart.add_order({"id": 1, "date_time": "2026-02-27 18:29:59"})  # 23:59:59 in the shop
    shop.cart.add_order({"id": 2, "date_time": "2026-02-27 18:30:00"})  # midnight in the shop
    assert [order["date"] for order in shop.cart.orders] == ["2026-02-27", "2026-02-28"]
    assert shop.ids("/orders", {"date_after": "2026-02-26"}) == [2, 1]
    assert shop.ids("/orders", {"date_after": "2026-02-27"}) == [2]
    shop.config.date_after_inclusive = True
    assert shop.ids("/orders", {"date_after": "2026-02-28"}) == [2]
    assert shop.ids("/orders", {"date_after": ""}) == [2, 1]


def test_an_order_is_completed_when_little_is_said(shop: Shop) -> None:
    seed = shop.cart.order(1109)
    order = shop.cart.add_order({"customer_firstname": "Asha", "customer_email": "asha@example.test"})
    assert set(order) - set(seed) == {"ip_address", "subscription_id", "order_status", "order_id"}
    assert order["id"] == 1131
    assert order["customer_name"] == "Asha Doe"
    assert (order["date"], order["date_time"]) == ("2026-03-01", "2026-03-01 12:00:00")
    assert shop.cart.modified_at(1131) == NOON
    with pytest.raises(ValueError, match="exists"):
        shop.cart.add_order({"id": 1131})


def test_a_record_stays_as_it_is_when_a_caller_changes_its_copy(shop: Shop) -> None:
    given = {"id": 5, "items": [{"product_name": "A x 1"}]}
    shop.cart.add_order(given)
    given["items"][0]["product_name"] = "B"  # type: ignore[index]
    shop.cart.order(5)["items"].clear()
    assert shop.cart.order(5)["items"] == [{"product_name": "A x 1"}]


def test_an_order_shows_no_modification_time_when_changed(shop: Shop) -> None:
    fields = set(shop.cart.order(1109))
    changed = shop.cart.update_order(1109, status="refunded", id=7)
    assert (changed["id"], changed["status"]) == (1109, "refunded")
    assert set(changed) == fields
    assert shop.cart.modified_at(1109) == NOON
    assert shop.cart.subscriptions[0]["invoices"][0]["status"] == "refunded"


def test_an_order_is_replaced_or_removed_when_asked(shop: Shop) -> None:
    assert shop.cart.replace_order(1109, {"status": "failed"})["status"] == "failed"
    assert shop.cart.replace_order(7, {})["id"] == 7
    shop.cart.delete_order(7)
    with pytest.raises(KeyError):
        shop.cart.order(7)
    with pytest.raises(KeyError):
        shop.cart.update_order(7, status="paid")


def test_a_customer_is_created_once_when_ordering_twice(shop: Shop) -> None:
    shop.cart.add_order({"customer_email": "asha@example.test", "order_amount": 100})
    shop.cart.add_order({"customer_email": "ASHA@example.test", "order_amount": 50})
    shop.cart.add_order({"customer_email": None})
    asha = shop.cart.customers[-1]
    assert len(shop.cart.customers) == 3
    assert (asha["id"], asha["total_orders"], asha["lifetime_value"]) == (3, 2, 150)
    assert asha["last_order_date"] == "2026-03-01 17:30:00"


def test_a_renewal_is_a_new_order_when_a_subscription_is_charged_again(shop: Shop) -> None:
    renewal = shop.cart.add_renewal(1108, status="completed")
    assert renewal["product_id"] == "1107"
    assert renewal["customer_email"] == "janedoe@email.com"
    assert shop.ids("/orders/subscription/1108", {"orderby": "id", "per_page": 10}) == [renewal["id"], 1109]
    invoice = shop.cart.subscriptions[0]["invoices"][1]
    assert (invoice["id"], invoice["status"]) == (renewal["id"], "completed")
    assert invoice["date_time"] == "2026-03-01 17:30:00"


def test_a_subscription_is_filled_in_from_its_orders_when_added(shop: Shop) -> None:
    order = shop.cart.add_order({"id": 2000, "customer_email": "asha@example.test"})
    subscription = shop.cart.add_subscription({"invoices": [2000, {"id": 1109}], "status": "trialing"})
    assert subscription["customer_email"] == order["customer_email"]
    assert [invoice["id"] for invoice in subscription["invoices"]] == [2000, 1109]
    assert (subscription["id"], subscription["status"]) == (2001, "trialing")
    assert shop.cart.add_subscription({"id": 3000})["invoices"] == []
    shop.cart.delete_order(2000)
    assert shop.ids("/orders/subscription/2001", {"per_page": 10}) == [1109]


def test_the_seeds_come_back_when_reset(shop: Shop) -> None:
    shop.cart.update_order(1109, status="failed")
    shop.cart.add_order({})
    shop.cart.reset()
    assert [order["status"] for order in shop.cart.describe()["orders"]] == ["paid"]
