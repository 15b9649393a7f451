"""`worker.clients.threedcart.client`: what is asked for, what comes back, and which error an answer is."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr

from tests.unit.worker.clients.stub import Reply, SlotsInMemory, StubTransport, answer
from tests.unit.worker.clients.threedcart.store import (
    CHANGES,
    CREATED,
    CREATES,
    HTML,
    KEY,
    PRIVATE_KEY,
    READS,
    TOKEN,
    Access,
    client,
    raised,
    result_row,
)
from worker.clients.base import ApiClient, CallLimits
from worker.clients.rate import RateLimit
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
from worker.text.redaction import SecretRegistry


def test_a_client_cannot_be_made_when_something_is_not_set() -> None:
    for access in (Access(base_url=None), Access(secure_url=None), Access(private_key=None), Access(token=None)):
        with pytest.raises(ConfigurationError, match="CARTBRIDGE_THREEDCART__SECURE_URL"):
            ThreedcartClient(access)


def test_the_real_settings_are_understood_when_a_client_is_made() -> None:
    registry = SecretRegistry()
    settings = ThreedcartSettings(
        secure_url="store.example", private_key=SecretStr(PRIVATE_KEY), token=SecretStr(TOKEN)
    )
    ThreedcartClient(settings, secrets=registry).close()
    assert set(registry.values()) == {PRIVATE_KEY, TOKEN}


def test_two_requests_a_second_are_kept_when_processes_share_a_store() -> None:
    settings = ThreedcartSettings(
        secure_url="store.example", private_key=SecretStr(PRIVATE_KEY), token=SecretStr(TOKEN)
    )
    slots = SlotsInMemory()
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        slots.forget()

    for _ in range(2):
        api = ApiClient(
            "threedcart",
            base_url=str(settings.base_url),
            rate_limit=RateLimit("threedcart", settings.requests_per_second, shared=slots, sleep=wait),
            transport=StubTransport(answer(result_row())),
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
        store = StubTransport(answer(result_row(key="CartItemId" if value == "123" else "OrderKey", value=value), 201))
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
    for body in (CREATED, result_row(201)[0], result_row("201")):
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
        (answer(result_row("400", "Bad request"), 400), InvalidRequestError, 400),
        (answer(result_row("401", "Authentication failure"), 401), AuthenticationError, 401),
        (answer(HTML, 401), AuthenticationError, 401),
        (answer(b"", 401), AuthenticationError, 401),
        (answer(result_row("403", "No"), 403), PermissionDeniedError, 403),
        (answer(result_row("404", "The requested Cart does not exist"), 404), NotFoundError, 404),
        (answer(result_row(404, "gone"), 200), NotFoundError, 404),
        (answer(result_row("401", "no scope"), 400), AuthenticationError, 401),
        (answer(result_row("400", "no")[0], 201), InvalidRequestError, 400),
        (answer({"Message": "Authorization has been denied"}, 401), AuthenticationError, 401),
        (answer(b"", 400), InvalidRequestError, 400),
        (answer(result_row("429", "Too many"), 429), RateLimitedError, 429),
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
        (answer(result_row("500", "Internal"), 200), ServerError),
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
        for reply in (
            answer(HTML, 404),
            answer(result_row(value=""), 201),
            answer(result_row(value="../x"), 201),
            answer([], 201),
        ):
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
        assert type(raised(call, answer(result_row("404", "The requested Cart does not exist"), 404))) is NotFoundError


def test_nothing_is_sent_when_an_order_key_is_none() -> None:
    for key in ("", "..", "a/b", "a?b", "x" * 65):
        store = StubTransport(answer(result_row()))
        with pytest.raises(InvalidRequestError) as caught:
            client(store).delete_cart(key)
        assert (store.asked, caught.value.sent) == ([], False)


def test_no_secret_shows_when_the_store_says_one() -> None:
    for body in (result_row("400", f"bad token {TOKEN} of {PRIVATE_KEY}"), HTML + TOKEN.encode()):
        error = raised(CREATES["create_cart"], answer(body, 400))
        assert not {TOKEN, PRIVATE_KEY} & set(str(error).split())
        assert "hunter2" not in f"{error!r} {error.__context__!r}"
    assert "hunter2" not in repr(client(StubTransport(answer([]))))


def test_the_limits_of_the_call_hold_when_it_is_sent() -> None:
    store = StubTransport(answer(result_row(201), 201))
    checked: list[bool] = []
    limits = CallLimits(before_send=lambda: checked.append(True), slot_taken=True)
    client(store).create_cart(CartFields(), limits=limits)
    assert checked == [True]
    assert store.asked[0].exchange.fresh_connection


# Orders
