"""The Frontcore client and source over HTTP, against the sandbox's account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from worker.clients.frontcore.client import FrontcoreClient
from worker.errors import ApiConnectionError, AuthenticationError, NotFoundError, RateLimitedError
from worker.sandbox import Fault, Sandbox
from worker.settings.settings import load_settings
from worker.sources.frontcore import FrontcoreSource
from worker.sources.order import Order, Payment
from worker.sources.source import Page
from worker.text.redaction import SecretRegistry

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as running:
        yield running


@pytest.fixture
def connect(sandbox: Sandbox) -> Iterator[Callable[..., FrontcoreClient]]:
    """Make a client of the sandbox's account, from settings as an operator would write them."""
    clients: list[FrontcoreClient] = []

    def make(**overrides: str) -> FrontcoreClient:
        variables = {f"CARTBRIDGE_FRONTCORE__{name}": value for name, value in overrides.items()}
        variables.setdefault("CARTBRIDGE_FRONTCORE__REQUESTS_PER_SECOND", "0")
        environment = sandbox.environment(systems=["frontcore"], **variables)
        settings = load_settings(environment, env_file=None)
        clients.append(FrontcoreClient(settings.frontcore, secrets=SecretRegistry()))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(connect: Callable[..., FrontcoreClient]) -> FrontcoreClient:
    return connect()


def source_of(client: FrontcoreClient) -> FrontcoreSource:
    return FrontcoreSource(client, provision_when="paid", clock=lambda: NOW)


def orders_of(pages: Iterator[Page]) -> list[Order]:
    return [order for page in pages for order in page.orders]


def test_the_document_s_orders_become_ours_when_they_come_over_the_wire(client: FrontcoreClient) -> None:
    first, second = orders_of(source_of(client).walk_newest())
    assert (first.id, first.payment, second.id, second.payment) == ("27244", Payment.PAID, "27243", Payment.WAITING)
    assert [line.seats[0].id for line in first.lines + second.lines] == [
        "participant-124920-user-154420",
        "participant-124918-user-154418",
    ]
    assert second.lines[0].seats[0].learner is not None
    assert source_of(client).fetch("27244") == first


def test_what_is_included_reaches_us_when_nothing_else_is_said(sandbox: Sandbox, client: FrontcoreClient) -> None:
    order = client.retrieve_order(27244)
    assert order.lines is not None
    assert order.lines[0].database_relations is not None
    relation = order.lines[0].database_relations[0]
    assert relation.participants is not None
    assert (relation.participants[0].status, relation.course is not None) == (1, True)
    lines = sandbox.frontcore.order(27244)["lines"]
    lines[0]["database_relations"][0]["participants"] = [{"id": 124920, "status": 3}]
    sandbox.frontcore.update_order(27244, lines=lines)
    assert source_of(client).fetch("27244").lines[0].seats[0].hold == "waiting_list"


def test_an_order_is_found_however_it_changed_when_the_walks_look_for_it(
    sandbox: Sandbox, client: FrontcoreClient
) -> None:
    source = source_of(client)
    now = sandbox.clock.now()
    made = sandbox.frontcore.add_order({"is_paid": False})
    sandbox.frontcore.update_order(27243, is_paid=True, exported_at="2026-01-23T03:34:44+01:00")
    assert [order.id for order in orders_of(source.walk_since(now))] == [str(made["id"])]
    assert [order.id for order in orders_of(source.walk_changed(now))] == ["27243"]


@pytest.mark.parametrize("offset_hours", [-12, 2, 14])
def test_a_change_is_found_when_filters_are_read_in_a_zone_nobody_told(
    sandbox: Sandbox, client: FrontcoreClient, offset_hours: int
) -> None:
    sandbox.config.frontcore.utc_offset_minutes = offset_hours * 60
    since = sandbox.clock.now() - timedelta(seconds=1)
    sandbox.frontcore.update_order(27243, is_paid=True)
    assert [order.id for order in orders_of(source_of(client).walk_changed(since))] == ["27243"]


