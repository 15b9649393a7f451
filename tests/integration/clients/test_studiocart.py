"""The Studiocart client and source over HTTP, against the sandbox's shop: every operation of the vendor's document."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from worker.cli.app import app
from worker.clients.studiocart.client import StudiocartClient
from worker.errors import ApiError, AuthenticationError, NotFoundError
from worker.sandbox import Fault, Sandbox
from worker.settings.settings import load_settings
from worker.sources.studiocart import StudiocartSource
from worker.sources.subscription import Access
from worker.text.redaction import SecretRegistry

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
Connect = Callable[..., StudiocartClient]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as running:
        yield running


@pytest.fixture
def connect(sandbox: Sandbox) -> Iterator[Connect]:
    """Make a client of the sandbox's shop; keywords are settings."""
    with ExitStack() as stack:

        def make(**overrides: str) -> StudiocartClient:
            named = {f"CARTBRIDGE_STUDIOCART__{name}": value for name, value in overrides.items()}
            named.setdefault("CARTBRIDGE_STUDIOCART__REQUESTS_PER_SECOND", "0")
            settings = load_settings(sandbox.environment(systems=["studiocart"], **named), env_file=None)
            client = StudiocartClient(settings.studiocart, secrets=SecretRegistry())
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def client(connect: Connect) -> StudiocartClient:
    return connect()


@pytest.mark.parametrize("parameters_in", ["body", "query"])
@pytest.mark.parametrize("empty_list", ["404", "[]"])
def test_orders_are_walked_whole_when_they_fill_pages(
    sandbox: Sandbox, connect: Connect, parameters_in: Any, empty_list: Any
) -> None:
    sandbox.config.studiocart.parameters_in = parameters_in
    sandbox.config.studiocart.empty_list = empty_list
    client = connect(PARAMETERS_IN=parameters_in)
    made = [sandbox.studiocart.add_order({})["id"] for _ in range(4)]
    assert [order.id for order in client.list_orders(per_page=2, orderby="id", order="desc")] == [*made[::-1], 1109]
    pages = client.iter_order_pages(per_page=3, orderby="id", order="asc")
    assert [[order.id for order in page] for page in pages] == [[1109, *made[:2]], made[2:]]
    assert [order.id for order in client.list_orders(date_after=date(2023, 5, 28))] == made[::-1]
    assert client.retrieve_order(1109).customer_email == "janedoe@email.com"


def test_subscriptions_and_their_orders_are_read_when_the_shop_has_them(
    sandbox: Sandbox, client: StudiocartClient
) -> None:
    renewal = sandbox.studiocart.add_renewal(1108)
    assert [order.id for order in client.list_subscription_orders(1108, orderby="id", order="asc")] == [
        1109,
        renewal["id"],
    ]
    assert list(client.list_subscription_orders(7)) == []
    [subscription] = client.list_subscriptions()
    assert subscription == client.retrieve_subscription(1108)
    assert [invoice.id for invoice in subscription.invoices or ()] == [1109, renewal["id"]]
    newer = sandbox.studiocart.add_subscription({"invoices": [sandbox.studiocart.add_order({})["id"]]})
    sandbox.clock.shift(60)  # the site's moments are whole seconds
    sandbox.studiocart.update_subscription(1108, status="paused")
    pages = client.iter_subscription_pages(per_page=1, orderby="date_modified", order="desc")
    assert [[each.id for each in page] for page in pages] == [[1108], [newer["id"]]]


def test_customers_and_products_are_read_when_the_shop_has_them(sandbox: Sandbox, client: StudiocartClient) -> None:
    customers = list(client.list_customers(per_page=1))
    assert {each.id: each.email for each in customers} == {1: "janedoe@email.com", 2: "john@email.com"}
    assert client.retrieve_customer(1) in customers
    sandbox.studiocart.add_product({"id": 1107, "name": "SC Product 1", "plans": []})
    products = list(client.list_products(per_page=1, orderby="product_name", order="asc"))
    assert [product.name for product in products] == ["SC Product 1", "SC Product 2"]
    assert client.retrieve_product(1130) == products[1]


def test_record_is_not_found_when_the_shop_has_none_of_that_id(client: StudiocartClient) -> None:
    asks: list[Callable[[int], object]] = [
        client.retrieve_order,
        client.retrieve_subscription,
        client.retrieve_customer,
        client.retrieve_product,
    ]
    for ask in asks:
        with pytest.raises(NotFoundError):
            ask(7)


def test_key_is_told_to_be_wrong_when_it_is(connect: Connect) -> None:
    with pytest.raises(AuthenticationError) as caught:
        next(connect(API_KEY="planted-wrong-key").list_products())
    assert "planted" not in f"{caught.value!r}"


def test_subscriptions_become_ours_when_they_come_over_the_wire(sandbox: Sandbox, client: StudiocartClient) -> None:
    source = StudiocartSource(client, clock=lambda: NOW)
    plan = {"id": "price_1N4iASSEsjR3TKDuTSloXYv5", "installments": "1"}
    sandbox.studiocart.add_product({"id": 1107, "name": " SC  Product 1 ", "plans": [plan]})
    [page] = source.subscription_pages()
    [subscription] = page.subscriptions
    assert (subscription.access, subscription.installments, page.fetched_at) == (Access.COMPLETE, 1, NOW)
    [order] = source.annotate([source.fetch("1109")])
    assert (order.subscription, order.renewal) == (subscription, False)
    assert "subscription" not in order.model_dump()
    shown = sandbox.studiocart.subscriptions[0]["invoices"]
    sandbox.studiocart.update_subscription(1108, invoices=None)
    sandbox.inject(Fault("studiocart", "list_subscription_orders", "status", status=503))
    with pytest.raises(ApiError):
        list(source.subscription_pages())
    sandbox.studiocart.update_subscription(1108, invoices=shown)
    assert source.product_names() == {"1107": "SC Product 1", "1130": "SC Product 2"}


@pytest.mark.parametrize(("status", "is_refused"), [(404, False), (500, True)])
def test_shop_has_no_subscriptions_when_it_does_not_know_them(
    sandbox: Sandbox, client: StudiocartClient, status: int, is_refused: bool
) -> None:
    sandbox.inject(Fault("studiocart", "list_subscriptions", "status", status=status, times=None))
    source = StudiocartSource(client, clock=lambda: NOW)
    if is_refused:
        with pytest.raises(ApiError):
            list(source.subscription_pages())
    else:
        assert list(source.subscription_pages()) == []


@pytest.mark.parametrize(
    ("operations", "expected_text"),
    [
        ((), "listed order 1109"),
        (("list_subscriptions", "retrieve_customer"), "listed order 1109; cannot read its subscriptions and customers"),
    ],
)
def test_check_tells_what_the_key_may_not_read_when_the_shop_refuses(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, operations: tuple[str, ...], expected_text: str
) -> None:
    for name, value in sandbox.environment(systems=["studiocart"]).items():
        monkeypatch.setenv(name, value)
    for operation in operations:
        sandbox.inject(Fault("studiocart", operation, "status", status=403, times=None))
    result = CliRunner().invoke(app, ["check", "--json"])
    [finding] = [each for each in json.loads(result.stdout)["findings"] if each["name"] == "studiocart"]
    assert (finding["accepted"], finding["detail"]) == (True, expected_text)
