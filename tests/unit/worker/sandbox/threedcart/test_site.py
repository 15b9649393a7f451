from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from worker.sandbox.clock import Clock
from worker.sandbox.config import ThreedcartConfig
from worker.sandbox.effects import EffectLog
from worker.sandbox.threedcart.site import Threedcart
from worker.sandbox.threedcart.webhook import threedcart_webhook
from worker.sandbox.wire import Answer, Request

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Store:
    """A 3dcart with a clock of its own."""

    def __init__(self, **settings: Any) -> None:
        self.config = ThreedcartConfig(**settings)
        self.clock = Clock(lambda: NOON)
        self.log = EffectLog(self.clock.now)
        self.cart = Threedcart(self.config, self.clock, self.log)

    def send(self, method: str, path: str, body: object = None, **query: Any) -> Answer:
        headers = {
            "secureurl": self.config.secure_url,
            "privatekey": self.config.private_key,
            "token": self.config.token,
        }
        text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.cart.answer(Request(method, path, path, urlencode(query), headers, text))

    def new_cart(self) -> str:
        return str(
            results_of(self.send("POST", "/Cart", {"BillingEmail": "jane@example.test", "OrderAmount": 5}))["Value"]
        )

    def ids(self, **query: Any) -> list[int]:
        answer = self.send("GET", "/Orders", **query)
        assert answer.status == 200, answer.body
        return [record["OrderID"] for record in json.loads(answer.body)]


def results_of(answer: Answer) -> dict[str, str]:
    [row] = json.loads(answer.body)
    assert isinstance(row, dict)
    return row


@pytest.fixture
def store() -> Store:
    return Store()


def test_a_cart_is_created_when_posted(store: Store) -> None:
    answer = store.send("POST", "/Cart", {"BillingEmail": "jane@example.test", "OrderKey": "mine"})
    row = results_of(answer)
    assert answer.status == 201
    assert (row["Key"], row["Status"], row["Message"]) == ("OrderKey", "201", "Created successfully")
    assert len(row["Value"]) <= 16
    assert row["Value"] != "mine"
    assert store.log.effects()[0].facts == {"order_key": row["Value"], "email": "jane@example.test"}


@pytest.mark.parametrize(("form", "is_list", "status"), [("object", False, 201), ("list", True, 200)])
def test_a_cart_is_answered_in_the_form_that_is_set(form: Any, is_list: bool, status: int) -> None:
    store = Store(cart_form=form)
    key = store.new_cart()
    answer = store.send("GET", f"/Cart/{key}")
    value = json.loads(answer.body)
    cart = value[0] if is_list else value
    assert answer.status == status
    assert (cart["BillingEmail"], cart["OrderAmount"], cart["OrderKey"]) == ("jane@example.test", 0, key)
    assert key in cart["CheckoutURL"]


def test_read_only_fields_stay_when_a_cart_is_updated(store: Store) -> None:
    key = store.new_cart()
    store.clock.shift(60)
    row = results_of(store.send("PUT", f"/Cart/{key}", {"BillingCity": "Oslo", "CheckoutURL": "x", "OrderDate": "x"}))
    assert (row["Status"], row["Message"]) == ("200", "Updated successfully")
    cart = store.cart.carts[key]
    assert (cart["BillingCity"], cart["OrderDate"], cart["LastUpdate"]) == (
        "Oslo",
        "2026-03-01T07:00:00",
        "2026-03-01T07:01:00",
    )
    assert cart["CheckoutURL"] != "x"


def test_the_body_tells_201_when_a_cart_is_deleted(store: Store) -> None:
    key = store.new_cart()
    answer = store.send("DELETE", f"/Cart/{key}")
    assert (answer.status, results_of(answer)["Status"]) == (200, "201")
    assert store.send("GET", f"/Cart/{key}").status == 404
    assert store.cart.carts == {}


def test_items_are_added_changed_and_removed_when_asked(store: Store) -> None:
    key = store.new_cart()
    ids = [results_of(store.send("POST", f"/Cart/{key}/Item", {"CatalogID": 1234}))["Value"] for _ in range(2)]
    assert ids == ["123", "124"]
    assert store.cart.carts[key]["OrderAmount"] == 50
    assert (
        results_of(store.send("PUT", f"/Cart/{key}/Item/124", {"ItemQuantity": 3}))["Message"] == "Updated successfully"
    )
    row = results_of(store.send("DELETE", f"/Cart/{key}/Item/123"))
    assert (row["Key"], row["Value"], row["Message"]) == ("CartItemId", "123", "Deleted successfully")
    [item] = store.cart.carts[key]["CartItemList"]
    assert (item["CartItemID"], item["ItemQuantity"]) == (124, 3)
    assert [effect.operation for effect in store.log.effects()] == [
        "create_cart",
        "create_cart_item",
        "create_cart_item",
        "update_cart_item",
        "delete_cart_item",
    ]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/Cart", b"{", 400),
        ("GET", "/Cart/none", None, 404),
        ("PUT", "/Cart/none", {}, 404),
        ("POST", "/Cart/none/Item", {"CatalogID": 1}, 404),
        ("POST", "/Cart/{key}/Item", {}, 400),
        ("POST", "/Cart/{key}/Item", {"CatalogID": 2}, 400),
        ("POST", "/Cart/{key}/Item", {"CatalogID": 1, "ItemQuantity": 0}, 400),
        ("PUT", "/Cart/{key}/Item/123", {"ItemQuantity": 1}, 404),
        ("GET", "/Carts", None, 404),
        ("PATCH", "/Cart", None, 404),
        ("GET", "/Orders/1", None, 404),
        ("GET", "/Orders/x", None, 404),
    ],
)
def test_a_request_is_refused_when_it_means_nothing(method: str, path: str, body: object, status: int) -> None:
    store = Store(catalog_ids=frozenset({1}))
    answer = store.send(method, path.replace("{key}", store.new_cart()), body)
    assert answer.status == status
    assert results_of(answer)["Status"] == str(status)


