"""The 3dcart client and source over HTTP, against the sandbox's store, and its orders on to LearningCart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.faults.harness.product import Rig
from tests.integration.clients.threedcart_store import FIELDS, a_sale, ids_of, settings_of, source_of
from worker.cli.check.command import _print_findings
from worker.cli.check.probes import ProbeResult, probe_all
from worker.clients.threedcart.client import ThreedcartClient
from worker.clients.threedcart.models import CartFields, ItemOption
from worker.errors import (
    ApiConnectionError,
    ApiError,
    AuthenticationError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnexpectedResponseError,
)
from worker.sandbox import Fault, Sandbox
from worker.sources.order import Order, Payment
from worker.sources.source import NoOrderError
from worker.text.redaction import SecretRegistry

# Carts


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as running:
        yield running


@pytest.fixture
def connect(sandbox: Sandbox) -> Iterator[Callable[..., ThreedcartClient]]:
    """Make a client of the sandbox's store; keywords are settings."""
    with ExitStack() as stack:

        def make(**overrides: str) -> ThreedcartClient:
            client = ThreedcartClient(settings_of(sandbox, **overrides).threedcart, secrets=SecretRegistry())
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def client(connect: Callable[..., ThreedcartClient]) -> ThreedcartClient:
    return connect()


@pytest.mark.parametrize("cart_form", ["object", "list"])
def test_a_cart_is_made_filled_read_and_deleted_when_the_store_answers(
    sandbox: Sandbox, client: ThreedcartClient, cart_form: Any
) -> None:
    sandbox.config.threedcart.cart_form = cart_form
    key = client.create_cart(FIELDS)
    option = ItemOption(option_set_id=3, option_id=4, option_value="June")
    item_id = client.create_cart_item(key, 1234, options=[option])
    client.update_cart(key, CartFields(billing_email="ann@example.test"))
    client.update_cart_item(key, item_id, quantity=Decimal("2.5"))
    cart = client.retrieve_cart(key)
    assert (cart.order_key, cart.billing_first_name, cart.billing_email) == (key, "Jane", "ann@example.test")
    assert (cart.shipment_city, cart.order_amount) == ("Bergen", Decimal("62.5"))
    assert key in (cart.checkout_url or "")
    assert cart.cart_item_list is not None
    [item] = cart.cart_item_list
    assert (item.catalog_id, item.cart_item_id, item.item_id) == (1234, item_id, "SKU-1234")
    assert item.item_quantity == Decimal("2.5")
    assert item.model_extra == {"ItemOptions": [option.document()]}
    client.delete_cart_item(key, item_id)
    assert client.retrieve_cart(key).cart_item_list == ()
    client.delete_cart(key)
    assert sandbox.threedcart.carts == {}
    for gone in (
        lambda: client.retrieve_cart(key),
        lambda: client.update_cart(key, FIELDS),
        lambda: client.delete_cart(key),
        lambda: client.create_cart_item(key, 1234),
        lambda: client.update_cart_item(key, item_id, quantity=1),
        lambda: client.delete_cart_item(key, item_id),
    ):
        with pytest.raises(NotFoundError):
            gone()


def test_the_store_s_word_is_told_when_it_refuses(
    sandbox: Sandbox, client: ThreedcartClient, connect: Callable[..., ThreedcartClient]
) -> None:
    key = client.create_cart(FIELDS)
    sandbox.config.threedcart.catalog_ids = frozenset({1})
    with pytest.raises(InvalidRequestError, match="CatalogID is not valid"):
        client.create_cart_item(key, 2)
    with pytest.raises(InvalidRequestError, match="ItemOptions is not valid"):
        client.create_cart_item(key, 1, options=[ItemOption.model_construct(option_id="June")])  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="ItemQuantity is not valid"):
        client.create_cart_item(key, 1, quantity=0)
    foreign = connect(TOKEN="sandbox-key-of-another-store")
    with pytest.raises(AuthenticationError) as caught:
        foreign.create_cart(FIELDS)
    assert "sandbox-key" not in f"{caught.value!r}"
    sandbox.config.threedcart.requests_per_second = 1
    with pytest.raises(RateLimitedError):
        [client.retrieve_cart(key) for _ in range(3)]


