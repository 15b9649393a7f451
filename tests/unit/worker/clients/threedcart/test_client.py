"""`worker.clients.threedcart.client`: what is asked for, what comes back, and which error an answer is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from limits.storage import MemoryStorage
from pydantic import SecretStr

from tests.unit.worker.clients.stub import Reply, StubTransport, answer
from worker.clients.base import ApiClient, CallLimits
from worker.clients.threedcart.client import ThreedcartClient
from worker.clients.threedcart.models import Cart, CartFields, ItemOption
from worker.clients.transport import NoAnswer
from worker.errors import (
    AnotherRecordError,
    ApiConnectionError,
    ApiError,
    ApiTimeoutError,
    AuthenticationError,
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnexpectedResponseError,
)
from worker.settings.settings import ThreedcartSettings
from worker.text.redaction import SecretBook

CAPTURES = Path(__file__).parents[4] / "captures" / "threedcart"
PRIVATE_KEY, TOKEN = "hunter2-private", "hunter2-token"
KEY = "6F027F81ggx48to"
HTML = b"<!DOCTYPE html><html><body>Runtime Error</body></html>"
CREATED = b'[{"Key":"OrderKey","Value":"6F027F81ggx48to","Status":"201","Message":"Created successfully",}]'
"""The document's own answer, trailing comma included."""
STORE = timezone(timedelta(hours=-5))


@dataclass(frozen=True)
class Access:
    base_url: str | None = "https://apirest.example.test/3dCartWebAPI/v2"
    secure_url: str | None = "store.example.test"
    private_key: SecretStr | None = SecretStr(PRIVATE_KEY)  # noqa: RUF009  (immutable)
    token: SecretStr | None = SecretStr(TOKEN)  # noqa: RUF009  (immutable)
    zone: tzinfo = STORE
    list_timeout_seconds: float = 120.0
    connect_timeout_seconds: float = 5.0
    read_timeout_seconds: float = 30.0
    requests_per_second: float = 0.0


def client(store: StubTransport, **options: Any) -> ThreedcartClient:
    book = SecretBook([PRIVATE_KEY, TOKEN])
    api = ApiClient("threedcart", base_url=str(Access().base_url), transport=store, redact=book.redact)
    return ThreedcartClient(Access(), api=api, **options)


def capture(name: str) -> Any:
    return json.loads((CAPTURES / name).read_text(encoding="utf-8"))


def told(status: object = "200", message: str = "done", *, key: str = "OrderKey", value: object = KEY) -> Any:
    return [{"Key": key, "Value": value, "Status": status, "Message": message}]


def raised(call: Callable[[ThreedcartClient], object], reply: Reply) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call(client(StubTransport(reply)))
    assert caught.value.system == "threedcart"
    return caught.value


READS: dict[str, Callable[[ThreedcartClient], object]] = {
    "retrieve_cart": lambda store: store.retrieve_cart(KEY),
    "retrieve/orders": lambda store: store.retrieve_order(7),
    "list/orders": lambda store: list(store.list_orders()),
}
CHANGES: dict[str, Callable[[ThreedcartClient], object]] = {
    "update_cart": lambda store: store.update_cart(KEY, CartFields()),
    "delete_cart": lambda store: store.delete_cart(KEY),
    "update_cart_item": lambda store: store.update_cart_item(KEY, 123, quantity=2),
    "delete_cart_item": lambda store: store.delete_cart_item(KEY, 123),
}
CREATES: dict[str, Callable[[ThreedcartClient], object]] = {
    "create_cart": lambda store: store.create_cart(CartFields()),
    "create_cart_item": lambda store: store.create_cart_item(KEY, 1234),
}


def test_a_client_cannot_be_made_when_something_is_not_set() -> None:
    for access in (Access(base_url=None), Access(secure_url=None), Access(private_key=None), Access(token=None)):
        with pytest.raises(ConfigurationError, match="CARTBRIDGE_THREEDCART__SECURE_URL"):
            ThreedcartClient(access)


def test_the_real_settings_are_understood_when_a_client_is_made() -> None:
    book = SecretBook()
    settings = ThreedcartSettings(
        secure_url="store.example", private_key=SecretStr(PRIVATE_KEY), token=SecretStr(TOKEN)
    )
    ThreedcartClient(settings, secrets=book).close()
    assert set(book.values()) == {PRIVATE_KEY, TOKEN}


def test_two_requests_a_second_are_kept_when_processes_share_a_store() -> None:
    settings = ThreedcartSettings(
        secure_url="store.example", private_key=SecretStr(PRIVATE_KEY), token=SecretStr(TOKEN)
    )
    storage = MemoryStorage()
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        storage.reset()

    for _ in range(2):
        api = ApiClient(
            "threedcart",
            base_url=str(settings.base_url),
            requests_per_second=settings.requests_per_second,
            storage=storage,
            transport=StubTransport(answer(told())),
            sleep=wait,
        )
        store = ThreedcartClient(settings, api=api)
        store.delete_cart(KEY)
        store.delete_cart(KEY)
    assert len(waits) == 1


