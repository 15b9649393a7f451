"""`worker.clients.studiocart.client`: lists to their end, records by id, and the models of the vendor's own samples."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from tests.unit.worker.clients.samples import CUSTOMER, ORDER, PRODUCT, SUBSCRIPTION
from tests.unit.worker.clients.stub import Asked, Reply, StubTransport, answer
from worker.cli.check.result import with_notes
from worker.clients.base import ApiClient, CallLimits
from worker.clients.studiocart.client import StudiocartClient
from worker.clients.studiocart.requests import ParametersIn
from worker.clients.transport import Answer
from worker.clients.unreadable import UnreadableRow
from worker.errors import (
    AnotherRecordError,
    AuthenticationError,
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    UnexpectedResponseError,
)
from worker.settings.settings import StudiocartSettings
from worker.text.redaction import SecretRegistry

KEY = "hunter2-studiocart"
HTML = b"<!DOCTYPE html><html><body>Under maintenance</body></html>"
NOTHING = answer({"code": "not_found", "message": "Nothing found.", "data": {"status": 404}}, 404)
SECRET = SecretStr(KEY)


class Access(StudiocartSettings):
    base_url: str | None = "https://shop.example.test/wp-json/sc/v1"
    api_key: SecretStr | None = SECRET
    parameters_in: ParametersIn = "body"
    requests_per_second: float = 0.0


def client(site: StubTransport, **options: Any) -> StudiocartClient:
    access = Access(parameters_in=options.pop("parameters_in", "body"))
    registry = SecretRegistry([KEY])
    api = ApiClient("studiocart", base_url=str(access.base_url), transport=site, redact=registry.redact)
    return StudiocartClient(access, api=api, **options)


def site_of(ids: list[int], *, cap: int = 1000, end: Answer | None = None) -> StubTransport:
    """A site that pages through orders of these ids, `cap` a page at most."""

    def page(asked: Asked) -> Answer:
        size = min(int(asked.body["per_page"]), cap)
        first = (int(asked.body["page"]) - 1) * size
        rows = [{"id": number} for number in ids[first : first + size]]
        return end if end is not None and not rows else answer(rows)

    return StubTransport(page)


# The client


def test_the_error_names_both_numbers_when_another_record_is_answered() -> None:
    for retrieve in ("retrieve_order", "retrieve_subscription", "retrieve_product"):
        with pytest.raises(AnotherRecordError, match="number 17 was answered where 12 was asked for"):
            getattr(client(StubTransport(answer({"id": 17, "status": "paid"}))), retrieve)(12)


@pytest.mark.parametrize("access", [Access(base_url=None), Access(api_key=None)])
def test_a_client_cannot_be_made_when_something_is_not_set(access: Access) -> None:
    with pytest.raises(ConfigurationError, match="CARTBRIDGE_STUDIOCART__API_KEY"):
        StudiocartClient(access)


def test_the_real_settings_are_understood_when_a_client_is_made() -> None:
    registry = SecretRegistry()
    settings = StudiocartSettings(base_url="https://shop.example.test/wp-json/sc/v1", api_key=SecretStr(KEY))
    StudiocartClient(settings, secrets=registry).close()
    assert registry.values() == (KEY,)


def test_parameters_go_in_the_body_of_a_get_when_nothing_else_is_set() -> None:
    site = StubTransport(answer([]))
    list(client(site).list_orders(per_page=25, date_after=date(2023, 7, 18), orderby="date_modified", order="desc"))
    asked = site.asked[0]
    assert asked.path == "/wp-json/sc/v1/orders"
    assert asked.query == {}
    assert asked.body == {
        "per_page": 25,
        "page": 1,
        "date_after": "2023-07-18",
        "orderby": "date_modified",
        "order": "desc",
    }
    assert (asked.headers["x-api-key"], asked.headers["Content-Type"]) == (KEY, "application/json")


def test_parameters_go_in_the_query_when_the_setting_says_so() -> None:
    site = StubTransport(answer([]))
    list(client(site, parameters_in="query").list_orders(date_after="2023-07-18"))
    assert site.asked[0].query == {"per_page": "100", "page": "1", "date_after": "2023-07-18"}
    assert site.asked[0].body is None


@pytest.mark.parametrize(
    ("listing", "path", "sample"),
    [
        (lambda each: each.list_customers(), "/customers", CUSTOMER),
        (lambda each: each.list_orders(), "/orders", ORDER),
        (lambda each: each.list_subscriptions(order="asc"), "/subscriptions", SUBSCRIPTION),
        (lambda each: each.list_products(orderby="product_name"), "/products", PRODUCT),
        (lambda each: each.list_subscription_orders(1108), "/orders/subscription/1108", ORDER),
    ],
)
def test_a_list_is_asked_for_at_its_place_when_it_is_listed(
    listing: Callable[[StudiocartClient], Any], path: str, sample: dict[str, Any]
) -> None:
    site = StubTransport(answer([sample]), answer([]))
    assert [record.id for record in listing(client(site))] == [sample["id"]]
    assert [asked.path for asked in site.asked] == [f"/wp-json/sc/v1{path}"] * 2
    assert [asked.body["page"] for asked in site.asked] == [1, 2]


@pytest.mark.parametrize("retrieve", ["customer", "order", "subscription", "product"])
@pytest.mark.parametrize("shape", [lambda record: record, lambda record: [record]])
def test_a_record_is_retrieved_when_it_comes_alone_or_in_a_list(
    retrieve: str, shape: Callable[[dict[str, Any]], object]
) -> None:
    sample = {"customer": CUSTOMER, "order": ORDER, "subscription": SUBSCRIPTION, "product": PRODUCT}[retrieve]
    site = StubTransport(answer(shape(sample)))
    record = getattr(client(site), f"retrieve_{retrieve}")(sample["id"])
    assert record.id == sample["id"]
    assert site.asked[0].path == f"/wp-json/sc/v1/{retrieve}s/{sample['id']}"
    assert site.asked[0].body == {}


@pytest.mark.parametrize(
    "reply",
    [
        *(NOTHING, answer(b"", 404), answer(None), answer([]), answer({"customer_name": " ", "items": []})),
        *(answer({"id": no_id, "status": "publish"}) for no_id in (None, 0, "", "0", False)),
    ],
)
def test_a_record_is_not_found_when_the_site_has_none(reply: Reply) -> None:
    with pytest.raises(NotFoundError):
        client(StubTransport(reply)).retrieve_order(1109)


@pytest.mark.parametrize("body", [{"id": 1110}, {"id": "x"}, [ORDER, ORDER], "text", 5, HTML, b"", b'{"id": 1109'])
def test_a_record_is_unexpected_when_it_is_not_the_one_asked_for(body: object) -> None:
    with pytest.raises(UnexpectedResponseError) as caught:
        client(StubTransport(answer(body))).retrieve_order(1109)
    assert caught.value.retryable
    assert caught.value.__context__ is None


# Paging


@pytest.mark.parametrize("end", [None, NOTHING, answer(b"", 404)])
@pytest.mark.parametrize(("count", "cap"), [(0, 100), (1, 100), (100, 100), (250, 100), (250, 10), (25, 10)])
def test_all_records_come_when_a_site_caps_its_pages_and_ends_its_own_way(
    count: int, cap: int, end: Answer | None
) -> None:
    site = site_of(list(range(1, count + 1)), cap=cap, end=end)
    assert [order.id for order in client(site).list_orders()] == list(range(1, count + 1))


def test_paging_ends_when_wordpress_refuses_the_page_after_the_last() -> None:
    end = answer({"code": "rest_post_invalid_page_number", "message": "x", "data": {"status": 400}}, 400)
    assert len(list(client(site_of([1, 2, 3], end=end)).list_orders())) == 3


def test_pages_come_whole_when_they_are_asked_for_as_pages() -> None:
    pages = client(site_of(list(range(1, 26)))).iter_order_pages(per_page=10)
    assert [len(page) for page in pages] == [10, 10, 5]


def test_no_page_is_fetched_when_nobody_needs_it() -> None:
    site = site_of(list(range(1, 26)))
    pages = client(site).iter_order_pages(per_page=10)
    assert site.asked == []
    next(pages)
    assert len(site.asked) == 1


def test_a_record_comes_once_when_the_list_moves_between_two_pages() -> None:
    site = StubTransport(answer([{"id": 3}, {"id": 2}]), answer([{"id": 2}, {"id": 1}]), answer([]))
    assert [order.id for order in client(site).list_orders()] == [3, 2, 1]


def test_paging_fails_loudly_when_the_list_never_ends() -> None:
    numbers = iter(range(1, 1000))
    site = StubTransport(lambda _: answer([{"id": next(numbers)}]))
    with pytest.raises(UnexpectedResponseError, match="more than 5 pages"):
        list(client(site, page_limit=5).list_orders())


@pytest.mark.parametrize("body", [HTML, b"", None, {}, {"orders": []}, "text", [{"status": "paid"}], [None]])
def test_a_list_is_unexpected_when_it_is_none_or_no_row_has_an_id(body: object) -> None:
    with pytest.raises(UnexpectedResponseError) as caught:
        list(client(StubTransport(answer(body))).list_orders())
    assert caught.value.retryable
    assert caught.value.status == 200


def test_a_row_is_set_aside_when_it_alone_has_no_id() -> None:
    rows = [{"id": 1}, {"status": "paid"}, None, "text", {"id": "2"}]
    site = StubTransport(answer(rows), answer([]), answer(rows), answer([]))
    assert [order.id for order in client(site).list_orders()] == [1, 2]
    [page] = client(site).iter_order_pages()
    aside = [row for row in page if isinstance(row, UnreadableRow)]
    assert [row.record_id for row in aside] == [None, None, None]
    assert len({row.fingerprint for row in aside}) == 3


def test_a_list_is_read_when_php_wrote_it_as_an_object() -> None:
    site = StubTransport(answer({"0": {"id": 1}, "3": {"id": 2}}), answer([]))
    assert [order.id for order in client(site).list_orders()] == [1, 2]


# Errors


@pytest.mark.parametrize(
    "reply",
    [
        answer(HTML, 404),
        answer({"code": "rest_no_route", "message": "No route was found.", "data": {"status": 404}}, 404),
        answer({"code": "rest_no_route", "message": "No route was found.", "data": {"status": 404}}, 200),
    ],
)
def test_a_404_is_no_empty_list_when_the_route_itself_is_missing(reply: Reply) -> None:
    with pytest.raises(UnexpectedResponseError, match="base URL") as caught:
        list(client(StubTransport(reply)).list_orders())
    assert (caught.value.status, caught.value.retryable) == (404, True)
    with pytest.raises(UnexpectedResponseError, match="base URL"):
        client(StubTransport(reply)).retrieve_order(1)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, InvalidRequestError), (401, AuthenticationError), (403, PermissionDeniedError), (500, ServerError)],
)
@pytest.mark.parametrize("in_body_only", [False, True])
def test_an_error_of_wordpress_is_understood_when_its_status_is_in_the_body(
    status: int, kind: type[Exception], in_body_only: bool
) -> None:
    body = {"code": "rest_forbidden", "message": f"Sorry, {KEY} is not allowed.", "data": {"status": status}}
    site = StubTransport(answer(body, 200 if in_body_only else status))
    with pytest.raises(kind, match=r"Sorry, \*\*\* is not allowed") as caught:
        list(client(site).list_orders())
    assert KEY not in str(caught.value)
    with pytest.raises(kind):
        client(site).retrieve_order(1)


@pytest.mark.parametrize("data", [None, {"status": 200}, {"status": "x"}, []])
def test_an_error_without_a_status_is_unexpected_when_it_comes_with_200(data: Any) -> None:
    site = StubTransport(answer({"code": "x", "message": "y", "data": data}))
    with pytest.raises(UnexpectedResponseError):
        list(client(site).list_orders())


def test_a_large_answer_is_no_error_when_it_speaks_like_one() -> None:
    order = ORDER | {"code": "x", "message": "y" * 100_001}
    assert client(StubTransport(answer(order))).retrieve_order(1109).id == 1109


def test_a_caller_s_limits_reach_the_call_when_it_pages() -> None:
    site = site_of([1])
    sends: list[datetime] = []
    limits = CallLimits(deadline_seconds=2.0, before_send=lambda: sends.append(datetime.now(UTC)))
    list(client(site).list_orders(limits=limits))
    assert len(sends) == 2
    exchange = site.asked[0].exchange
    assert exchange.deadline - exchange.started == pytest.approx(2.0, abs=0.05)


def test_a_list_is_read_and_noted_when_a_notice_stands_before_it() -> None:
    noticed = Answer(200, {}, b"\xef\xbb\xbf<b>Warning</b>: x<br />\n" + answer([ORDER]).body)
    shop = client(StubTransport(noticed, answer([])))
    assert [order.id for order in shop.list_orders()] == [ORDER["id"]]
    assert shop.notes == ("list/orders: the JSON is preceded by a byte-order mark and 'Warning : x'",)
    assert with_notes("listed order 1", shop.notes).startswith(
        "listed order 1; read all the same: list/orders: the JSON"
    )
    assert with_notes("listed order 1", ()) == "listed order 1"
    assert with_notes("listed", ("a", "b", "c")) == "listed; read all the same: a and 2 more"
