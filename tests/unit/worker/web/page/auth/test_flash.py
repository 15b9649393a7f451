from __future__ import annotations

from http.cookies import SimpleCookie

import pytest
from starlette.requests import Request
from starlette.responses import Response

from worker.web.page.auth.flash import COOKIE, Notice, Notices

NOTICES = Notices(lambda: b"a key")


def request_with(cookie: str | None = None, *, scheme: str = "http", origin: str | None = None) -> Request:
    headers = [] if cookie is None else [(b"cookie", f"{COOKIE.name}={cookie}".encode())]
    headers += [] if origin is None else [(b"origin", origin.encode())]
    scope = {
        "type": "http",
        "scheme": scheme,
        "path": "/",
        "query_string": b"",
        "server": ("x", 80),
        "headers": headers,
    }
    return Request(scope)


def left(notice: Notice, request: Request | None = None) -> str:
    answer = Response()
    NOTICES.leave(request or request_with(), answer, notice)
    return answer.headers["set-cookie"]


def value_of(header: str) -> str:
    return SimpleCookie(header)[COOKIE.name].value


def test_notice_is_read_as_it_was_left_when_it_comes_back() -> None:
    notice = Notice("good", ("Geräte angelegt.", "learningcart addCustomer jane@example.test"))
    header = left(notice)
    assert NOTICES.read(request_with(value_of(header))) == notice
    assert "HttpOnly" in header
    assert "SameSite=strict" in header
    assert "Secure" not in header


@pytest.mark.parametrize("request_", [request_with(scheme="https"), request_with(origin="https://a.example")])
def test_cookie_is_for_https_alone_when_the_browser_came_by_it(request_: Request) -> None:
    assert "Secure" in left(Notice("good", ("Done.",)), request_)


def test_notice_fits_into_a_cookie_when_it_is_long() -> None:
    header = left(Notice("ask", ("€" * 5000, "second")))
    read = NOTICES.read(request_with(value_of(header)))
    assert read is not None
    assert read.lines[0].endswith("…")
    assert len(value_of(header)) < 4096 - len(COOKIE.name_over_https)
    assert len(read.lines) == 1


@pytest.mark.parametrize("cookie", [None, "", ".", "a.b", "é.x"])
def test_there_is_no_notice_when_the_cookie_is_not_ours(cookie: str | None) -> None:
    assert NOTICES.read(request_with(cookie)) is None


def test_there_is_no_notice_when_it_was_signed_with_another_key_or_holds_nonsense() -> None:
    value = value_of(left(Notice("good", ("Done.",))))
    assert Notices(lambda: b"another").read(request_with(value)) is None
    payload = "bm9uc2Vuc2U"
    assert NOTICES.read(request_with(f"{payload}.{NOTICES._sign(payload)}")) is None