def test_every_operation_is_sent_as_the_document_has_it_when_called() -> None:
    fields = CartFields(customer_id=7, billing_first_name="Ann", billing_address_2="b", shipment_phone="1")
    vendor_fields = {"CustomerId": 7, "BillingFirstName": "Ann", "BillingAddress2": "b", "ShipmentPhone": "1"}
    option = ItemOption(option_set_id=1, option_id=2, option_value="June")
    options = [{"OptionSetID": 1, "OptionID": 2, "OptionValue": "June"}]
    calls: list[tuple[Callable[[ThreedcartClient], object], str, Any, Any]] = [
        (lambda store: store.create_cart(fields), "/Cart", vendor_fields, KEY),
        (lambda store: store.update_cart(KEY, fields), f"/Cart/{KEY}", vendor_fields, None),
        (lambda store: store.delete_cart(KEY), f"/Cart/{KEY}", None, None),
        (
            lambda store: store.create_cart_item(KEY, 1234, quantity=Decimal("1.5"), options=[option]),
            f"/Cart/{KEY}/Item",
            {"CatalogID": 1234, "ItemQuantity": 1.5, "ItemOptions": options},
            123,
        ),
        (
            lambda store: store.create_cart_item(KEY, 1234),
            f"/Cart/{KEY}/Item",
            {"CatalogID": 1234, "ItemQuantity": 1},
            123,
        ),
        (
            lambda store: store.update_cart_item(KEY, 123, quantity=Decimal("2.0")),
            f"/Cart/{KEY}/Item/123",
            {"ItemQuantity": 2},
            None,
        ),
        (lambda store: store.delete_cart_item(KEY, 123), f"/Cart/{KEY}/Item/123", None, None),
    ]
    for call, path, body, result in calls:
        value = "123" if path.endswith("Item") else KEY
        store = StubTransport(answer(told(key="CartItemId" if value == "123" else "OrderKey", value=value), 201))
        assert call(client(store)) == result
        [asked] = store.asked
        assert (asked.path, asked.body) == (f"/3dCartWebAPI/v2{path}", body)
        names = ("SecureURL", "PrivateKey", "Token", "Accept")
        assert [asked.headers[name] for name in names] == [
            "store.example.test",
            PRIVATE_KEY,
            TOKEN,
            "application/json",
        ]


def test_a_cart_is_created_when_the_answer_is_the_document_s_own_or_a_lone_row() -> None:
    for body in (CREATED, told(201)[0], told("201")):
        assert client(StubTransport(answer(body, 201))).create_cart(CartFields()) == KEY


def test_what_keeps_a_field_from_being_written_is_an_error_when_fields_are_made() -> None:
    with pytest.raises(ValueError, match="extra"):
        CartFields.model_validate({"OrderKey": KEY})
    assert CartFields.model_validate({"BillingEmail": "a@b.test"}).document() == {"BillingEmail": "a@b.test"}


def test_a_cart_is_read_when_it_is_an_object_or_a_list_of_one() -> None:
    item = {"CatalogId": 1234, "CartItemID": "123", "ItemQuantity": 1.0, "ItemOptions": []}
    record = {
        "OrderKey": KEY.lower(),
        "BillingEmail": "a@b.test",
        "OrderAmount": "25.50",
        "CheckoutURL": "https://store.example.test/checkout.asp?key=very-secret",
        "CartItemList": [item, None],
        "New": 1,
    }
    for body in (record, [record]):
        cart = client(StubTransport(answer(body, 201))).retrieve_cart(KEY)
        assert (cart.order_key, cart.billing_email, cart.order_amount) == (KEY, "a@b.test", Decimal("25.50"))
        assert cart.cart_item_list is not None
        [read] = cart.cart_item_list
        assert (read.catalog_id, read.cart_item_id, read.item_quantity) == (1234, 123, Decimal("1.0"))
        assert "very-secret" in (cart.checkout_url or "")
        assert "very-secret" not in repr(cart)
        assert cart.model_extra == {"New": 1}
    alone = Cart.model_validate({"CartItemList": item})
    assert alone.cart_item_list is not None
    assert alone.cart_item_list[0].cart_item_id == 123
    sample = client(StubTransport(answer({"CustomerId": 1, "BillingFirstName": "sample string 1"}, 201)))
    read_back = sample.retrieve_cart(KEY)
    assert (read_back.order_key, read_back.cart_item_list) == (KEY, None)


def test_the_error_has_its_type_when_a_change_or_a_read_is_refused() -> None:
    kinds: list[tuple[Reply, type[ApiError], int]] = [
        (answer(told("400", "Bad request"), 400), InvalidRequestError, 400),
        (answer(told("401", "Authentication failure"), 401), AuthenticationError, 401),
        (answer(HTML, 401), AuthenticationError, 401),
        (answer(b"", 401), AuthenticationError, 401),
        (answer(told("403", "No"), 403), PermissionDeniedError, 403),
        (answer(told("404", "The requested Cart does not exist"), 404), NotFoundError, 404),
        (answer(told(404, "gone"), 200), NotFoundError, 404),
        (answer(told("401", "no scope"), 400), AuthenticationError, 401),
        (answer(told("400", "no")[0], 201), InvalidRequestError, 400),
        (answer({"Message": "Authorization has been denied"}, 401), AuthenticationError, 401),
        (answer(b"", 400), InvalidRequestError, 400),
        (answer(told("429", "Too many"), 429), RateLimitedError, 429),
    ]
    for name, call in (READS | CHANGES | CREATES).items():
        for reply, kind, status in kinds:
            if name == "list/orders" and status == 404:
                continue
            error = raised(call, reply)
            assert (type(error), error.status, error.operation) == (kind, status, name)
            assert error.outcome_unknown is False
            assert error.retryable is (kind is RateLimitedError)


