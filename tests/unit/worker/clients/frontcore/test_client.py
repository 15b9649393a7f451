"""`worker.clients.frontcore.client`: what is asked for, what comes back, and how fast."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import SecretStr

from tests.captures import capture
from tests.unit.worker.clients.frontcore.account import (
    HTML,
    INCLUDES,
    KEY,
    SAMPLES,
    SECRET,
    Access,
    account_of,
    client,
    query_of,
)
from tests.unit.worker.clients.stub import Asked, Reply, SlotsInMemory, StubTransport, answer
from worker.clients.base import ApiClient, CallLimits
from worker.clients.frontcore.client import FrontcoreClient
from worker.clients.frontcore.models import Order
from worker.clients.rate import RateLimit, SharedSlots
from worker.clients.transport import Answer
from worker.clients.unreadable import UnreadableRow
from worker.errors import (
    AnotherRecordError,
    ConfigurationError,
    NotFoundError,
    UnexpectedResponseError,
)
from worker.settings.settings import FrontcoreSettings
from worker.text.redaction import SecretRegistry

# The client


@pytest.mark.parametrize("access", [Access(base_url=None), Access(api_key=None)])
def test_a_client_cannot_be_made_when_something_is_not_set(access: Access) -> None:
    with pytest.raises(ConfigurationError, match="CARTBRIDGE_FRONTCORE__API_KEY"):
        FrontcoreClient(access)


def test_the_real_settings_are_understood_when_a_client_is_made() -> None:
    registry = SecretRegistry()
    FrontcoreClient(FrontcoreSettings(api_key=SecretStr(KEY)), secrets=registry).close()
    assert registry.values() == (KEY,)


def test_the_idle_connections_are_closed_when_the_client_is() -> None:
    account = StubTransport(answer([]))
    client(account).close()
    assert account.closed


def test_everything_is_asked_for_when_nothing_else_is_said() -> None:
    account = StubTransport(answer([]))
    assert list(client(account).list_orders()) == []
    [asked] = account.asked
    assert (asked.path, asked.body) == ("/v2/orders", None)
    assert query_of(asked) == [
        ("limit", "250"),
        ("page", "1"),
        ("exported", "true"),
        ("user_data", "true"),
        *(("include[]", each) for each in INCLUDES),
    ]
    assert asked.headers["X-API-Key"] == KEY
    assert asked.headers["Accept"] == "application/json"


def test_every_parameter_of_the_document_is_sent_when_it_is_given() -> None:
    account = StubTransport(answer([]))
    oslo = timezone(timedelta(hours=1))
    orders = client(account).list_orders(
        limit=75,
        course_id=22353,
        since_id=1000,
        created_at_min=date(1999, 3, 31),
        created_at_max="2020-02-01",
        updated_at_min=datetime(2026, 1, 1, 0, 30, 59, 999_999, tzinfo=oslo),
        updated_at_max=datetime(2026, 1, 2, tzinfo=UTC),
        exported_at_min="2020-01-01 10:00:00",
        exported_at_max=datetime(2020, 1, 2, 3, 4, 5),  # noqa: DTZ001 -- sent as it stands
        user_data=False,
        exported=False,
        include=["campaign"],
    )
    assert list(orders) == []
    assert dict(query_of(account.asked[0])) == {
        "limit": "75",
        "page": "1",
        "course_id": "22353",
        "since_id": "1000",
        "created_at_min": "1999-03-31",
        "created_at_max": "2020-02-01",
        "updated_at_min": "2025-12-31 23:30:59",
        "updated_at_max": "2026-01-02 00:00:00",
        "exported_at_min": "2020-01-01 10:00:00",
        "exported_at_max": "2020-01-02 03:04:05",
        "user_data": "false",
        "exported": "false",
        "include[]": "campaign",
    }
    assert "2025-12-31%2023%3A30%3A59" in account.asked[0].url


def test_filters_go_with_every_page_when_a_list_has_several() -> None:
    account = account_of(list(range(600, 0, -1)))
    assert len(list(client(account).list_orders(since_id=5, created_at_min="2026-01-01"))) == 600
    assert len(account.asked) == 3
    for asked in account.asked:
        assert (asked.query["since_id"], asked.query["created_at_min"]) == ("5", "2026-01-01")


# Lists


def test_both_orders_come_as_they_stand_when_the_document_s_answer_is_read() -> None:
    account = StubTransport(answer(SAMPLES), answer([]))
    orders = list(client(account).list_orders())
    assert [(order.id, order.is_paid, order.updated_at) for order in orders] == [
        (27244, True, "2026-01-23T03:34:44+01:00"),
        (27243, False, None),
    ]
    assert len(account.asked) == 2


@pytest.mark.parametrize("end", [None, answer({"error": "Not found"}, 404), answer({"error": "No orders found"})])
@pytest.mark.parametrize(("count", "cap"), [(0, 250), (1, 250), (250, 250), (600, 250), (600, 100), (90, 75)])
def test_all_orders_come_when_an_account_caps_its_pages_and_ends_its_own_way(
    count: int, cap: int, end: Answer | None
) -> None:
    if count == 0 and end is not None and end.status == 404:
        end = answer({"error": "Orders not found"}, 404)
    account = account_of(list(range(count, 0, -1)), cap=cap, end=end)
    assert [order.id for order in client(account).list_orders()] == list(range(count, 0, -1))


def test_an_order_is_not_skipped_when_another_vanishes_between_two_pages() -> None:
    ids = list(range(500, 0, -1))
    account = account_of(ids)
    orders = client(account).list_orders()
    first = next(orders)
    del ids[:3]
    assert {first.id, *(order.id for order in orders)} == set(range(1, 501))


def test_pages_come_one_by_one_when_they_are_asked_for_as_pages() -> None:
    account = account_of(list(range(25, 0, -1)))
    pages: Iterator[Any] = client(account).iter_order_pages(limit=10)
    assert account.asked == []
    assert [order.id for order in next(pages)] == list(range(25, 15, -1))
    assert len(account.asked) == 1
    assert [order.id for page in pages for order in page] == list(range(15, 0, -1))


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (lambda asked: answer([{"id": number} for number in range(1, 251)]), "alike"),
        (
            lambda asked: answer(
                [{"id": int(asked.query["page"]) * 1000 + n} for n in range(int(asked.query["limit"]))]
            ),
            "more than 7 pages",
        ),
    ],
)
def test_a_list_fails_loudly_when_its_pages_do_not_follow_each_other(reply: Reply, words: str) -> None:
    with pytest.raises(UnexpectedResponseError, match=words) as caught:
        list(client(StubTransport(reply), page_limit=7).list_orders())
    assert caught.value.retryable
    assert caught.value.__context__ is None


@pytest.mark.parametrize("body", [HTML, b"", None, {}, {"orders": []}, "text", [{"is_paid": True}], [None]])
def test_a_list_is_unexpected_when_it_is_none_or_no_row_has_an_id(body: object) -> None:
    with pytest.raises(UnexpectedResponseError) as caught:
        list(client(StubTransport(answer(body))).list_orders())
    assert (caught.value.retryable, caught.value.status) == (True, 200)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("row", [None, "text", 7, [], {"is_paid": True}, {"id": None}, {"id": "many"}])
def test_a_row_is_set_aside_when_it_alone_has_no_id(row: object) -> None:
    [page] = client(StubTransport(answer([{"id": 3}, row, {"id": "1"}]), answer([]))).iter_order_pages()
    assert [each.id for each in page if isinstance(each, Order)] == [3, 1]
    [aside] = [each for each in page if isinstance(each, UnreadableRow)]
    assert aside.record_id is None
    assert "without a readable id" in aside.problem


def test_orders_are_read_when_they_come_wrapped_as_course_dates_do() -> None:
    account = StubTransport(answer(capture("frontcore", "orders_wrapped_items.json")))
    assert [order.id for order in client(account).list_orders()] == [51003]


def test_more_is_asked_for_when_a_full_page_calls_itself_the_last() -> None:
    rows = [{"id": number} for number in range(300, 0, -1)]

    def behind(asked: Asked) -> Answer:
        page, limit = (int(value) for value in (dict(query_of(asked))[name] for name in ("page", "limit")))
        return answer({"items": rows[(page - 1) * limit : page * limit], "pagination": {"next_page": None}})

    assert len(list(client(StubTransport(*[behind] * 5)).list_orders())) == 300


@pytest.mark.parametrize("body", [{"items": [], "pagination": {"next_page": None}}, {"items": []}])
def test_a_wrapped_list_ends_when_it_is_empty(body: object) -> None:
    assert list(client(StubTransport(answer(body))).list_orders()) == []


@pytest.mark.parametrize(
    "body",
    [
        {"orders": [{"id": 1}]},
        {"data": [{"id": 1}]},
        {"items": [{"id": 1}], "warnings": ["partial"]},
        {"items": {"id": 1}},
        {"items": None, "pagination": {}},
        capture("frontcore", "booking_ok.json"),
        capture("frontcore", "booking_refused.json"),
    ],
)
def test_a_list_is_unexpected_when_its_wrapper_is_another(body: object) -> None:
    with pytest.raises(UnexpectedResponseError, match="not a list"):
        list(client(StubTransport(answer(body))).list_orders())


def test_a_list_is_read_when_php_wrote_it_as_an_object() -> None:
    account = StubTransport(answer({"0": {"id": 2}, "3": {"id": 1}}), answer([]))
    assert [order.id for order in client(account).list_orders()] == [2, 1]


# One order


@pytest.mark.parametrize(
    "shape",
    [
        lambda record: record,
        lambda record: [record],
        lambda record: {"items": [record], "pagination": {"next_page": None}},
    ],
)
def test_an_order_is_retrieved_when_it_comes_alone_or_in_a_list(shape: Any) -> None:
    account = StubTransport(answer(shape(SAMPLES[0])))
    assert client(account).retrieve_order(27244).title == "Learn REST API #27244"
    [asked] = account.asked
    assert asked.path == "/v2/orders/27244"
    assert query_of(asked) == [
        ("exported", "true"),
        ("user_data", "true"),
        *(("include[]", each) for each in INCLUDES),
    ]


def test_the_error_names_both_numbers_when_another_order_is_answered() -> None:
    with pytest.raises(AnotherRecordError, match="number 27244 was answered where 27245 was asked for"):
        client(StubTransport(answer([SAMPLES[0]]))).retrieve_order(27245)


def test_less_is_asked_for_when_details_are_left_out() -> None:
    account = StubTransport(answer([SAMPLES[0]]))
    client(account).retrieve_order(27244, user_data=False, include=())
    assert query_of(account.asked[0]) == [("exported", "true"), ("user_data", "false")]


@pytest.mark.parametrize(
    "reply",
    [
        answer([]),
        answer({}),
        answer({"items": [], "pagination": {"next_page": None}}),
        answer(None),
        answer({"error": "Order not found"}),
        answer([{"error": "The order does not exist"}]),
        answer({"error": "Order not found"}, 404),
        answer(b"", 404),
        answer({"error": {"message": "No such order"}}, 400),
    ],
)
def test_an_order_is_not_found_when_the_account_has_none(reply: Reply) -> None:
    with pytest.raises(NotFoundError):
        client(StubTransport(reply)).retrieve_order(1)


@pytest.mark.parametrize("body", [{"id": 2}, {"is_paid": True}, SAMPLES, "text", 5, HTML, b"", b'{"id": 1'])
def test_an_order_is_unexpected_when_it_is_not_the_one_asked_for(body: object) -> None:
    with pytest.raises(UnexpectedResponseError) as caught:
        client(StubTransport(answer(body))).retrieve_order(1)
    assert caught.value.retryable
    assert caught.value.__context__ is None


# The rate


class Waited(Exception):  # noqa: N818 -- it tells of no error
    """A client would have slept."""


def test_two_clients_share_one_limit_when_they_share_slots() -> None:
    def sleep(seconds: float) -> None:
        raise Waited

    slots = SlotsInMemory()
    account = StubTransport(answer([{"id": 1}]))
    limits = [RateLimit("frontcore", 5.0, shared=slots, sleep=sleep) for _ in range(2)]
    options: dict[str, Any] = {"base_url": "https://api.example.test/v2", "transport": account}
    apis = [ApiClient("frontcore", rate_limit=limit, **options) for limit in limits]
    clients = [FrontcoreClient(Access(), api=api) for api in apis]
    for number in range(5):
        clients[number % 2].retrieve_order(1)
    for each in clients:
        with pytest.raises(Waited):
            each.retrieve_order(1)
    assert len(account.asked) == 5


def test_the_limit_of_the_settings_holds_when_a_client_makes_its_own_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[object, ...]] = []
    addresses: list[str] = []

    class Recorder(ApiClient):
        def __init__(self, system: str, *, base_url: str, **options: Any) -> None:
            addresses.append(base_url)
            super().__init__(system, base_url=base_url, **options)

    def rate_limit(system: str, requests_per_second: float, *, shared: SharedSlots | None) -> RateLimit:
        limits.append((system, requests_per_second, shared))
        return RateLimit(system, requests_per_second, shared=shared)

    monkeypatch.setattr("worker.clients.frontcore.client.ApiClient", Recorder)
    monkeypatch.setattr("worker.clients.base.RateLimit", rate_limit)
    slots = SlotsInMemory()
    FrontcoreClient(FrontcoreSettings(api_key=SECRET), slots=slots)
    assert limits == [("frontcore", 4.0, slots)]
    assert addresses == ["https://api.frontcore.com/v2"]


def test_a_caller_s_limits_reach_every_call_when_it_pages() -> None:
    sends: list[int] = []
    limits = CallLimits(deadline_seconds=2.0, before_send=lambda: sends.append(1))
    account = account_of([2, 1])
    list(client(account).list_orders(limits=limits))
    client(StubTransport(answer({"id": 1}))).retrieve_order(1, limits=limits)
    client(account_of([])).check_paging(limits=limits)
    assert len(sends) == 4
    exchange = account.asked[0].exchange
    assert exchange.deadline - exchange.started == pytest.approx(2.0, abs=0.05)
