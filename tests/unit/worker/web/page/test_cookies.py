from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import Response

from worker.web.page.cookies import PageCookie

COOKIE = PageCookie("name")


def request_with(*cookies: str, scheme: str = "http", origin: str | None = None) -> Request:
    headers = [(b"cookie", each.encode()) for each in cookies]
    headers += [] if origin is None else [(b"origin", origin.encode())]
    scope = {"type": "http", "scheme": scheme, "path": "/", "query_string": b"", "server": ("x", 80)}
    return Request({**scope, "headers": headers})


@pytest.mark.parametrize(
    ("scheme", "cookies", "values"),
    [
        ("http", ["name=a; name=b", "name=c"], ["a", "b", "c"]),
        ("http", ["name=a; __Host-name=b"], ["b", "a"]),
        ("https", ["name=a; __Host-name=b"], ["b"]),
        ("https", ["name=a"], []),
        ("http", ["", ";;", "=name", "other=name", "name", "Name=x"], [""]),
    ],
)
def test_every_value_is_offered_when_a_name_comes_twice(scheme: str, cookies: list[str], values: list[str]) -> None:
    assert list(COOKIE.values(request_with(*cookies, scheme=scheme))) == values


@pytest.mark.parametrize(
    ("request_", "begins", "is_secure"),
    [
        (request_with(), "name=v;", False),
        (request_with(scheme="https"), "__Host-name=v;", True),
        (request_with(origin="https://a.example"), "__Host-name=v;", True),
    ],
)
def test_cookie_is_bound_to_the_host_when_it_is_given_by_https(request_: Request, begins: str, is_secure: bool) -> None:
    answer = Response()
    COOKIE.set(request_, answer, "v", max_age_seconds=60)
    header = answer.headers["set-cookie"]
    assert header.startswith(begins)
    assert ("Secure" in header) is is_secure
    assert "Path=/;" in header
    assert "Domain" not in header


def test_cookie_goes_by_both_names_when_it_is_deleted() -> None:
    answer = Response()
    COOKIE.delete(request_with("name=a"), answer)
    gone = answer.headers.getlist("set-cookie")
    assert [each.partition("=")[0] for each in gone] == ["name", "__Host-name"]
    assert "Secure" in gone[1]
    untouched = Response()
    COOKIE.delete(request_with("other=a"), untouched)
    assert untouched.headers.getlist("set-cookie") == []
