"""`worker.clients.outcomes`: one status, one meaning."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.clients.stub import answer
from worker.clients.outcomes import error_for_answer, error_for_no_answer, read_retry_after, unexpected, word_in
from worker.clients.reading import code_of
from worker.clients.transport import Answer, NoAnswer
from worker.errors import (
    ApiConnectionError,
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

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SPECIAL: dict[int, type[ApiError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: ApiTimeoutError,
    410: NotFoundError,
    425: RateLimitedError,
    429: RateLimitedError,
}


def expected(status: int, *, safe: bool) -> tuple[type[ApiError], bool, bool]:
    """Class, retryable, outcome_unknown: the rulings, written out independently of the code."""
    if status < 400:
        return UnexpectedResponseError, safe, not safe
    if status >= 500:
        return ServerError, safe, not safe
    kind = SPECIAL.get(status, InvalidRequestError)
    if status == 408:
        return kind, safe, not safe
    return kind, status in {425, 429}, False


def error_of(reply: Answer, *, safe: bool = True) -> ApiError | None:
    return error_for_answer(
        reply,
        system="learningcart",
        operation="addCompOrder",
        safe_to_repeat=safe,
        now=NOW,
        redact=lambda text: text.replace("hunter2", "***"),
    )


@pytest.mark.parametrize("safe", [True, False])
def test_an_error_has_its_class_and_both_flags_when_any_status_comes(safe: bool) -> None:
    for status in range(300, 600):
        error = error_of(answer({"message": "hunter2 is no good"}, status), safe=safe)
        assert error is not None
        assert (type(error), error.retryable, error.outcome_unknown) == expected(status, safe=safe), status
        assert (error.system, error.operation, error.status) == ("learningcart", "addCompOrder", status)
        assert error.message == f"learningcart addCompOrder answered HTTP {status}: *** is no good"


@pytest.mark.parametrize("body", [b"<html><body>Too many</body></html>", b"60412", b'{"OrderID": 60412}', b"{}"])
def test_a_429_is_an_unknown_outcome_when_its_body_is_no_refusal_and_no_rate_is_known(body: bytes) -> None:
    reply = Answer(429, {"Retry-After": "600"}, body)
    error = error_of(reply, safe=False)
    assert error is not None
    assert (type(error), error.outcome_unknown, error.retryable) == (UnexpectedResponseError, True, False)
    assert error.retry_after_seconds == 600
    repeated = error_of(reply, safe=True)
    assert type(repeated) is RateLimitedError
    limited = error_for_answer(
        reply, system="threedcart", operation="create_cart", safe_to_repeat=False, now=NOW, redact=str
    )
    assert type(limited) is RateLimitedError


@pytest.mark.parametrize("body", [b"", b"Too many requests", b'{"Message": "Slow down"}', b'"Slow down"'])
def test_a_429_is_a_refusal_when_it_says_nothing_else(body: bytes) -> None:
    error = error_of(Answer(429, {}, body), safe=False)
    assert error is not None
    assert (type(error), error.outcome_unknown, error.retryable) == (RateLimitedError, False, True)


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_page_that_refuses_a_new_cart_is_an_unknown_outcome(status: int) -> None:
    page = Answer(status, {}, b"<!DOCTYPE html><html><body>Blocked by the firewall</body></html>")
    error = error_for_answer(
        page, system="threedcart", operation="create_cart", safe_to_repeat=False, now=NOW, redact=str
    )
    assert error is not None
    assert (error.outcome_unknown, error.retryable) == (True, False)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_there_is_no_error_when_a_2xx_is_whole(status: int) -> None:
    assert error_of(answer(b"<html>", status)) is None


@pytest.mark.parametrize("status", [100, 103, 199])
def test_an_answer_is_unexpected_when_only_an_interim_one_came(status: int) -> None:
    assert isinstance(error_of(answer(b"", status)), UnexpectedResponseError)


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        ("the deadline was over before the answer was complete", ApiTimeoutError),
        ("the answer was cut short (ChunkedEncodingError)", UnexpectedResponseError),
        ("the answer is too large", UnexpectedResponseError),
    ],
)
def test_half_an_answer_is_unknown_when_the_call_is_unsafe(broken: str, kind: type[ApiError], safe: bool) -> None:
    error = error_of(Answer(200, {}, b"", broken=broken, timed_out="deadline" in broken), safe=safe)
    assert type(error) is kind
    assert (error.retryable, error.outcome_unknown, error.status) == (safe, not safe, 200)


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_a_refusal_is_unknown_when_it_is_cut_short(status: int, safe: bool) -> None:
    """What is missing may have been a page of something in between, or WCF's, which stands for any failure."""
    error = error_of(Answer(status, {}, b"", broken="the answer was cut short"), safe=safe)
    assert type(error) is UnexpectedResponseError
    assert (error.retryable, error.outcome_unknown, error.status) == (safe, not safe, status)


