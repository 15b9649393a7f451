"""The 3dcart client and source over HTTP, against the sandbox's store, and its orders on to LearningCart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.faults.harness.product import Rig
from tests.unit.worker.web.asking import AppClient
from worker.cli.check.command import _print_findings
from worker.cli.check.probes import Finding, probe_all
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
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import deliveries, events, order_versions, orders
from worker.sandbox import Fault, Sandbox
from worker.settings.settings import Settings, load_settings
from worker.sources.order import Order, Payment
from worker.sources.source import NoOrderError, Page
from worker.sources.threedcart import ThreedcartSource
from worker.text.redaction import SecretBook
from worker.web.app import create_app

CAPTURES = Path(__file__).parents[2] / "captures" / "threedcart"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
URL_TOKEN = "planted-url-token-of-thirty-two-characters"
HOOK_SECRET = "planted-hook-secret"
OFFERS = """
[[offer]]
source = "threedcart"
sku = "FIRST-AID-101"
grants = [{ price_id = 701, group_ids = [30] }]
"""
FIELDS = CartFields(billing_first_name="Jane", billing_email="jane@example.test", shipment_city="Bergen")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as running:
        yield running


def settings_of(sandbox: Sandbox, **overrides: str) -> Settings:
    """Settings as an operator would write them."""
    variables = {"REQUESTS_PER_SECOND": "0", "ORDERS_ENABLED": "true"} | overrides
    named = {f"CARTBRIDGE_THREEDCART__{name}": value for name, value in variables.items()}
    return load_settings(sandbox.environment(systems=["threedcart"], **named), env_file=None)


@pytest.fixture
def connect(sandbox: Sandbox) -> Iterator[Callable[..., ThreedcartClient]]:
    """Make a client of the sandbox's store; keywords are settings."""
    with ExitStack() as stack:

        def make(**overrides: str) -> ThreedcartClient:
            client = ThreedcartClient(settings_of(sandbox, **overrides).threedcart, secrets=SecretBook())
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def client(connect: Callable[..., ThreedcartClient]) -> ThreedcartClient:
    return connect()


# Carts


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


def source_of(client: ThreedcartClient, settings: Settings) -> ThreedcartSource:
    return ThreedcartSource(client, zone=settings.threedcart.zone, clock=lambda: NOW)


def ids_of(pages: Iterator[Page]) -> list[str]:
    return [order.id for page in pages for order in page.orders]


def a_sale(**changes: Any) -> dict[str, Any]:
    item = {"CatalogID": 1234, "ItemID": "FIRST-AID-101", "ItemQuantity": 1.0, "ItemUnitPrice": 25.0}
    return {"OrderStatusID": 4, "BillingEmail": "jane@example.test", "OrderItemList": [item]} | changes


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
    def found(**overrides: str) -> Finding:
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


@pytest.fixture
def found_company(sandbox: Sandbox, tmp_path: Path) -> Iterator[Company]:
    """Make a company that sells by 3dcart alone; keywords are 3dcart's settings."""
    with ExitStack() as stack:

        def make(**overrides: str) -> Rig:
            url = f"sqlite:///{tmp_path}/ledger.db"
            ledger = Ledger(url)
            ledger.migrate()
            ledger.close()
            store = sandbox.environment(systems=["threedcart"])
            named = {
                "ORDERS_ENABLED": "true",
                "REQUESTS_PER_SECOND": "0",
                "START_AT": "2020-01-01",
                "WEBHOOK_SECRET": HOOK_SECRET,
            } | overrides
            variables = store | {f"CARTBRIDGE_THREEDCART__{name}": value for name, value in named.items()}
            rig = Rig(sandbox, url, tmp_path, clock=None, shared_clock=False, **variables)
            stack.callback(rig.close)
            (tmp_path / "offers.toml").write_text(OFFERS)
            return rig

        yield make


def post(rig: Rig, body: object, secret: str = HOOK_SECRET) -> int:
    """Send a webhook; the status of the answer."""
    web = AppClient(create_app(rig.settings, rig.runtime.ledger, rig.dispatcher, clock=rig.clock))
    try:
        return web.post("/webhooks/threedcart", json=body, headers={"X-Webhook-Secret": secret}).status_code
    finally:
        web.close()


def hook(rig: Rig, body: object = None) -> None:
    """Tell of order 7 as the store would, and do what the worker does that is told of it."""
    assert post(rig, {"OrderID": 7} if body is None else body) == 202
    rig.runtime.app.tasks["cartbridge.ingest"].apply(args=("threedcart", "7"), throw=True)


def poll(rig: Rig) -> None:
    """What the worker does with beat's message, an interval later."""
    rig.clock.move(300)
    rig.runtime.app.tasks["cartbridge.poll"].apply(args=("threedcart",), throw=True)