def test_the_outcome_is_unknown_when_a_creation_s_answer_says_nothing_and_else_it_may_be_repeated() -> None:
    replies: list[tuple[Reply, type[ApiError]]] = [
        (answer(HTML, 500), ServerError),
        (answer(HTML, 200), UnexpectedResponseError),
        (answer(b"", 200), UnexpectedResponseError),
        (answer(b'[{"Key":', 201), UnexpectedResponseError),
        (answer(told("500", "Internal"), 200), ServerError),
        (NoAnswer("timeout", "ReadTimeout", sent=True), ApiTimeoutError),
        (NoAnswer("connection", "RemoteDisconnected", sent=True), ApiConnectionError),
    ]
    for call in (READS | CHANGES | CREATES).values():
        for reply, kind in replies:
            error = raised(call, reply)
            assert type(error) is kind, reply
            assert error.outcome_unknown is (call in CREATES.values())
            assert error.retryable is (call not in CREATES.values())
    for call in CREATES.values():
        for reply in (answer(HTML, 404), answer(told(value=""), 201), answer(told(value="../x"), 201), answer([], 201)):
            assert raised(call, reply).outcome_unknown
        error = raised(call, NoAnswer("connection", "refused", sent=False))
        assert (error.outcome_unknown, error.retryable) == (False, True)


def test_nothing_is_read_when_an_answer_is_for_something_else() -> None:
    for call, body, kind in (
        (READS["retrieve_cart"], [], NotFoundError),
        (READS["retrieve_cart"], {"Message": "Welcome"}, UnexpectedResponseError),
        (READS["retrieve_cart"], "a text", UnexpectedResponseError),
        (READS["retrieve_cart"], {"OrderKey": "another", "OrderAmount": 1}, UnexpectedResponseError),
        (READS["retrieve/orders"], [], NotFoundError),
        (READS["retrieve/orders"], [{"OrderID": 8}], AnotherRecordError),
        (READS["retrieve/orders"], [{"OrderStatusID": 8}], UnexpectedResponseError),
        (READS["list/orders"], {"OrderID": 8}, UnexpectedResponseError),
        (READS["list/orders"], [{"OrderID": 0}], UnexpectedResponseError),
    ):
        assert type(raised(call, answer(body))) is kind
    assert type(raised(READS["retrieve/orders"], answer(HTML, 404))) is NotFoundError
    assert client(StubTransport(answer(b"", 204))).delete_cart(KEY) is None  # type: ignore[func-returns-value]


def test_a_cart_is_gone_when_the_store_says_so_in_its_own_words_alone() -> None:
    reads_and_changes = (*CHANGES.items(), ("retrieve_cart", READS["retrieve_cart"]))
    for name, call in reads_and_changes:
        for body in (HTML, b"", {"Message": "No HTTP resource was found"}):
            error = raised(call, answer(body, 404))
            assert (type(error), error.status, error.retryable) == (UnexpectedResponseError, 404, True), name
        assert type(raised(call, answer(told("404", "The requested Cart does not exist"), 404))) is NotFoundError


def test_nothing_is_sent_when_an_order_key_is_none() -> None:
    for key in ("", "..", "a/b", "a?b", "x" * 65):
        store = StubTransport(answer(told()))
        with pytest.raises(InvalidRequestError) as caught:
            client(store).delete_cart(key)
        assert (store.asked, caught.value.sent) == ([], False)


def test_no_secret_shows_when_the_store_says_one() -> None:
    for body in (told("400", f"bad token {TOKEN} of {PRIVATE_KEY}"), HTML + TOKEN.encode()):
        error = raised(CREATES["create_cart"], answer(body, 400))
        assert not {TOKEN, PRIVATE_KEY} & set(str(error).split())
        assert "hunter2" not in f"{error!r} {error.__context__!r}"
    assert "hunter2" not in repr(client(StubTransport(answer([]))))


def test_the_limits_of_the_call_hold_when_it_is_sent() -> None:
    store = StubTransport(answer(told(201), 201))
    checked: list[bool] = []
    limits = CallLimits(before_send=lambda: checked.append(True), slot_taken=True)
    client(store).create_cart(CartFields(), limits=limits)
    assert checked == [True]
    assert store.asked[0].exchange.fresh_connection


# Orders


def past_the_end(status: int, http_status: int | None = None) -> Reply:
    body = told(str(status), "Offset amount exceeds the total number of records", value="")
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
