"""`worker.clients.frontcore.client`: the errors, which come with status 200 too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.captures import capture
from tests.unit.worker.clients.frontcore.account import (
    HTML,
    KEY,
    WRONG_KEY,
    client,
)
from tests.unit.worker.clients.stub import Reply, StubTransport, answer
from worker.errors import (
    ApiError,
    ApiTimeoutError,
    AuthenticationError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnexpectedResponseError,
)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("Wrong API Key", AuthenticationError),
        ("Unauthorized", AuthenticationError),
        ("Too many requests", RateLimitedError),
        ("Rate limit exceeded for this API key", RateLimitedError),
        ("Access denied", PermissionDeniedError),
        ("Internal error", ServerError),
        ("Invalid value: limit", InvalidRequestError),
        (True, InvalidRequestError),
    ],
)
@pytest.mark.parametrize("stated_status", [200, 400])
def test_an_error_is_understood_by_its_word_when_its_status_says_nothing(
    word: Any, kind: type[ApiError], stated_status: int
) -> None:
    account = StubTransport(answer({"error": word}, stated_status))
    for ask in (lambda: list(client(account).list_orders()), lambda: client(account).retrieve_order(1)):
        with pytest.raises(kind) as caught:
            ask()
        assert caught.value.status == stated_status
        assert f"HTTP {stated_status} with an error" in str(caught.value)


def test_a_refused_key_is_told_with_its_own_status_when_the_error_comes_with_200() -> None:
    account = StubTransport(answer(capture("frontcore", "error_200.json")))
    with pytest.raises(AuthenticationError, match="answered HTTP 200 with an error: Wrong API Key"):
        list(client(account).list_orders())


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthenticationError), (403, PermissionDeniedError), (405, InvalidRequestError), (500, ServerError)],
)
def test_an_error_is_understood_by_its_status_when_that_says_enough(status: int, kind: type[ApiError]) -> None:
    with pytest.raises(kind, match="Wrong API Key"):
        list(client(StubTransport(answer(WRONG_KEY, status))).list_orders())


def test_a_missing_address_is_no_empty_list_when_the_server_says_404() -> None:
    for reply in (answer(HTML, 404), answer(b"  <html><body>nginx</body></html>", 404)):
        with pytest.raises(UnexpectedResponseError, match="base URL"):
            list(client(StubTransport(reply)).list_orders())
        with pytest.raises(UnexpectedResponseError, match="base URL"):
            client(StubTransport(reply)).retrieve_order(1)
    with pytest.raises(NotFoundError):
        list(client(StubTransport(answer({"error": "Not found"}, 404))).list_orders())


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (answer({"error": "Too many requests"}, 429), None),
        (answer(b"", 429, Retry_After="3"), 3.0),
        (answer({"error": "Too many requests"}, Retry_After="2"), 2.0),
    ],
)
def test_the_wait_asked_for_is_told_when_requests_are_too_many(reply: Reply, seconds: float | None) -> None:
    with pytest.raises(RateLimitedError) as caught:
        list(client(StubTransport(reply)).list_orders())
    assert (caught.value.retry_after_seconds, caught.value.retryable) == (seconds, True)


def test_half_an_answer_is_no_order_when_the_deadline_cut_it() -> None:
    half = replace(answer(b""), broken="the answer was cut short", timed_out=True)
    with pytest.raises(ApiTimeoutError):
        client(StubTransport(half)).retrieve_order(1)


def test_no_key_shows_when_an_error_quotes_it() -> None:
    account = StubTransport(answer({"error": f"Wrong API Key {KEY}"}))
    with pytest.raises(AuthenticationError) as caught:
        list(client(account).list_orders(since_id=77_777))
    assert KEY not in f"{caught.value}{caught.value!r}"
    assert "77777" not in str(caught.value)


def test_an_order_is_no_error_when_it_has_a_field_of_that_name() -> None:
    account = StubTransport(answer([{"id": 1, "error": "none of ours"}]))
    assert client(account).retrieve_order(1).model_extra == {"error": "none of ours"}