def test_a_creation_s_outcome_is_unknown_when_its_answer_is_lost(sandbox: Sandbox, client: ThreedcartClient) -> None:
    key = client.create_cart(FIELDS)
    faults: list[tuple[Fault, type[ApiError]]] = [
        (Fault("threedcart", "create_cart_item", "cut"), ApiConnectionError),
        (Fault("threedcart", "create_cart_item", "html"), UnexpectedResponseError),
        (Fault("threedcart", "create_cart_item", "status", status=500), ServerError),
        (Fault("threedcart", "create_cart_item", "half_answer"), UnexpectedResponseError),
        (Fault("threedcart", "create_cart_item", "empty"), UnexpectedResponseError),
    ]
    for fault, kind in faults:
        sandbox.inject(fault)
        with pytest.raises(kind) as caught:
            client.create_cart_item(key, 1234)
        assert caught.value.outcome_unknown
    items = client.retrieve_cart(key).cart_item_list
    assert items is not None
    assert len(items) == len(faults)
    for fault, kind in faults:
        sandbox.inject(replace(fault, operation="delete_cart_item"))
        [first, *_] = client.retrieve_cart(key).cart_item_list or ()
        with pytest.raises(kind) as caught:
            client.delete_cart_item(key, first.cart_item_id or 0)
        assert (caught.value.retryable, caught.value.outcome_unknown) == (True, False)
        with pytest.raises(NotFoundError):
            client.delete_cart_item(key, first.cart_item_id or 0)


# Orders


def test_all_orders_are_walked_when_they_fill_several_pages(sandbox: Sandbox, client: ThreedcartClient) -> None:
    for number in range(1, 31):
        sandbox.threedcart.add_order(a_sale(OrderID=number, OrderStatusID=7 if number == 9 else 4))
    assert [order.id for order in client.list_orders(limit=7)] == list(range(1, 31))
    settings = settings_of(sandbox)
    walked = ids_of(source_of(client, settings).walk_since(datetime.now(UTC)))
    assert walked == [str(number) for number in range(1, 31) if number != 9]
    sandbox.inject(Fault("threedcart", "list_orders", "status", status=404, times=None))
    with pytest.raises(UnexpectedResponseError, match="check the base URL"):
        list(client.list_orders())


def test_moments_are_asked_for_in_the_store_s_zone_when_orders_are_walked(
    sandbox: Sandbox, connect: Callable[..., ThreedcartClient]
) -> None:
    made = {"OrderDate": "2026-01-01T09:00:00", "LastUpdate": "2026-02-27T20:00:00"}
    sandbox.threedcart.add_order(a_sale(OrderID=1, **made))
    since = datetime(2026, 2, 28, 1, tzinfo=UTC)
    for zone, found in (("-05:00", [1]), ("America/New_York", [1]), ("-04:00", []), ("UTC", [])):
        client = connect(TIME_ZONE=zone)
        assert [order.id for order in client.list_orders(last_update_start=since)] == found
        assert list(client.list_orders(date_start=since)) == []
        ours = source_of(client, settings_of(sandbox, TIME_ZONE=zone))
        assert ids_of(ours.walk_changed(since)) == ["1"], "a zone set wrong loses no order"
        assert ids_of(ours.walk_since(since)) == []
    assert source_of(connect(), settings_of(sandbox)).fetch("1").created_at == datetime(2026, 1, 1, 14, tzinfo=UTC)


def test_one_order_is_fetched_as_it_is_now_when_asked_for(sandbox: Sandbox, client: ThreedcartClient) -> None:
    ours = source_of(client, settings_of(sandbox))
    sandbox.threedcart.add_order(a_sale(OrderID=7, OrderStatusID=7))
    with pytest.raises(NoOrderError):
        ours.fetch("7")
    with pytest.raises(NotFoundError):
        ours.fetch("8")
    sandbox.threedcart.update_order(7, OrderStatusID=11)
    assert ours.fetch("7").payment is Payment.WAITING
    sandbox.threedcart.update_order(7, OrderStatusID=2)
    order: Order = ours.fetch("7")
    assert (order.payment, order.lines[0].seats[0].learner) == (Payment.PAID, order.lines[0].seats[0].learner)
    assert order.lines[0].product.sku == "FIRST-AID-101"
    assert client.retrieve_order(7).id == 7


