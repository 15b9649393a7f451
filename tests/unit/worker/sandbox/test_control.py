from __future__ import annotations

import json
from typing import Any

import pytest

from worker.sandbox.config import SandboxConfig
from worker.sandbox.control import Control
from worker.sandbox.wire import Answer, Request
from worker.sandbox.world import World


class Operator:
    """The control interface without its socket."""

    def __init__(self) -> None:
        self.world = World(SandboxConfig())
        self.control = Control(self.world)

    def send(self, method: str, path: str, body: object = None, query: str = "") -> Answer:
        text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.control.answer(Request(method, f"/_sandbox{path}", query_text=query, body=text))

    def value(self, method: str, path: str, body: object = None, query: str = "") -> Any:
        answer = self.send(method, path, body, query)
        assert answer.status in (200, 201), answer.body
        return json.loads(answer.body)


@pytest.fixture
def operator() -> Operator:
    return Operator()


def test_everything_is_told_when_asked_for_the_state(operator: Operator) -> None:
    operator.world.log.count_request("studiocart", "list_orders")
    state = operator.value("GET", "/state")
    assert state["requests"] == {"studiocart": {"list_orders": 1}}
    assert state["systems"]["studiocart"]["orders"][0]["id"] == 1109
    assert state["effects"] == 0


def test_effects_after_a_number_come_back_when_asked_for(operator: Operator) -> None:
    for number in range(3):
        operator.world.log.record("learningcart", "addCompOrder", order_id=number)
    assert [effect["number"] for effect in operator.value("GET", "/effects")] == [1, 2, 3]
    assert [effect["order_id"] for effect in operator.value("GET", "/effects", query="after=2")] == [2]


def test_faults_are_put_in_and_out_of_force_when_asked(operator: Operator) -> None:
    operator.value("POST", "/faults", {"kind": "cut", "operation": "addCompOrder"})
    assert len(operator.value("POST", "/faults", [{"kind": "hang"}, {"kind": "html"}])) == 3
    assert [fault["kind"] for fault in operator.value("GET", "/faults")] == ["cut", "hang", "html"]
    assert operator.value("DELETE", "/faults") == []


def test_no_fault_is_put_in_force_when_one_of_a_list_is_wrong(operator: Operator) -> None:
    answer = operator.send("POST", "/faults", [{"kind": "cut"}, {"kind": "explode"}])
    assert answer.status == 400
    assert operator.value("GET", "/faults") == []


def test_time_moves_when_shifted_and_comes_back_when_reset(operator: Operator) -> None:
    operator.value("POST", "/time", {"shift_seconds": 90})
    assert operator.world.clock.shift_seconds == 90
    operator.value("POST", "/reset")
    assert operator.world.clock.shift_seconds == 0


def test_settings_change_when_patched(operator: Operator) -> None:
    operator.value("PATCH", "/config", {"learningcart": {"echo_comments": False, "groups": [12]}})
    assert operator.world.config.learningcart.echo_comments is False
    assert operator.world.learningcart.config.groups == frozenset({12})


@pytest.mark.parametrize("body", [{"learningcart": {"colour": 1}}, {"paypal": {}}, {"learningcart": 1}])
def test_settings_stay_when_the_patch_is_wrong(operator: Operator, body: object) -> None:
    assert operator.send("PATCH", "/config", body).status == 400


def test_orders_are_added_changed_and_removed_when_asked(operator: Operator) -> None:
    assert operator.value("POST", "/studiocart/orders", {"status": "pending-payment"})["id"] == 1131
    assert [order["id"] for order in operator.value("POST", "/frontcore/orders", [{}, {}])] == [27245, 27246]
    assert operator.value("POST", "/threedcart/orders", {})["OrderID"] == 1
    changes = {"status": "paid", "modified_at": "2026-03-01T12:00:00+00:00"}
    assert operator.value("PATCH", "/studiocart/orders/1131", changes)["status"] == "paid"
    assert operator.world.studiocart.modified_at(1131).isoformat() == "2026-03-01T12:00:00+00:00"
    assert operator.value("PATCH", "/frontcore/orders/27245", {"is_paid": False})["is_paid"] is False
    assert operator.value("PUT", "/studiocart/orders/7", {"status": "failed"})["id"] == 7
    assert operator.value("DELETE", "/studiocart/orders/7") == {"deleted": 7}


def test_learningcart_is_changed_by_hand_when_asked(operator: Operator) -> None:
    customer_id = operator.value("POST", "/learningcart/customers", {"Email": "jane@example.test", "FirstName": "J"})[
        "id"
    ]
    order = {"customer_id": customer_id, "price_id": 501, "comments": "by hand"}
    assert operator.value("POST", "/learningcart/orders", order) == {"id": 90001}
    completion = {"customer_id": customer_id, "course_id": 77, "completed_at": "2026-03-01T12:00:00Z"}
    assert operator.value("POST", "/learningcart/completions", completion) == {"course_id": 77}
    assert operator.world.learningcart.describe()["completions"] == 1
    assert operator.value("DELETE", "/learningcart/tokens") == {"revoked": True}
    assert operator.world.log.effects() == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "", None, 404),
        ("GET", "/nothing", None, 404),
        ("POST", "/state", None, 405),
        ("GET", "/studiocart/orders", None, 405),
        ("POST", "/studiocart/orders/7", {}, 405),
        ("PATCH", "/studiocart/orders/7", {}, 404),
        ("PATCH", "/studiocart/orders/x", {}, 400),
        ("PATCH", "/studiocart/orders/1109", {"modified_at": "2026-03-01"}, 400),
        ("POST", "/studiocart/orders", {"id": 1109}, 400),
        ("POST", "/studiocart/orders", [1], 400),
        ("POST", "/faults", b"{", 400),
        ("POST", "/time", {}, 400),
        ("POST", "/time", b'{"shift_seconds": 1e999}', 400),
        ("GET", "/paypal/orders", None, 404),
        ("POST", "/learningcart/customers", {"FirstName": "Jane"}, 400),
        ("POST", "/learningcart/customers", {"Email": "j@example.test", "Colour": "red"}, 400),
        ("POST", "/learningcart/orders", {"customer_id": 1, "price_id": 501}, 404),
    ],
)
def test_a_request_is_refused_when_it_means_nothing(
    operator: Operator, method: str, path: str, body: object, status: int
) -> None:
    answer = operator.send(method, path, body)
    assert answer.status == status
    assert "error" in json.loads(answer.body)


def test_an_order_of_learningcart_is_gone_for_good_when_deleted(operator: Operator) -> None:
    customer = operator.value("POST", "/learningcart/customers", {"Email": "jane@example.test"})
    order = {"customer_id": customer["id"], "price_id": 501}
    first, second = (operator.value("POST", "/learningcart/orders", order)["id"] for _ in range(2))
    assert operator.value("DELETE", f"/learningcart/orders/{second}") == {"deleted": second}
    assert operator.send("DELETE", f"/learningcart/orders/{second}").status == 404
    assert operator.value("POST", "/learningcart/orders", order)["id"] == second + 1
    assert operator.send("PUT", f"/learningcart/orders/{first}").status == 404
