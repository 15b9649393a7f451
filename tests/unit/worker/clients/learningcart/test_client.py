"""`worker.clients.learningcart.client`: seven methods, one token, and never a second order."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from pydantic import SecretStr

from tests.unit.worker.clients.learningcart.site import (
    BEGIN,
    CALLS,
    END,
    GOOD,
    HTML,
    ORDER,
    PASSWORD,
    Access,
    Vendor,
    client,
    failure,
    guid,
)
from tests.unit.worker.clients.stub import Asked, answer
from worker.clients.base import CallLimits
from worker.clients.learningcart.client import CustomerFields, LearningCartClient
from worker.clients.learningcart.models import CourseCompletionInfo
from worker.clients.transport import Answer
from worker.errors import (
    ConfigurationError,
    InvalidRequestError,
    LeaseLostError,
    NotFoundError,
    UnexpectedResponseError,
)
from worker.settings.settings import LearningCartSettings
from worker.text.redaction import SecretRegistry


def test_a_client_cannot_be_made_when_something_is_not_set() -> None:
    for name in ("base_url", "site_hostname", "username", "password"):
        lacking: dict[str, Any] = {name: None}
        with pytest.raises(ConfigurationError, match="CARTBRIDGE_LEARNINGCART__BASE_URL"):
            LearningCartClient(Access(**lacking))


def test_the_real_settings_are_understood_when_a_client_is_made() -> None:
    settings = LearningCartSettings(site_hostname="a.test", username="u", password=SecretStr(PASSWORD))
    registry = SecretRegistry()
    made = LearningCartClient(settings, secrets=registry)
    assert registry.values() == (PASSWORD,)
    assert PASSWORD not in repr(made)
    made.close()


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("getOrderByID", {"orderid": "5001"}),
        ("getOrdersByDate", {"BeginDate": "2023-05-27T08:00:00", "EndDate": "2023-05-28T08:00:01"}),
        ("addCompOrder", {"CustomerID": "7", "PriceID": "501", "OrderComments": "cb-1"}),
        ("addCustomer", {"Email": "jane@example.test"}),
        ("addCustomerToGroup", {"CustomerID": "7", "GroupID": "12"}),
        ("getCompletions", {"BeginDate": "2023-05-27T08:00:00", "EndDate": "2023-05-28T08:00:01"}),
    ],
)
def test_a_call_says_what_the_document_asks_for_when_it_is_made(method: str, parameters: dict[str, str]) -> None:
    vendor = Vendor(answer(GOOD[method]))
    CALLS[method](client(vendor), CallLimits())
    asked = vendor.calls[0]
    assert asked.path == f"/CDNService.svc/{method}"
    assert asked.query == {"AuthenticationToken": guid(1)} | parameters
    assert asked.exchange.fresh_connection is (method == "addCompOrder")
    assert vendor.token_requests[0].query == {
        "sitehostname": "academy.example.test",
        "username": "api@academy.example.test",
        "password": PASSWORD,
    }


def test_optional_parameters_are_left_out_when_they_are_not_given() -> None:
    vendor = Vendor(answer([]), answer(ORDER), answer(True))
    each = client(vendor)
    assert each.get_orders_by_date(None) == []
    each.add_comp_order(7, 501)
    each.add_customer_to_group(7, 12, is_admin=False)
    assert [set(asked.query) - {"AuthenticationToken"} for asked in vendor.calls] == [
        set(),
        {"CustomerID", "PriceID"},
        {"CustomerID", "GroupID", "isAdmin"},
    ]
    assert vendor.calls[2].query["isAdmin"] == "false"


def test_the_comped_order_goes_to_another_method_when_the_site_names_it_so() -> None:
    vendor = Vendor(answer({"giveOrderResult": ORDER}))
    client(vendor, access=Access(comped_order_method="giveOrder")).add_comp_order(7, 501)
    assert vendor.calls[0].method == "giveOrder"


def test_a_window_is_refused_when_a_date_has_no_zone() -> None:
    with pytest.raises(ValueError, match="zone"):
        client(Vendor(answer([]))).get_completions(datetime(2023, 1, 1), END)  # noqa: DTZ001 -- what is refused


@pytest.mark.parametrize(
    "wrap", [lambda value, _: value, lambda value, _: {"d": value}, lambda v, m: {f"{m}Result": v}]
)
def test_answers_are_read_when_they_are_wrapped(wrap: Callable[[object, str], object]) -> None:
    vendor = Vendor(*(answer(wrap(GOOD[method], method)) for method in CALLS))
    each = client(vendor)
    order = each.get_order_by_id(5001)
    assert order.customer_comments == "cb-1"
    assert [listed.model_dump(exclude={"customer_email"}) for listed in each.get_orders_by_date(BEGIN, END)] == [
        order.model_dump()
    ]
    assert each.add_comp_order(7, 501) == order
    customer = each.add_customer(CustomerFields(email="jane@example.test"))
    assert (customer.customer_id, customer.is_new, customer.password) == (7, True, SecretStr("made-up-1"))
    each.add_customer_to_group(7, 12)
    [completion] = each.get_completions(BEGIN, END)
    assert isinstance(completion, CourseCompletionInfo)
    assert completion.is_completed


def test_orders_are_read_when_they_come_as_xml() -> None:
    xml = (
        b"<ArrayOfOrder xmlns='x'><Order><OrderID>1</OrderID></Order><Order><OrderID>2</OrderID></Order></ArrayOfOrder>"
    )
    assert [order.order_id for order in client(Vendor(answer(xml))).get_orders_by_date(BEGIN)] == [1, 2]


def test_a_completion_is_set_aside_when_it_alone_cannot_be_read() -> None:
    vendor = Vendor(answer([None, {"Status": 1, "Customer": {"Customer ID": 5}}, "text"]))
    rows = client(vendor).get_completions(BEGIN, END)
    assert [isinstance(row, CourseCompletionInfo) for row in rows] == [False, True, False]


# What an answer must say


@pytest.mark.parametrize("body", [None, {"Order ID": 0}, {"Order ID": "0"}])
def test_an_order_is_not_found_when_the_service_answers_nothing(body: object) -> None:
    assert isinstance(failure("getOrderByID", Vendor(answer(body))), NotFoundError)


@pytest.mark.parametrize("body", [{"Order ID": 5002}, {}, [], "text", {"Tax": 1}, True])
def test_an_order_is_unexpected_when_it_is_another_or_none(body: object) -> None:
    error = failure("getOrderByID", Vendor(answer(body)))
    assert (type(error), error.retryable, error.outcome_unknown) == (UnexpectedResponseError, True, False)


@pytest.mark.parametrize(
    "body",
    [
        *(None, "nothing", True, 5, {"Message": "no"}, {"Tax": 1}, b"", HTML),
        *("", {}, {"d": ""}, {"d": {}}, {"d": None}, {"getOrdersByDateResult": ""}),
    ],
)
def test_a_list_is_unexpected_when_it_is_none(body: object) -> None:
    error = failure("getOrdersByDate", Vendor(answer(body)))
    assert (type(error), error.retryable) == (UnexpectedResponseError, True)


@pytest.mark.parametrize(
    "body",
    [
        *([], {"d": []}, b"<ArrayOfOrder/>", b"<getOrdersByDateResult/>"),
        *(codecs.BOM_UTF8 + b"<getOrdersByDateResult/>", "<getOrdersByDateResult/>".encode("utf-16")),
    ],
)
def test_a_list_is_empty_when_it_is_one(body: object) -> None:
    assert client(Vendor(answer(body))).get_orders_by_date(BEGIN) == []


@pytest.mark.parametrize("row", [None, {}, {"Tax": 1}, "text", 5, [], {"Order ID": 0}, {"Order ID": "x"}])
def test_a_row_hides_no_other_and_has_the_id_0_when_it_cannot_be_read(row: object) -> None:
    orders = client(Vendor(answer([row, ORDER, row]))).get_orders_by_date(BEGIN)
    assert [order.order_id for order in orders] == [0, 5001, 0]


@pytest.mark.parametrize(
    "body",
    [None, {}, [], True, 5001, "5001", {"Order ID": 0}, {"Order ID": -1}, {"Message": "bad price"}, b"", b"{", HTML],
)
def test_the_outcome_is_unknown_when_a_comped_order_comes_back_without_id(body: object) -> None:
    vendor = Vendor(answer(body))
    error = failure("addCompOrder", vendor)
    assert (type(error), error.retryable, error.outcome_unknown) == (UnexpectedResponseError, False, True)
    assert len(vendor.calls) == 1


@pytest.mark.parametrize(
    "body", [None, {"Email": "jane@example.test"}, {"Customer ID": 7, "Email": "joe@example.test"}]
)
def test_a_customer_is_unexpected_when_it_is_another_or_none(body: object) -> None:
    error = failure("addCustomer", Vendor(answer(body)))
    assert (type(error), error.retryable) == (UnexpectedResponseError, True)
    assert "joe" not in str(error)


@pytest.mark.parametrize("body", [False, "false", 0, {"d": "False"}, b"<boolean>false</boolean>"])
def test_a_group_call_is_refused_when_the_answer_is_false(body: object) -> None:
    error = failure("addCustomerToGroup", Vendor(answer(body)))
    assert (type(error), error.retryable, error.outcome_unknown) == (InvalidRequestError, False, False)
    assert "refused" in str(error)


@pytest.mark.parametrize("body", [True, "true", 1, "1", {"addCustomerToGroupResult": True}, b"<boolean>true</boolean>"])
def test_a_group_call_succeeds_when_the_answer_is_true(body: object) -> None:
    client(Vendor(answer(body))).add_customer_to_group(7, 12)


@pytest.mark.parametrize("body", [None, "yes", {}, [True], 2, HTML])
def test_a_group_call_is_unexpected_when_the_answer_is_no_bool(body: object) -> None:
    assert isinstance(failure("addCustomerToGroup", Vendor(answer(body))), UnexpectedResponseError)


# Limits


def test_a_token_and_a_slot_are_at_hand_when_the_client_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    vendor = Vendor(answer(ORDER))
    each = client(vendor)
    slots: list[None] = []
    monkeypatch.setattr(each._api, "take_slot", lambda: slots.append(None))
    each.ready()
    assert (len(slots), len(vendor.token_requests), vendor.calls) == (2, 1, [])
    each.add_comp_order(7, 501, limits=CallLimits(slot_taken=True))
    assert (len(slots), len(vendor.token_requests)) == (2, 1)
    each.ready(limits=CallLimits(slot_taken=True))
    assert len(slots) == 2
    each.get_order_by_id(5001)
    assert len(slots) == 3


def test_one_deadline_holds_for_token_call_and_repeat_when_a_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [0.0]

    def taking(reply: Answer, duration: float) -> Callable[[Asked], Answer]:
        def give(_: Asked) -> Answer:
            seconds[0] += duration
            return reply

        return give

    vendor = Vendor(
        taking(answer(b"", 401), 2.0),
        answer(ORDER),
        tokens=[taking(answer(guid(1)), 1.0), taking(answer(guid(2)), 1.0)],
    )
    each = client(vendor, clock=lambda: seconds[0])

    def slow_slot() -> None:
        seconds[0] += 100.0

    monkeypatch.setattr(each._api, "take_slot", slow_slot)
    each.add_comp_order(7, 501, limits=CallLimits(deadline_seconds=10.0))
    given = [asked.exchange.deadline - asked.exchange.started for asked in vendor.asked]
    assert given == pytest.approx([10.0, 9.0, 7.0, 6.0], abs=0.05)


def test_both_timeouts_are_the_deadline_when_none_is_named() -> None:
    vendor = Vendor(answer(ORDER))
    client(vendor, clock=lambda: 0.0).get_order_by_id(5001)
    exchange = vendor.calls[0].exchange
    assert exchange.deadline - exchange.started == pytest.approx(35.0, abs=0.05)


def test_nothing_is_sent_when_before_send_refuses_the_repeat() -> None:
    error = LeaseLostError("gone")
    answers = [None, error]

    def check() -> None:
        if (refusal := answers.pop(0)) is not None:
            raise refusal

    vendor = Vendor(answer(b"", 401), answer(ORDER))
    with pytest.raises(LeaseLostError) as caught:
        client(vendor).add_comp_order(7, 501, limits=CallLimits(before_send=check))
    assert caught.value is error
    assert len(vendor.calls) == 1


def test_connections_are_closed_when_the_client_is() -> None:
    vendor = Vendor(answer(ORDER))
    client(vendor).close()
    assert vendor.closed