def states(rig: Rig) -> dict[str, tuple[str, str | None]]:
    return {row["key"]: (row["state"], row["reason"]) for row in rig.rows("runs")}


def recorded_orders(rig: Rig) -> dict[str, str]:
    with rig.runtime.ledger.read() as connection:
        return {row.order_id: row.state for row in connection.execute(select(orders))}


BUYER = "threedcart/7/1234-FIRST-AID-101/buyer/701"


@pytest.mark.parametrize("arrivals", [[hook], [poll], [hook, poll, hook, poll], [poll, hook, poll]])
def test_an_order_ends_in_one_comped_order_whatever_brings_it(found_company: Company, arrivals: list[Any]) -> None:
    rig = found_company()
    assert rig.runtime.app.conf.beat_schedule["poll_threedcart"]["args"] == ("threedcart",)
    rig.sandbox.threedcart.add_order(a_sale(OrderID=7))
    for arrive in arrivals:
        arrive(rig)
        rig.finish()
    assert states(rig) == {BUYER: ("succeeded", None)}
    assert [effect.facts["email"] for effect in rig.comped_orders] == ["jane@example.test"]
    assert recorded_orders(rig) == {"7": "planned"}


def test_an_order_is_provisioned_when_it_is_paid_and_asks_when_it_is_cancelled(found_company: Company) -> None:
    rig = found_company()
    rig.sandbox.threedcart.add_order(a_sale(OrderID=7, OrderStatusID=7))
    rig.sandbox.threedcart.add_order(a_sale(OrderID=8, OrderStatusID=9))
    poll(rig)
    assert recorded_orders(rig) == {"8": "review"}
    assert states(rig) == {"threedcart/8/-/-/unknown-status": ("review", "unknown_status")}
    rig.sandbox.threedcart.delete_order(8)
    for status_id, state in ((1, "waiting"), (11, "waiting"), (2, "planned"), (4, "planned"), (5, "cancelled")):
        rig.sandbox.threedcart.update_order(7, OrderStatusID=status_id)
        poll(rig)
        rig.finish()
        assert recorded_orders(rig)["7"] == state
    assert len(rig.comped_orders) == 1
    assert states(rig)[BUYER] == ("succeeded", None)
    assert states(rig)[f"{BUYER}/revoke"] == ("review", "cancelled_after_provisioning")


@pytest.mark.parametrize("trusts", ["false", "true"])
def test_the_vendor_s_test_is_taken_and_ignored_when_the_store_has_no_such_order(
    found_company: Company, trusts: str
) -> None:
    rig = found_company(TRUST_WEBHOOK=trusts)
    [body] = json.loads((CAPTURES / "webhook_test_order_1.json").read_text(encoding="utf-8"))
    assert post(rig, body) == 202
    rig.runtime.app.tasks["cartbridge.ingest"].apply(args=("threedcart", "1"), throw=True)
    with rig.runtime.ledger.read() as connection:
        [delivery] = connection.execute(select(deliveries)).all()
    assert (delivery.state, delivery.reason, delivery.body) == ("ignored", "test_notification", None)
    assert (recorded_orders(rig), states(rig)) == ({}, {})


