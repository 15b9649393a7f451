"""Studiocart's lists on sites that read, drop, refuse or ignore their parameters, and on those that are too slow."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from tests.unit.worker.clients.stub import Asked, StubTransport, answer
from tests.unit.worker.clients.studiocart.test_client import Access
from worker.clients.base import ApiClient
from worker.clients.list_pages import UnpageableListError
from worker.clients.studiocart.client import StudiocartClient
from worker.clients.studiocart.requests import NoRouteError, ParametersIn, RefusedOnTheWayError
from worker.clients.transport import Answer, NoAnswer
from worker.errors import AuthenticationError, NotFoundError, PermissionDeniedError, ServerError
from worker.settings.settings import StudiocartSettings

HTML = b"<!DOCTYPE html><html><body>Access denied. Ray ID: 8f3</body></html>"
FORBIDDEN = answer(
    {"code": "rest_forbidden_context", "message": "Sorry, you are not allowed.", "data": {"status": 401}}, 401
)


@dataclass
class Site:
    """A site whose front drops, refuses or ignores what it does, over a real list of orders."""

    ids: list[int]
    reads: Collection[str] = ("query", "body")
    """Where parameters are read from."""
    ignores: Collection[str] = ()
    refuses_bodies: Answer | None = None
    slow_above: int = 1000
    tells_total: bool | str = False
    """Or how many rows it says there are, whatever there is."""
    asked: list[Asked] = field(default_factory=list)

    def __call__(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        if asked.body is not None and self.refuses_bodies is not None:
            return self.refuses_bodies
        given: dict[str, Any] = {}
        given |= asked.query if "query" in self.reads else {}
        given |= (asked.body or {}) if "body" in self.reads else {}
        given = {name: value for name, value in given.items() if name not in self.ignores}
        size, number = int(given.get("per_page", 10)), int(given.get("page", 1))
        if size > self.slow_above:
            return answer(HTML, 504)
        listed = sorted(self.ids, reverse=given.get("order", "desc") == "desc")
        rows = [{"id": each} for each in listed[(number - 1) * size : number * size]]
        total = str(len(self.ids)) if self.tells_total is True else self.tells_total
        return answer(rows, X_WP_Total=total) if total else answer(rows)

    def client(self, parameters_in: ParametersIn = "query", **options: Any) -> StudiocartClient:
        access = Access(parameters_in=parameters_in)
        api = ApiClient("studiocart", base_url=str(access.base_url), transport=StubTransport(self))
        return StudiocartClient(access, api=api, **options)

    @property
    def ways(self) -> list[str]:
        return ["query" if each.body is None else "body" for each in self.asked]


def listed(client: StudiocartClient, **filters: Any) -> list[int]:
    return [order.id for order in client.list_orders(**({"orderby": "id", "order": "desc"} | filters))]


MANY = list(range(250, 0, -1))


@pytest.mark.parametrize("first", ["query", "body"])
@pytest.mark.parametrize("reads", [("query",), ("body",), ("query", "body")])
@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 100, 250])
def test_every_order_comes_when_a_site_reads_parameters_in_one_place_alone(
    first: ParametersIn, reads: Collection[str], count: int
) -> None:
    site = Site(list(range(count, 0, -1)), reads=reads)
    assert listed(site.client(first)) == site.ids


def test_the_way_that_works_is_remembered_when_the_first_is_not_read() -> None:
    site = Site(MANY, reads=("query",))
    client = site.client("body")
    assert listed(client) == MANY
    site.asked.clear()
    assert listed(client) == MANY
    assert set(site.ways) == {"query"}


@pytest.mark.parametrize(
    "refusal", [answer(HTML, 403), answer(HTML, 400), answer(b"", 411), answer({"error": "denied"}, 403)]
)
def test_parameters_go_in_the_query_when_a_cdn_refuses_bodies(refusal: Answer) -> None:
    site = Site(MANY, refuses_bodies=refusal)
    client = site.client("body")
    assert listed(client) == MANY
    assert site.ways.count("body") == 1
    assert client.check_paging().id == 250  # type: ignore[union-attr]


def test_a_record_is_asked_for_without_a_body_when_a_cdn_refuses_bodies() -> None:
    site = StubTransport(lambda asked: answer(HTML, 403) if asked.body is not None else answer({"id": 7}))
    access = Access(parameters_in="body")
    api = ApiClient("studiocart", base_url=str(access.base_url), transport=site)
    assert StudiocartClient(access, api=api).retrieve_order(7).id == 7
    assert [asked.body for asked in site.asked] == [{}, None]


@pytest.mark.parametrize("first", ["query", "body"])
@pytest.mark.parametrize("ids", [MANY, [1], [3, 2, 1], MANY[:10]])
def test_a_list_fails_behind_what_it_showed_when_no_parameters_are_read(first: ParametersIn, ids: list[int]) -> None:
    site = Site(ids, reads=())
    seen: list[int] = []
    pages = site.client(first).iter_order_pages(orderby="id", order="desc")
    with pytest.raises(UnpageableListError, match="more may stand behind") as caught:
        seen.extend(order.id for page in pages for order in page)
    assert set(seen) == set(ids[:10])
    assert caught.value.retryable
    assert set(site.ways) == {"query", "body"}


@pytest.mark.parametrize("tells_total", [False, True])
def test_a_list_fails_when_only_the_pages_number_is_ignored(tells_total: bool) -> None:
    site = Site(MANY, ignores=("page",), tells_total=tells_total)
    with pytest.raises(UnpageableListError):
        listed(site.client())
    assert len(site.asked) <= 6


def test_a_list_is_walked_when_only_the_pages_size_is_ignored() -> None:
    assert listed(Site(MANY, ignores=("per_page",)).client()) == MANY


def test_a_list_fails_when_its_order_is_ignored() -> None:
    with pytest.raises(UnpageableListError):
        listed(Site(MANY, ignores=("order",)).client(), order="asc")


@pytest.mark.parametrize("ids", [[1], MANY[:10], MANY[:100]])
def test_a_short_list_is_whole_when_the_site_tells_its_total(ids: list[int]) -> None:
    site = Site(ids, tells_total=True)
    assert listed(site.client()) == ids
    assert len(site.asked) == 2
    assert listed(Site(MANY[:7], reads=(), tells_total=True).client()) == MANY[:7]


@pytest.mark.parametrize("total", ["0", "1", "10", "249"])
@pytest.mark.parametrize("ignores", [(), ("per_page",)])
def test_a_list_is_walked_to_its_end_when_the_site_counts_too_few(total: str, ignores: Collection[str]) -> None:
    assert listed(Site(MANY, ignores=ignores, tells_total=total).client()) == MANY


def test_a_list_that_moved_is_walked_on_when_one_page_brings_nothing_new() -> None:
    pages = iter([[4, 3], [4, 3], [2, 1], []])
    site = StubTransport(lambda _: answer([{"id": each} for each in next(pages)]))
    api = ApiClient("studiocart", base_url="https://shop.example.test/wp-json/sc/v1", transport=site)
    client = StudiocartClient(Access(parameters_in="query"), api=api)
    assert listed(client, orderby="date_modified", per_page=2) == [4, 3, 2, 1]


@pytest.mark.parametrize("slow_above", [10, 24, 25, 49, 99])
def test_every_order_comes_when_large_pages_are_too_slow(slow_above: int) -> None:
    site = Site(MANY, slow_above=slow_above)
    client = site.client()
    assert listed(client) == MANY
    asked = len(site.asked)
    assert listed(client) == MANY
    assert all(int(each.query["per_page"]) <= slow_above for each in site.asked[asked:])


def test_every_order_comes_when_a_site_becomes_slow_during_the_walk() -> None:
    site = Site(MANY)
    client = site.client()
    pages = client.iter_order_pages(per_page=100, orderby="id", order="desc")
    found = [order.id for order in next(pages)]
    site.slow_above = 30
    found += [order.id for page in pages for order in page]
    assert set(found) == set(MANY)


def test_the_last_failure_is_told_when_even_small_pages_are_too_slow() -> None:
    site = Site(MANY, slow_above=0)
    with pytest.raises(ServerError) as caught:
        listed(site.client())
    assert caught.value.status == 504
    assert [int(asked.query["per_page"]) for asked in site.asked] == [100, 50, 25, 10]


def test_pages_become_smaller_when_no_answer_comes_in_time() -> None:
    def site(asked: Asked) -> Any:
        if int(asked.query["per_page"]) > 25:
            return NoAnswer(kind="timeout", cause="deadline", sent=True, elapsed_seconds=30.0)
        return answer([{"id": 1}], X_WP_Total="1")

    api = ApiClient("studiocart", base_url="https://shop.example.test/wp-json/sc/v1", transport=StubTransport(site))
    assert listed(StudiocartClient(Access(parameters_in="query"), api=api)) == [1]


def test_the_first_way_is_told_to_fail_when_the_other_hangs() -> None:
    def site(asked: Asked) -> Any:
        if asked.body is not None:
            return NoAnswer(kind="timeout", cause="deadline", sent=True, elapsed_seconds=30.0)
        return answer([{"id": each} for each in range(10, 0, -1)])

    api = ApiClient("studiocart", base_url="https://shop.example.test/wp-json/sc/v1", transport=StubTransport(site))
    with pytest.raises(UnpageableListError):
        listed(StudiocartClient(Access(parameters_in="query"), api=api))


# What a check asks


@pytest.mark.parametrize("reads", [("query",), ("body",), ("query", "body")])
@pytest.mark.parametrize("ids", [[], [1], [2, 1], MANY])
def test_the_newest_order_is_found_when_a_list_can_be_walked(reads: Collection[str], ids: list[int]) -> None:
    found = Site(ids, reads=reads).client().check_paging()
    assert (None if found is None else found.id) == (ids[0] if ids else None)


def test_the_newest_order_is_found_when_a_site_has_pages_of_its_own_size() -> None:
    client = Site(MANY, reads=("query",), ignores=("per_page",)).client()
    found = client.check_paging()
    assert found is not None
    assert found.id == MANY[0]
    assert [order.id for order in client.list_orders(orderby="id", order="desc")] == MANY


@pytest.mark.parametrize(
    ("reads", "ignores", "expected_text"),
    [
        ((), (), "per_page"),
        (("query", "body"), ("per_page", "page"), "per_page"),
        (("query", "body"), ("page",), "page"),
        (("query", "body"), ("order",), "orderby"),
    ],
)
def test_a_check_names_what_is_not_read_when_a_list_cannot_be_walked(
    reads: Collection[str], ignores: Collection[str], expected_text: str
) -> None:
    with pytest.raises(UnpageableListError, match=f"{expected_text} is read neither"):
        Site(MANY, reads=reads, ignores=ignores).client().check_paging()


# What refuses, and whom it blames


@pytest.mark.parametrize("ask", [listed, lambda client: client.retrieve_order(7)])
def test_a_cdn_is_blamed_and_not_the_key_when_a_page_of_html_refuses(ask: Callable[[StudiocartClient], Any]) -> None:
    site = StubTransport(answer(HTML, 403))
    api = ApiClient("studiocart", base_url="https://shop.example.test/wp-json/sc/v1", transport=site)
    with pytest.raises(RefusedOnTheWayError, match="the API key was not judged") as caught:
        ask(StudiocartClient(Access(parameters_in="query"), api=api))
    assert (caught.value.status, caught.value.retryable) == (403, True)


@pytest.mark.parametrize(("status", "kind"), [(401, AuthenticationError), (403, PermissionDeniedError)])
def test_the_key_is_blamed_when_wordpress_itself_refuses(status: int, kind: type[Exception]) -> None:
    refusal = answer({"code": "rest_forbidden", "message": "Sorry", "data": {"status": status}}, status)
    site = StubTransport(refusal)
    api = ApiClient("studiocart", base_url="https://shop.example.test/wp-json/sc/v1", transport=site)
    with pytest.raises(kind):
        listed(StudiocartClient(Access(parameters_in="query"), api=api))
    assert len(site.asked) == 1


def test_the_plan_is_named_when_the_site_has_no_api() -> None:
    body = {"code": "rest_no_route", "message": "No route was found.", "data": {"status": 404}}
    site = StubTransport(answer(body, 404))
    api = ApiClient("studiocart", base_url="https://shop.example.test/wp-json/sc/v1", transport=site)
    with pytest.raises(NoRouteError, match="Studiocart Pro on a plan with the Developer API"):
        listed(StudiocartClient(Access(parameters_in="query"), api=api))


@pytest.mark.parametrize("name", ["customers", "products"])
def test_there_are_none_when_customers_or_products_answer_with_an_empty_body(name: str) -> None:
    site = StubTransport(answer(b""))
    api = ApiClient("studiocart", base_url="https://shop.example.test/wp-json/sc/v1", transport=site)
    client = StudiocartClient(Access(parameters_in="query"), api=api)
    assert list(getattr(client, f"list_{name}")()) == []
    with pytest.raises(NotFoundError):
        getattr(client, f"retrieve_{name[:-1]}")(7)


def test_one_customer_is_read_when_it_comes_as_an_array() -> None:
    site = StubTransport(answer([{"id": 3, "email": "ada@lab.test"}]))
    api = ApiClient("studiocart", base_url="https://shop.example.test/wp-json/sc/v1", transport=site)
    assert StudiocartClient(Access(parameters_in="query"), api=api).retrieve_customer(3).email == "ada@lab.test"


def test_the_route_is_in_the_query_when_a_site_has_plain_permalinks() -> None:
    site = StubTransport(answer([{"id": 1}], X_WP_Total="1"), answer([]), answer({"id": 7}))
    settings = StudiocartSettings(
        base_url="https://shop.example.test/?rest_route=/sc/v1/", api_key=SecretStr("planted-key")
    )
    api = ApiClient("studiocart", base_url=str(settings.base_url), transport=site)
    client = StudiocartClient(settings, api=api)
    assert listed(client) == [1]
    assert client.retrieve_order(7).id == 7
    assert [asked.path for asked in site.asked] == ["/", "/", "/"]
    assert site.asked[0].query == {
        "rest_route": "/sc/v1/orders",
        "per_page": "100",
        "page": "1",
        "orderby": "id",
        "order": "desc",
    }
    assert site.asked[2].query == {"rest_route": "/sc/v1/orders/7"}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("https://shop.example/?rest_route=/sc/v1", "https://shop.example/?rest_route=/sc/v1"),
        ("https://shop.example?rest_route=/sc/v1", "https://shop.example/?rest_route=/sc/v1"),
        ("https://shop.example/index.php?rest_route=%2Fsc%2Fv1", "https://shop.example/index.php?rest_route=/sc/v1"),
        ("https://shop.example/blog/?rest_route=/sc/v1/", "https://shop.example/blog/?rest_route=/sc/v1"),
        ("https://shop.example/wp-json/sc/v1/", "https://shop.example/wp-json/sc/v1"),
    ],
)
def test_a_sites_address_is_read_when_it_is_of_either_kind(given: str, read: str) -> None:
    assert StudiocartSettings(base_url=given).base_url == read


@pytest.mark.parametrize(
    "given",
    ["https://shop.example/?page=1", "https://shop.example/?rest_route=/sc/v1&key=planted", "ftp://x/?rest_route=/sc"],
)
def test_a_sites_address_is_refused_when_its_query_is_another(given: str) -> None:
    with pytest.raises(ValidationError) as caught:
        StudiocartSettings(base_url=given)
    assert "planted" not in str(caught.value.errors(include_input=False))


@pytest.mark.parametrize(
    ("headers", "is_noted"),
    [
        ({}, False),
        ({"Age": "0"}, False),
        ({"X_Cache": "MISS from edge"}, False),
        ({"CF_Cache_Status": "DYNAMIC"}, False),
        ({"Age": "300"}, True),
        ({"X_Cache": "HIT from edge"}, True),
        ({"CF_Cache_Status": "HIT"}, True),
        ({"X_LiteSpeed_Cache": "hit"}, True),
    ],
)
def test_a_cache_is_told_of_when_it_answers_in_the_sites_place(headers: dict[str, str], is_noted: bool) -> None:
    site = StubTransport(answer([], 200, **headers))
    api = ApiClient("studiocart", base_url="https://shop.example.test/wp-json/sc/v1", transport=site)
    client = StudiocartClient(Access(parameters_in="query"), api=api)
    assert client.check_paging() is None
    assert any("exclude the API's path from caching" in note for note in client.notes) is is_noted