def test_no_order_is_skipped_when_others_come_and_go_during_a_walk(sandbox: Sandbox, client: FrontcoreClient) -> None:
    for number in range(600):
        sandbox.frontcore.add_order({"id": 30_000 + number})
    walk = client.iter_order_pages()
    first = next(walk)
    for gone in range(30_585, 30_600):
        sandbox.frontcore.delete_order(gone)
    sandbox.frontcore.add_order({})
    found = {order.id for page in [first, *walk] for order in page}
    assert found >= {27243, 27244, *range(30_000, 30_600)}
    assert sandbox.requests("frontcore", "list_orders") <= 5


def test_orders_are_walked_when_they_come_wrapped(sandbox: Sandbox, client: FrontcoreClient) -> None:
    sandbox.config.frontcore.list_form = "items"
    for number in range(600):
        sandbox.frontcore.add_order({"id": 30_000 + number})
    assert len(list(client.list_orders())) == 602


TOTALS = '"calculated_totals":{"total_amount_incl_discounts_and_vat":'


@pytest.mark.parametrize(
    "text",
    [
        '{"id":27244,' + TOTALS + "1e999999999999999999}}",
        '{"id":27244,' + TOTALS + "-1e-999999999999999999}}",
        '{"id":27244,' + TOTALS + '"1e999999"},"lines":[{"quantity":"1e-99999999","product":{"currency":"NOK"}}]}',
        '{"id":"many","is_paid":true}',
        "null",
        "17",
        '"an order"',
        "[]",
    ],
)
def test_all_others_are_read_when_one_record_is_broken(sandbox: Sandbox, client: FrontcoreClient, text: str) -> None:
    for number in range(300):
        sandbox.frontcore.add_order({"id": 30_000 + number})
    sandbox.frontcore.break_order(27244, text)
    pages = list(source_of(client).walk_newest())
    found = {order.id for page in pages for order in page.orders}
    assert found >= {"27243", *(str(30_000 + number) for number in range(300))}
    aside = [each.order_id for page in pages for each in page.unreadable]
    assert "27244" in found or aside in (["27244"], [None])


@pytest.mark.parametrize("form", ["real", "200"])
def test_errors_are_understood_when_they_come_with_their_status_or_200(
    sandbox: Sandbox, connect: Callable[..., FrontcoreClient], form: str
) -> None:
    sandbox.config.frontcore.error_status = "real" if form == "real" else "200"
    with pytest.raises(NotFoundError):
        connect().retrieve_order(1)
    with pytest.raises(AuthenticationError, match="Wrong API Key"):
        next(connect(API_KEY="planted-wrong-key").list_orders())
    sandbox.config.frontcore.requests_per_second = 1.0
    with pytest.raises(RateLimitedError):
        [connect().retrieve_order(27244) for _ in range(3)]


def test_requests_keep_to_the_vendor_s_limit_when_the_settings_are_the_default(
    sandbox: Sandbox, connect: Callable[..., FrontcoreClient]
) -> None:
    sandbox.config.frontcore.requests_per_second = 5.0
    client = connect(REQUESTS_PER_SECOND="4")
    assert [client.retrieve_order(27244).id for _ in range(6)] == [27244] * 6


@pytest.mark.parametrize("seconds", [None, 7.0])
def test_the_wait_asked_for_is_told_when_the_account_is_too_busy(
    sandbox: Sandbox, client: FrontcoreClient, seconds: float | None
) -> None:
    headers = {} if seconds is None else {"Retry-After": f"{seconds:g}"}
    sandbox.inject(Fault("frontcore", "list_orders", "status", status=429, headers=headers))
    with pytest.raises(RateLimitedError) as caught:
        list(islice(client.list_orders(), 1))
    assert caught.value.retry_after_seconds == seconds


def test_a_walk_fails_and_can_be_begun_again_when_the_connection_is_cut(
    sandbox: Sandbox, client: FrontcoreClient
) -> None:
    sandbox.inject(Fault("frontcore", "list_orders", "cut", times=5))  # at each size of page
    with pytest.raises(ApiConnectionError) as caught:
        list(client.list_orders())
    assert caught.value.retryable
    assert len(list(client.list_orders())) == 2