@pytest.mark.parametrize("trusts", ["false", "true"])
@pytest.mark.parametrize("name", ["webhook_order_new.json", "webhook_order_status_change.json"])
def test_an_array_of_one_whole_order_gives_access_once_when_it_comes_to_the_secret_address(
    found_company: Company, name: str, trusts: str
) -> None:
    rig = found_company(TRUST_WEBHOOK=trusts, WEBHOOK_URL_TOKEN=URL_TOKEN)
    (rig.settings.offers_file).write_text(OFFERS.replace("FIRST-AID-101", "FA-COURSE-MAY"))
    body = (CAPTURES / name).read_bytes()
    [record] = json.loads(body)
    rig.sandbox.threedcart.add_order(record)
    web = AppClient(create_app(rig.settings, rig.runtime.ledger, rig.dispatcher, clock=rig.clock))
    try:
        for path, status in (("", 401), ("/another-token-altogether-0000000", 401), (f"/{URL_TOKEN}", 202)) * 2:
            answer = web.post(f"/webhooks/threedcart{path}", content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == status, path
    finally:
        web.close()
    rig.runtime.app.tasks["cartbridge.ingest"].apply(args=("threedcart", "1002"), throw=True)
    rig.finish()
    assert rig.sandbox.requests("threedcart") == (0 if trusts == "true" else 1)
    assert states(rig) == {"threedcart/1002/12-FA-COURSE-MAY/buyer/701": ("succeeded", None)}
    poll(rig)
    rig.finish()
    assert [effect.facts["email"] for effect in rig.comped_orders] == ["kari@prove.example"]
    with rig.runtime.ledger.read() as connection:
        kept = [connection.execute(select(table)).all() for table in (orders, order_versions, deliveries, events)]
    assert not any(secret in str(kept) for secret in ("192.0.2.7", "ABCDEFGHJKLMNPQ", "www.example", "0000000001"))


def test_a_completed_order_is_asked_about_a_day_later_when_it_shows_no_money(found_company: Company) -> None:
    rig = found_company()
    rig.sandbox.threedcart.add_order(a_sale(OrderID=7, OrderStatusID=1, BillingOnLinePayment=True))
    rig.sandbox.threedcart.add_order(a_sale(OrderID=8, OrderStatusID=1, OrderAmount=25.0))
    poll(rig)
    rig.finish()
    assert recorded_orders(rig) == {"7": "planned", "8": "waiting"}
    assert states(rig) == {BUYER: ("succeeded", None)}
    rig.clock.move(24 * 3600)
    rig.runtime.app.tasks["cartbridge.dispatch_due"].apply(throw=True)
    assert recorded_orders(rig)["8"] == "review"
    assert states(rig)["threedcart/8/-/-/payment-unproven"] == ("review", "payment_unproven")


def test_an_order_is_found_when_its_last_update_is_older_than_itself(found_company: Company) -> None:
    rig = found_company()
    made_at = (datetime.now(UTC) - timedelta(days=3)).replace(tzinfo=None).isoformat(timespec="seconds")
    stale = {"LastUpdate": "2020-01-01T00:00:00"}
    poll(rig)
    rig.sandbox.threedcart.add_order(a_sale(OrderID=7, **stale))
    poll(rig)
    assert recorded_orders(rig) == {"7": "planned"}
    rig.sandbox.threedcart.add_order(a_sale(OrderID=8, OrderStatusID=11, OrderDate=made_at, OrderAmount=5, **stale))
    rig.clock.move(24 * 3600)
    poll(rig)
    rig.sandbox.threedcart.update_order(8, OrderStatusID=4, **stale)
    rig.clock.move(24 * 3600)
    poll(rig)
    assert recorded_orders(rig) == {"7": "planned", "8": "planned"}


def test_further_seats_wait_for_a_name_when_several_are_bought(found_company: Company) -> None:
    rig = found_company(PAID_STATUSES="1")
    item = {"CatalogID": 1234, "ItemID": "FIRST-AID-101", "ItemQuantity": 3.0}
    book = {"CatalogID": 5, "ItemID": "BOOK", "ItemQuantity": 1.0}
    rig.sandbox.threedcart.add_order(a_sale(OrderID=7, OrderStatusID=1, OrderItemList=[item, book]))
    hook(rig)
    rig.finish()
    line = "threedcart/7/1234-FIRST-AID-101"
    assert states(rig) == {
        BUYER: ("succeeded", None),
        f"{line}/seat-2/unnamed": ("review", "unnamed_seat"),
        f"{line}/seat-3/unnamed": ("review", "unnamed_seat"),
        "threedcart/7/5-BOOK/buyer/unmapped": ("review", "unmapped_product"),
    }
    assert len(rig.comped_orders) == 1


def test_a_trusted_body_and_a_poll_name_the_same_seat_when_both_come(found_company: Company) -> None:
    rig = found_company(TRUST_WEBHOOK="true")
    record = rig.sandbox.threedcart.add_order(a_sale(OrderID=7))
    hook(rig, record)
    assert rig.sandbox.requests("threedcart") == 0
    rig.finish()
    poll(rig)
    rig.finish()
    assert states(rig) == {BUYER: ("succeeded", None)}
    assert len(rig.comped_orders) == 1


def test_nothing_is_recorded_when_a_checkout_was_not_completed_or_nobody_proves_who_he_is(
    found_company: Company,
) -> None:
    rig = found_company()
    rig.sandbox.threedcart.add_order(a_sale(OrderID=7, OrderStatusID=7))
    assert post(rig, {"OrderID": 7}, "another") == 401
    hook(rig)
    poll(rig)
    assert (recorded_orders(rig), states(rig)) == ({}, {})
    with rig.runtime.ledger.read() as connection:
        [delivery] = connection.execute(select(deliveries)).all()
    assert delivery.via == "webhook"
    assert "not completed" in delivery.note


def test_the_store_is_no_source_when_its_orders_are_not_enabled(found_company: Company) -> None:
    rig = found_company(ORDERS_ENABLED="false")
    assert set(rig.runtime.clients) >= {"threedcart", "learningcart"}
    assert "threedcart" not in rig.runtime.sources
    assert "poll_threedcart" not in rig.runtime.app.conf.beat_schedule
    assert post(rig, {"OrderID": 7}) == 404
    poll(rig)
    assert rig.sandbox.requests("threedcart") == 0