def test_too_many_requests_mean_the_same_when_their_answer_is_cut_short() -> None:
    error = error_of(Answer(429, {"Retry-After": "7"}, b"", broken="the answer was cut short"), safe=True)
    assert isinstance(error, RateLimitedError)
    assert error.retry_after_seconds == 7


@pytest.mark.parametrize("status", [425, 429])
def test_too_many_requests_are_an_unknown_outcome_when_their_answer_is_cut_short_and_no_rate_is_known(
    status: int,
) -> None:
    """What is missing may have been a page of something in between, and the call carried out behind it."""
    error = error_of(Answer(status, {"Retry-After": "7"}, b"", broken="the answer was cut short"), safe=False)
    assert type(error) is UnexpectedResponseError
    assert (error.retryable, error.outcome_unknown, error.retry_after_seconds) == (False, True, 7)


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize(
    ("kind", "sent", "error_class", "retryable"),
    [
        ("timeout", False, ApiTimeoutError, True),
        ("connection", False, ApiConnectionError, True),
        ("tls", False, ApiConnectionError, False),
        ("malformed", False, InvalidRequestError, False),
        ("timeout", True, ApiTimeoutError, None),
        ("connection", True, ApiConnectionError, None),
    ],
)
def test_a_silence_is_unknown_only_when_an_unsafe_call_was_sent(
    kind: str, sent: bool, error_class: type[ApiError], retryable: bool | None, safe: bool
) -> None:
    failure = NoAnswer(kind, "SomeError", sent)
    error = error_for_no_answer(failure, system="studiocart", operation="list/orders", safe_to_repeat=safe)
    assert type(error) is error_class
    assert error.status is None
    assert error.outcome_unknown is (sent and not safe)
    assert error.retryable is (safe if retryable is None else retryable)
    assert "SomeError" in str(error)


def test_an_error_comes_back_whole_when_it_is_copied() -> None:
    error = error_of(answer({}, 429, Retry_After="7"))
    assert error is not None
    again = copy.copy(error)
    assert (type(again), again.status, again.retry_after_seconds) == (RateLimitedError, 429, 7.0)


def test_an_unexpected_answer_names_its_status_when_there_is_one() -> None:
    error = unexpected("no id", system="a", operation="b", safe_to_repeat=False, status=200)
    assert (str(error), error.status, error.outcome_unknown, error.retryable) == ("a b: no id", 200, True, False)


@pytest.mark.parametrize(
    ("status", "seconds"), [(408, 9.0), (425, 9.0), (429, 9.0), (500, 9.0), (503, 9.0), (400, None), (404, None)]
)
def test_retry_after_is_kept_when_the_call_may_be_tried_again(status: int, seconds: float | None) -> None:
    error = error_of(answer(b"", status, retry_after="9"))
    assert error is not None
    assert error.retry_after_seconds == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 1.5 ", 1.5),
        ("0", 0.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 12:00:30", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2020 11:00:00 -0000", 0.0),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("1e300", 86_400.0),
        ("soon", None),
        ("", None),
        ("99999999 Mar 2026", None),
    ],
)
def test_retry_after_is_read_when_it_makes_sense(text: str | None, seconds: float | None) -> None:
    assert read_retry_after(text, NOW) == seconds


