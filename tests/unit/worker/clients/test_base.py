"""`worker.clients.base`: what every call goes through."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.unit.worker.clients.stub import StubTransport, answer, whole
from worker.clients.base import ApiClient, Budget, CallLimits, last_status
from worker.clients.rate import RateLimit
from worker.clients.reading import UnreadableError
from worker.clients.transport import NoAnswer
from worker.errors import (
    ApiConnectionError,
    ApiTimeoutError,
    ConfigurationError,
    LeaseLostError,
    ServerError,
    UnexpectedResponseError,
)
from worker.text.redaction import redact


def client(transport: StubTransport, **options: Any) -> ApiClient:
    return ApiClient("learningcart", base_url="https://cdn.example.test/Service.svc/", transport=transport, **options)


def counting(slots: list[None]) -> Callable[[], None]:
    return lambda: slots.append(None)


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "cdn.example.test",
        "ftp://cdn.example.test",
        "https://",
        "https://u:hunter2@cdn.example.test",
        "https://cdn.example.test/?key=hunter2",
        "https://cdn.example.test/#hunter2",
    ],
)
def test_a_client_cannot_be_made_when_its_base_url_is_no_plain_address(base_url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ApiClient("studiocart", base_url=base_url)
    assert "CARTBRIDGE_STUDIOCART__BASE_URL" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_answer_comes_back_when_a_call_succeeds() -> None:
    transport = StubTransport(answer([1]))
    got = whole(
        client(transport),
        "op",
        "GET",
        "/orders/1",
        params={"q": "a b+c&d=é"},
        json={"page": 1},
        headers={"x-api-key": "k"},
        safe_to_repeat=True,
    )
    asked = transport.asked[0]
    assert got.body == b"[1]"
    assert (asked.path, asked.query, asked.body) == ("/Service.svc/orders/1", {"q": "a b+c&d=é"}, {"page": 1})
    assert asked.headers["x-api-key"] == "k"
    assert asked.headers["Cache-Control"] == "no-cache"
    assert repr(got) == "Answer(status=200, 3 bytes)"


def test_a_space_is_percent_encoded_when_it_is_in_a_parameter() -> None:
    transport = StubTransport(answer())
    whole(client(transport), "op", "GET", "/x", params={"a": "b c+"}, safe_to_repeat=True)
    assert transport.asked[0].url == "https://cdn.example.test/Service.svc/x?a=b%20c%2B"


@pytest.mark.parametrize("safe", [True, False])
def test_an_error_is_raised_bare_when_the_server_fails(safe: bool) -> None:
    api = client(
        StubTransport(answer({"message": "token=hunter2 refused s3cret"}, 503)),
        redact=partial(redact, secrets=["s3cret"]),
    )
    with pytest.raises(ServerError) as caught:
        whole(api, "op", "GET", "/x", params={"password": "hunter2"}, safe_to_repeat=safe)
    assert str(caught.value) == "learningcart op answered HTTP 503: token=*** refused ***"
    assert caught.value.outcome_unknown is not safe
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_an_error_is_raised_when_no_answer_came() -> None:
    api = client(StubTransport(NoAnswer("connection", "ConnectionResetError", sent=True)))
    with pytest.raises(ApiConnectionError) as caught:
        whole(api, "op", "GET", "/x", safe_to_repeat=False)
    assert caught.value.outcome_unknown


def test_the_caller_s_own_redaction_is_used_when_given() -> None:
    api = client(StubTransport(answer({"message": "abc"}, 500)), redact=str.upper)
    with pytest.raises(ServerError, match="ABC"):
        whole(api, "op", "GET", "/x", safe_to_repeat=True)


def test_what_before_send_raises_comes_out_when_it_refuses() -> None:
    error = LeaseLostError("gone")

    def refuse() -> None:
        raise error

    transport = StubTransport(answer())
    with pytest.raises(LeaseLostError) as caught:
        whole(client(transport), "op", "GET", "/x", safe_to_repeat=False, limits=CallLimits(before_send=refuse))
    assert caught.value is error
    assert transport.asked == []


@pytest.mark.parametrize(("slot_taken", "slots_expected"), [(False, 1), (True, 0)])
def test_a_slot_is_waited_for_when_the_caller_has_not(
    monkeypatch: pytest.MonkeyPatch, slot_taken: bool, slots_expected: int
) -> None:
    slots: list[None] = []
    api = client(StubTransport(answer()))
    monkeypatch.setattr(api, "take_slot", counting(slots))
    whole(api, "op", "GET", "/x", safe_to_repeat=True, limits=CallLimits(slot_taken=slot_taken))
    assert len(slots) == slots_expected


def test_the_rate_limit_is_asked_when_a_slot_is_taken() -> None:
    naps: list[float] = []
    limit = RateLimit("learningcart", 1.0, now=lambda: 1.1 * len(naps), sleep=naps.append)
    api = client(StubTransport(answer()), rate_limit=limit)
    api.take_slot()
    api.take_slot()
    assert len(naps) == 1


@pytest.mark.parametrize(("asked_for", "seconds"), [(None, 7.0), (1.5, 1.5)])
def test_the_deadline_is_both_timeouts_when_none_is_named(asked_for: float | None, seconds: float) -> None:
    transport = StubTransport(answer())
    api = client(transport, connect_timeout_seconds=2.0, read_timeout_seconds=5.0)
    whole(api, "op", "GET", "/x", safe_to_repeat=False, limits=CallLimits(deadline_seconds=asked_for))
    exchange = transport.asked[0].exchange
    assert exchange.deadline - exchange.started == pytest.approx(seconds, abs=0.05)
    assert (exchange.connect_timeout_seconds, exchange.read_timeout_seconds) == (2.0, 5.0)
    assert exchange.fresh_connection


def test_an_unexpected_answer_is_unknown_when_the_call_is_unsafe() -> None:
    api = client(StubTransport(answer()))
    error = api.unexpected("op", "no id", safe_to_repeat=False, answer=answer(b"", 202))
    assert isinstance(error, UnexpectedResponseError)
    assert (error.status, error.outcome_unknown) == (202, True)
    assert api.unexpected("op", "no id", safe_to_repeat=True).status is None


def test_a_client_shows_only_its_name_when_printed() -> None:
    assert repr(client(StubTransport(answer()))) == "ApiClient('learningcart')"


def test_the_transport_is_closed_when_the_client_is() -> None:
    transport = StubTransport(answer())
    client(transport).close()
    assert transport.closed


def test_a_budget_stands_still_when_it_is_paused() -> None:
    seconds = [0.0]
    budget = Budget(10.0, lambda: seconds[0])
    seconds[0] = 4.0
    assert budget.left() == 6.0
    with budget.paused():
        seconds[0] = 104.0
    assert budget.left() == 6.0
    seconds[0] = 120.0
    assert budget.left() == -10.0


NOTICE = b"<b>Notice</b>: hunter2 at line 3<br />\n"


def test_an_answer_is_read_and_noted_when_notices_stand_around_it_and_the_call_is_safe() -> None:
    api = client(StubTransport(answer()), redact=partial(redact, secrets=["hunter2"]))
    for _ in range(2):
        assert api.read("op", answer(NOTICE + b"[1]"), safe_to_repeat=True) == [1]
    assert api.notes == ("op: the JSON is preceded by 'Notice : *** at line 3'",)
    assert api.read("op", answer(b"[1]"), safe_to_repeat=True) == [1]
    for number in range(50):
        api.read(f"op{number}", answer(NOTICE + b"[1]"), safe_to_repeat=True)
    assert len(api.notes) == 20


def test_an_answer_is_not_read_when_notices_stand_around_it_and_the_call_is_not_safe() -> None:
    api = client(StubTransport(answer()), redact=partial(redact, secrets=["hunter2"]))
    with pytest.raises(UnreadableError) as caught:
        api.read("op", answer(NOTICE + b"[1]"), safe_to_repeat=False)
    assert str(caught.value).endswith("XML: the JSON is preceded by 'Notice : *** at line 3'")
    assert "hunter2" not in repr(caught.value.surroundings)
    assert caught.value.__context__ is None
    assert api.notes == ()


def test_the_declared_charset_counts_when_an_answer_is_read() -> None:
    api = client(StubTransport(answer()))
    declared = answer(b'["Jos\xc3", "\xe5"]', content_type="application/json; charset=windows-1252")
    assert api.read("op", declared, safe_to_repeat=False) == ["JosÃ", "å"]


def test_the_status_of_the_last_answer_is_known_when_a_call_has_ended() -> None:
    transport = StubTransport(answer(status=202), NoAnswer("timeout", sent=True, cause="slow"))
    whole(client(transport), "op", "GET", "/x", safe_to_repeat=True)
    assert last_status() == 202
    with pytest.raises(ApiTimeoutError):
        whole(client(transport), "op", "GET", "/x", safe_to_repeat=True)
    assert last_status() is None