def test_a_call_is_refused_when_a_credential_is_wrong_or_too_many_come() -> None:
    assert (
        Threedcart(ThreedcartConfig(), Clock(), EffectLog(lambda: NOON)).answer(Request("GET", "/Orders")).status == 401
    )
    store = Store(requests_per_second=2.0)
    assert [store.send("GET", "/OrderStatus").status for _ in range(3)] == [200, 200, 429]


def test_orders_are_paged_from_one_when_listed(store: Store) -> None:
    none = store.send("GET", "/Orders")
    assert (none.status, results_of(none)["Message"]) == (404, "There are no records matching the request")
    for _ in range(12):
        store.cart.add_order({})
    assert store.ids() == list(range(1, 11))
    assert store.ids(offset=11) == [11, 12]
    assert store.ids(limit=2, offset=2) == [2, 3]
    answer = store.send("GET", "/Orders", offset=13)
    assert (answer.status, results_of(answer)["Message"]) == (400, "Offset amount exceeds the total number of records")


def test_orders_are_filtered_by_status_and_store_time_when_asked(store: Store) -> None:
    store.cart.add_order({})
    store.clock.shift(86400)
    store.cart.add_order({"OrderStatusID": 4})
    store.clock.shift(86400)
    store.cart.update_order(1, OrderStatusID=5)
    assert store.ids(orderstatus=4) == [2]
    assert store.ids(datestart="03/02/2026") == [2]
    assert store.ids(dateend="03/01/2026 07:00:00") == [1]
    assert store.ids(lastupdatestart="03/03/2026 00:00:00") == [1]
    assert store.ids(lastupdateend="03/02/2026 23:00:00") == [2]
    assert store.send("GET", "/Orders", datestart="2026-03-01").status == 400
    assert store.send("GET", "/Orders", limit="x").status == 400


def test_an_order_is_changed_replaced_or_removed_when_asked(store: Store) -> None:
    order = store.cart.add_order({"BillingEmail": "asha@example.test"})
    assert json.loads(store.send("GET", "/Orders/1").body) == [order]
    assert store.cart.replace_order(1, {"OrderStatusID": 4})["BillingEmail"] == "janedoe@email.com"
    with pytest.raises(ValueError, match="exists"):
        store.cart.add_order({"OrderID": 1})
    assert [record["OrderID"] for record in store.cart.orders] == [1]
    store.cart.delete_order(1)
    store.new_cart()
    assert store.cart.describe()["orders"] == []
    store.cart.reset()
    assert store.cart.describe() == {"carts": {}, "orders": []}


def test_a_cart_is_an_unfinished_order_until_it_is_bought_when_orders_are_listed() -> None:
    store = Store(bought_carts_answer=True)
    key = store.new_cart()
    store.send("POST", f"/Cart/{key}/Item", {"CatalogID": 12})
    assert len(store.ids(orderstatus=7, billingemail="JANE@example.test")) == 1
    assert store.send("GET", "/Orders", orderstatus=7, billingemail="john@example.test").status == 404
    order = store.cart.check_out(key)
    assert store.send("GET", "/Orders", orderstatus=7).status == 404
    assert store.ids(billingemail="jane@example.test") == [order["OrderID"]]
    assert store.send("GET", f"/Cart/{key}").status == 200
    store.send("DELETE", f"/Cart/{key}")
    assert store.cart.orders == []


def test_the_store_s_labels_are_listed_unless_the_token_may_not_read_them(store: Store) -> None:
    store.config.status_labels[8] = "Paid, access sent"
    rows = json.loads(store.send("GET", "/OrderStatus").body)
    assert {row["OrderStatusID"]: row["StatusText"] for row in rows}[8] == "Paid, access sent"
    store.config.status_labels_readable = False
    assert store.send("GET", "/OrderStatus").status == 403


def test_a_webhook_is_an_array_of_one_whole_order_when_it_is_built(store: Store) -> None:
    order = store.cart.add_order({})
    headers, body = threedcart_webhook(order)
    assert (list(headers), json.loads(body)) == (["Content-Type"], [order])