@given(st.text())
def test_retry_after_never_fails_when_it_is_garbage(text: str) -> None:
    seconds = read_retry_after(text, NOW)
    assert seconds is None or 0 <= seconds <= 86_400


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"message": "no"}, "no"),
        ({"Message": " two\r\n lines\t "}, "two lines"),
        ({"error": "x", "code": 3}, "x"),
        ({"error": {"message": "deep"}}, "deep"),
        ({"error": {}, "Error_Description": "why"}, "why"),
        ([{"Message": "in a list"}], "in a list"),
        ("plain", "plain"),
        ('{"Message": "twice"}', "twice"),
        ({"message": "<b>page</b>"}, ""),
        ({"message": 7}, ""),
        ({"data": "the learner's name"}, ""),
        ([], ""),
        (7, ""),
        (b"<html><body>no</body></html>", ""),
        (b"<Fault><Code>c</Code><Reason><Text>because</Text></Reason></Fault>", "because"),
        (b"not json", ""),
        (b"", ""),
        (b'"' + b"x" * 100_001 + b'"', ""),
    ],
)
def test_only_a_short_word_is_quoted_when_an_error_has_a_body(body: Any, word: str) -> None:
    assert word_in(answer(body)) == word


def test_a_word_is_cut_when_it_is_long() -> None:
    error = error_of(answer({"message": "x" * 1000}, 400))
    assert str(error).endswith(": " + "x" * 200)


def test_a_secret_is_masked_when_the_cut_would_go_through_it() -> None:
    error = error_of(answer({"message": "x" * 195 + "hunter2"}, 400))
    assert "hunt" not in str(error)


def redirected(location: str, base_url: str = "https://shop.example/wp-json/sc/v1", status: int = 301) -> str:
    error = error_for_answer(
        answer(b"", status, Location=location),
        system="studiocart",
        operation="list/orders",
        safe_to_repeat=True,
        now=NOW,
        redact=lambda text: text.replace("hunter2", "***"),
        base_url=base_url,
    )
    assert isinstance(error, UnexpectedResponseError)
    return error.message


ADVICE = ". Set CARTBRIDGE_STUDIOCART__BASE_URL to the address that answers by itself"


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("https://new.example/wp-json/sc/v1/orders?key=hunter2#x", "https://new.example/wp-json/sc/v1/orders"),
        ("/login?next=hunter2", "https://shop.example/login"),
        ("//u:pw@new.example:8443/x", "https://new.example:8443/x"),
        ("https://[::1]:80/hunter2", "https://[::1]:80/***"),
        ("http://shop.example/x", "http://shop.example/x, which is not encrypted"),
    ],
)
def test_a_redirection_names_its_target_without_its_query_when_it_comes(location: str, said: str) -> None:
    message = redirected(location)
    assert message == f"studiocart list/orders answered HTTP 301, a redirection to {said}{ADVICE}"


@pytest.mark.parametrize("location", ["", "https://[", "mailto:jo@x.no", "https://new.example/\x00\x1b[2J"])
def test_a_redirection_says_no_more_when_its_target_is_no_address(location: str) -> None:
    assert redirected(location) == "studiocart list/orders answered HTTP 301"


def test_no_setting_is_named_when_there_is_none_for_a_redirection() -> None:
    assert redirected("https://new.example/x", base_url="").endswith("a redirection to https://new.example/x")


def test_a_redirection_is_short_when_its_target_is_long() -> None:
    assert len(redirected("https://new.example/" + "x" * 100_000)) < 400


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"code": "rest_no_route", "message": "No route hunter2"}, "No route ***"),
        (b'<br /><b>Notice</b>: x<br />\n{"code": "rest_no_route", "message": "No"}', "No"),
        ([{"Code": 30, "Message": "no"}], "no"),
        ({"error": {"code": "a.b", "message": "no"}}, "no"),
        ({"code": True, "errorCode": None}, ""),
        (b"<html>", ""),
    ],
)
def test_a_vendor_s_own_sentence_is_kept_when_it_gave_one(body: Any, message: str) -> None:
    error = error_of(answer(body, 404))
    assert error is not None
    assert error.notice.message == message


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"code": "rest_no_route", "message": "No route"}, "rest_no_route"),
        ([{"Code": 30, "Message": "no"}], "30"),
        ({"error": {"code": "a.b", "message": "no"}}, "a.b"),
        ({"code": "a sentence, not a code", "message": "no"}, ""),
        ({"code": True, "errorCode": None}, ""),
        ({"code": "x" * 65}, ""),
    ],
)
def test_a_code_is_short_and_one_word_when_it_is_taken_for_one(document: Any, code: str) -> None:
    assert code_of(document) == code


def test_a_word_is_cut_before_it_is_matched_when_it_is_long() -> None:
    error = error_of(answer({"message": "word " * 15_000}, 400))
    assert error is not None
    assert len(error.notice.message) == 200
