"""What LearningCart's captured answers are read as, each whole; and its error page, in every shape, on every call."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.unit.worker.clients.learningcart.site import BEGIN, CALLS, GOOD, ORDER, Vendor, client, failure, guid
from tests.unit.worker.clients.stub import Reply, answer
from worker.clients.base import CallLimits
from worker.clients.learningcart.client import CustomerFields
from worker.clients.learningcart.models import ListedOrder
from worker.clients.learningcart.query import QUERY_LIMIT_BYTES
from worker.clients.transport import Answer
from worker.errors import ApiError, InvalidRequestError, ServerError, UnexpectedResponseError

CAPTURES = Path(__file__).parents[4] / "captures" / "learningcart"
SAFE_CALLS = [method for method in CALLS if method != "addCompOrder"]


def captured(name: str) -> bytes:
    return (CAPTURES / name).read_bytes()


PAGES = {
    "request_error_400.html": 400,
    "request_error_400_details.html": 400,
    "request_error_200_bom.html": 200,
    "fault_500.xml": 500,
}
SHAPES = pytest.mark.parametrize("page", [answer(captured(name), status) for name, status in PAGES.items()], ids=PAGES)


@SHAPES
@pytest.mark.parametrize("method", SAFE_CALLS)
def test_safe_call_is_repeated_once_with_a_new_token_when_an_error_page_answers(method: str, page: Answer) -> None:
    vendor = Vendor(page, answer(GOOD[method]))
    CALLS[method](client(vendor), CallLimits())
    assert [asked.query["AuthenticationToken"] for asked in vendor.calls] == [guid(1), guid(2)]


@SHAPES
@pytest.mark.parametrize("method", SAFE_CALLS)
def test_safe_call_backs_off_when_the_error_page_comes_again(method: str, page: Answer) -> None:
    vendor = Vendor(page)
    error = failure(method, vendor)
    assert (error.retryable, error.outcome_unknown) == (True, False)
    assert isinstance(error, UnexpectedResponseError | ServerError)
    assert (len(vendor.calls), len(vendor.token_requests)) == (2, 2)


@SHAPES
def test_outcome_is_unknown_and_the_token_renewed_when_an_error_page_answers_a_comped_order(page: Answer) -> None:
    vendor = Vendor(page, answer(ORDER))
    each = client(vendor)
    with pytest.raises(ApiError) as caught:
        each.add_comp_order(7, 501)
    assert (caught.value.retryable, caught.value.outcome_unknown) == (False, True)
    assert len(vendor.calls) == 1
    each.add_comp_order(7, 501)
    assert vendor.calls[1].query["AuthenticationToken"] == guid(2)


@SHAPES
def test_credentials_are_not_called_wrong_when_an_error_page_answers_the_token_request(page: Answer) -> None:
    error = failure("addCustomer", Vendor(answer(ORDER), tokens=[page]))
    assert isinstance(error, UnexpectedResponseError | ServerError)
    assert (error.operation, error.retryable, error.outcome_unknown) == ("requestToken", True, False)


@pytest.mark.parametrize(
    "refusal",
    [answer({"Message": "no"}, 400), answer({}, 404), answer("bad", 422), answer(b"", 500), answer(b"", 200)],
    ids=repr,
)
@pytest.mark.parametrize("method", SAFE_CALLS)
def test_token_without_an_end_is_renewed_when_a_call_is_refused_in_any_shape(method: str, refusal: Answer) -> None:
    undated: list[Reply] = [answer(captured("token_guid.json")), answer(guid(2))]
    vendor = Vendor(refusal, answer(GOOD[method]), tokens=undated)
    CALLS[method](client(vendor), CallLimits())
    assert len(vendor.token_requests) == 2


def test_refusal_is_final_when_a_token_without_an_end_was_renewed_for_it() -> None:
    error = failure("addCustomer", Vendor(answer({"Message": "no"}, 400), tokens=[answer(guid(1)), answer(guid(2))]))
    assert (type(error), error.retryable) == (InvalidRequestError, False)


@pytest.mark.parametrize("name", ["token.json", "token_guid.json", "token_guid.xml"])
def test_token_is_read_when_it_comes_in_any_shape(name: str) -> None:
    token = client(Vendor(answer(ORDER), tokens=[answer(captured(name))])).request_token()
    assert token.value.get_secret_value() == "0f9a2c1e-6a54-4c3b-9d0e-5b7a3e1c2d44"
    assert (token.lifetime is not None) is (name == "token.json")


def test_order_is_made_when_its_customer_is_a_shell() -> None:
    order = client(Vendor(answer(captured("add_comp_order_shell_customer.json")))).add_comp_order(5012, 31)
    assert (order.order_id, order.customer, order.customer_comments) == (90017, None, "CB-invented-ref-2")


def test_customer_is_read_when_new_and_when_known() -> None:
    each = client(Vendor(answer(captured("add_customer_new.json")), answer(captured("add_customer_known.json"))))
    kari = CustomerFields(email="kari@prove.example")
    new, known = each.add_customer(kari), each.add_customer(kari)
    assert (new.customer_id, new.is_new, new.password is not None) == (5012, True, True)
    assert (known.customer_id, known.is_new, known.password) == (5012, False, None)


def test_group_is_joined_when_the_answer_is_xml() -> None:
    client(Vendor(answer(captured("bool.xml")))).add_customer_to_group(7, 12)


def test_orders_are_read_when_they_come_as_datacontract_xml() -> None:
    (order,) = client(Vendor(answer(captured("orders.xml")))).get_orders_by_date(BEGIN)
    assert (order.order_id, order.customer, order.customer_comments) == (90011, None, "CB-invented-ref-1")


def test_every_order_is_read_when_one_names_a_shell_of_a_customer() -> None:
    orders = client(Vendor(answer(captured("orders_one_shell_customer.json")))).get_orders_by_date(BEGIN)
    assert [(order.order_id, order.customer is None) for order in orders] == [(90011, False), (90016, True)]


def test_every_order_is_read_when_they_have_each_status() -> None:
    orders = client(Vendor(answer(captured("orders_mixed_status.json")))).get_orders_by_date(BEGIN)
    assert [order.order_id for order in orders[:4]] == [90011, 90012, 90013, 90014]
    assert len({order.order_status for order in orders}) == len(orders)


def test_email_of_a_customer_without_an_id_is_kept_when_the_order_is_listed() -> None:
    row = {"Order ID": 3, "Customer": {"Customer ID": 0, "Email": "ola@example.test"}}
    (order,) = client(Vendor(answer([row]))).get_orders_by_date(BEGIN)
    assert isinstance(order, ListedOrder)
    assert (order.customer, order.customer_email) == (None, "ola@example.test")


# A query has 2,048 bytes at most


def test_addresses_are_cut_and_names_are_not_when_a_query_would_be_too_long(caplog: pytest.LogCaptureFixture) -> None:
    vendor = Vendor(answer(GOOD["addCustomer"]))
    name = "Ø" * 150
    fields = CustomerFields(
        email="jane@example.test", first_name=name, last_name="Doe", address_1="Gågata " * 60, city="Å" * 90
    )
    client(vendor).add_customer(fields)
    (asked,) = vendor.calls
    assert len(asked.url.partition("?")[2]) <= QUERY_LIMIT_BYTES
    assert (asked.query["FirstName"], asked.query["LastName"]) == (name, "Doe")
    assert asked.query["Address1"].startswith("Gågata Gågata")
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "Address1" in record.getMessage()
    assert "Gågata" not in record.getMessage()


def test_nothing_is_sent_and_the_field_named_when_a_name_alone_is_too_long() -> None:
    vendor = Vendor(answer(GOOD["addCustomer"]))
    with pytest.raises(InvalidRequestError) as caught:
        client(vendor).add_customer(CustomerFields(email="jane@example.test", last_name="Ø" * 400, city="Oslo"))
    assert (caught.value.sent, caught.value.retryable) == (False, False)
    assert "LastName alone has 2400 (400 characters)" in str(caught.value)
    assert vendor.calls == []
