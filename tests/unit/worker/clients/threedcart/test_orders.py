"""The 3dcart client's orders: asked for in the store's time, in pages that come in time, and read in any form."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.unit.worker.clients.stub import Reply, StubTransport, answer
from tests.unit.worker.clients.threedcart.store import HTML, KEY, READS, capture, client, raised, result_row
from worker.clients.base import CallLimits
from worker.clients.threedcart.models import CartFields
from worker.clients.transport import NoAnswer
from worker.errors import (
    ApiTimeoutError,
    InvalidRequestError,
    UnexpectedResponseError,
)


def past_the_end(status: int, http_status: int | None = None) -> Reply:
    body = result_row(str(status), "Offset amount exceeds the total number of records", value="")
    return answer(body, http_status or status)


def test_orders_are_asked_for_in_store_time_from_offset_1_when_listed() -> None:
    store = StubTransport(answer([{"OrderID": "7", "CardNumber": "4111", "PaymentTokenID": "t"}]), past_the_end(404))
    since = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
    [order] = client(store).list_orders(date_start=since, last_update_start=since, limit=50)
    assert order.id == 7
    assert not {"4111", "t"} & set(map(str, (order.model_extra or {}).values()))
    assert [asked.query for asked in store.asked] == [
        {
            "datestart": "02/28/2026 21:30:00",
            "lastupdatestart": "02/28/2026 21:30:00",
            "limit": "50",
            "offset": offset,
        }
        for offset in ("1", "2")
    ]


def test_orders_are_asked_for_by_status_and_email_when_these_are_given() -> None:
    store = StubTransport(past_the_end(404))
    assert list(client(store).list_orders(order_status=7, billing_email="a+b@example.test")) == []
    assert store.asked[0].query == {
        "orderstatus": "7",
        "billingemail": "a+b@example.test",
        "limit": "100",
        "offset": "1",
    }


def test_a_list_alone_is_waited_for_as_long_as_the_vendor_needs() -> None:
    store = StubTransport(past_the_end(404))
    list(client(store).list_orders())
    list(client(store).list_orders(limits=CallLimits(deadline_seconds=7)))
    slow = StubTransport(answer([{"OrderID": 7}]))
    client(slow).retrieve_order(7)
    waited = [asked.exchange for asked in (*store.asked, *slow.asked)]
    assert [each.read_timeout_seconds for each in waited] == [120.0, 30.0, 30.0]
    assert [round(each.deadline - each.started) for each in waited] == [125, 7, 35]


def test_smaller_pages_are_asked_for_from_then_on_when_one_came_too_late() -> None:
    late: list[Reply] = [NoAnswer("timeout", "ReadTimeout", sent=True), answer(HTML, 504)]
    store = StubTransport(*late, answer([{"OrderID": 7}]), past_the_end(404), past_the_end(404))
    slow = client(store)
    assert [order.id for order in slow.list_orders()] == [7]
    assert list(slow.list_orders()) == []
    asked = [(asked.query["offset"], asked.query["limit"]) for asked in store.asked]
    assert asked == [("1", "100"), ("1", "25"), ("1", "10"), ("2", "10"), ("1", "10")]
    with pytest.raises(ApiTimeoutError):
        list(client(StubTransport(late[0])).list_orders())


def test_the_store_s_labels_are_read_when_its_statuses_are_listed() -> None:
    found = client(StubTransport(answer(capture("order_status_list.json")))).list_order_statuses()
    labels = {status.order_status_id: status.label for status in found}
    assert (labels[1], labels[8], labels[9], labels[13]) == ("New", "Paid, access sent", "Refunded", "Review")
    assert list(labels) == [*range(1, 12), 13]
    bare = client(StubTransport(answer([{"OrderStatusID": "3", "StatusDefinition": "Partial"}]))).list_order_statuses()
    assert [(status.order_status_id, status.label) for status in bare] == [(3, "Partial")]
    for body in ({"OrderStatusID": 1}, [{"StatusText": "New"}]):
        with pytest.raises(UnexpectedResponseError):
            client(StubTransport(answer(body))).list_order_statuses()


def test_captured_answers_are_read_when_they_come() -> None:
    for name in ("error_offset_400.json", "error_no_orders_404.json"):
        status = 400 if "400" in name else 404
        assert list(client(StubTransport(answer(capture(name), status))).list_orders()) == []
    refused = raised(READS["list/orders"], answer(capture("error_status_refused_400.json"), 400))
    assert (type(refused), "Not updated" in refused.message) == (InvalidRequestError, True)
    assert type(raised(READS["list/orders"], answer(capture("orders_count.json")))) is UnexpectedResponseError
    store = client(StubTransport(answer(capture("put_ok_200.json"))))
    store.update_cart(KEY, CartFields())
    cart = client(StubTransport(answer(capture("cart_get_200_array.json")))).retrieve_cart("ABCDEFGHJKLMNPQ")
    assert cart.cart_item_list is not None
    assert (cart.billing_email, cart.cart_item_list[0].catalog_id) == ("kari@prove.example", 12)
    for name in ("order_full.json", "order_stale_last_update.json", "not_completed_7.json"):
        [row] = capture(name)
        assert client(StubTransport(answer([row]))).retrieve_order(row["OrderID"]).order_key is not None
    listed = list(client(StubTransport(answer(capture("orders_every_status.json")), past_the_end(400))).list_orders())
    assert [order.order_status_id for order in listed] == [*range(1, 14), 21]


def test_a_list_ends_when_it_is_past_the_end_in_any_form() -> None:
    for end in (past_the_end(404), past_the_end(400), past_the_end(400, 200), answer([]), answer([], 404)):
        assert list(client(StubTransport(end)).list_orders()) == []
        [order] = client(StubTransport(answer([{"OrderID": 7}]), end)).list_orders()
        assert order.id == 7


def test_a_list_fails_when_its_address_is_wrong_or_it_never_ends() -> None:
    for body in (HTML, {"Message": "No HTTP resource was found"}):
        error = raised(READS["list/orders"], answer(body, 404))
        assert "check the base URL" in str(error)
    with pytest.raises(UnexpectedResponseError, match="alike"):
        list(client(StubTransport(answer([{"OrderID": 7}]))).list_orders(limit=1))


def test_an_order_is_read_when_it_is_a_list_of_one_or_an_object() -> None:
    record = {"OrderID": 7, "OrderStatusID": "4", "OrderItemList": [{"CatalogID": 0, "ItemID": "A"}], "BillingEmail": 1}
    for body in (record, [record]):
        order = client(StubTransport(answer(body))).retrieve_order(7)
        assert (order.id, order.order_status_id, order.billing_email) == (7, 4, "1")
        assert order.order_item_list is not None
        assert (order.order_item_list[0].catalog_id, order.order_item_list[0].item_id) == (None, "A")