def test_check_asks_for_one_order_when_orders_are_enabled(sandbox: Sandbox, tmp_path: Path) -> None:
    def found(**overrides: str) -> ProbeResult:
        settings = settings_of(sandbox, **overrides).model_copy(update={"offers_file": tmp_path / "offers.toml"})
        return next(each for each in probe_all(settings) if each.name == "threedcart")

    assert (found().works, found().detail) == (True, "has no orders yet")
    sandbox.threedcart.add_order(a_sale(OrderID=7))
    assert found().detail == "listed order 7"
    refused = found(PRIVATE_KEY="another-key-altogether")
    assert (refused.reachable, refused.accepted) == (True, False)
    assert "CARTBRIDGE_THREEDCART__PRIVATE_KEY" in refused.next_step
    assert "no unused cart is deleted" in refused.next_step
    off = found(ORDERS_ENABLED="false")
    assert (off.works, off.detail.startswith("looked for a cart; deletes no unused cart")) == (True, True)


def test_check_shows_how_each_status_is_read_when_the_store_tells_its_labels(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sandbox.config.threedcart.status_labels |= {8: "Paid, access sent", 9: "Refunded"}
    settings = settings_of(sandbox, PAID_STATUSES="2,4,8,30")
    settings = settings.model_copy(update={"offers_file": tmp_path / "offers.toml"})
    finding = next(each for each in probe_all(settings) if each.name == "threedcart")
    read = {each.id: (each.label, each.reading) for each in finding.order_statuses}
    assert read["8"] == ("Paid, access sent", "paid")
    assert read["9"] == ("Refunded", "a question (unknown_status)")
    assert read["1"] == (
        "New",
        "paid where money was taken or nothing is to pay, else it waits, and is a question after 24 hours",
    )
    assert (read["7"][1].partition(":")[0], read["13"], read["21"], read["30"]) == (
        "no order",
        ("Review", "unpaid: it waits"),
        ("", "unpaid: it waits"),
        ("", "paid"),
    )
    _print_findings([finding], [], "", ok=True)
    printed = capsys.readouterr().out
    assert "threedcart status" in printed
    assert "Paid, access sent" in printed
    sandbox.config.threedcart.status_labels_readable = False
    sandbox.inject(Fault("threedcart", "list_orders", "status", status=403, times=None, match={"orderstatus": "7"}))
    finding = next(each for each in probe_all(settings) if each.name == "threedcart")
    assert (finding.works, finding.order_statuses) == (True, ())
    assert finding.detail == (
        "has no orders yet; cannot list its unfinished orders, so no unused cart is deleted; "
        "cannot read the labels of its order statuses"
    )


def test_labels_are_listed_when_the_token_may_read_them(sandbox: Sandbox, client: ThreedcartClient) -> None:
    sandbox.config.threedcart.status_labels = {8: "Paid, access sent", 1: "New"}
    assert [(each.order_status_id, each.label) for each in client.list_order_statuses()] == [
        (1, "New"),
        (8, "Paid, access sent"),
    ]
    sandbox.config.threedcart.status_labels_readable = False
    with pytest.raises(PermissionDeniedError):
        client.list_order_statuses()


def test_smaller_pages_are_walked_when_large_ones_come_too_late(
    sandbox: Sandbox, connect: Callable[..., ThreedcartClient]
) -> None:
    for number in range(1, 61):
        sandbox.threedcart.add_order(a_sale(OrderID=number))
    for limit in ("100", "25"):
        sandbox.inject(Fault("threedcart", "list_orders", "status", status=504, times=None, match={"limit": limit}))
    client = connect()
    settings = settings_of(sandbox)
    for _ in range(2):
        walked = ids_of(source_of(client, settings).walk_since(datetime.now(UTC)))
        assert walked == [str(number) for number in range(1, 61)]
    assert sandbox.faults_hit == 2


# To LearningCart

Company = Callable[..., Rig]
