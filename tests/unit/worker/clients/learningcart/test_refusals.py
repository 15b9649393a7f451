"""`worker.clients.learningcart.client` when a token or a call is refused: once more, or never, but never in doubt."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from tests.unit.worker.clients.learningcart.site import (
    BEGIN,
    CALLS,
    GOOD,
    HTML,
    ORDER,
    PASSWORD,
    Vendor,
    client,
    failure,
    guid,
)
from tests.unit.worker.clients.stub import Asked, Reply, answer
from worker.clients.base import Budget, CallLimits
from worker.clients.transport import Answer, NoAnswer
from worker.errors import (
    ApiConnectionError,
    ApiError,
    ApiTimeoutError,
    AuthenticationError,
    InvalidRequestError,
    NotFoundError,
    RateLimitedError,
    RefusalUnclearError,
    RequestRefusedError,
    ServerError,
    UnexpectedResponseError,
)
from worker.text.redaction import SecretRegistry

LIST = "getOrdersByDate"


FAULTS = (
    b"<Fault><Code><Value>Receiver</Value></Code><Reason><Text>The token is not valid.</Text></Reason></Fault>",
    b"<Fault><Reason><Text>Object reference not set to an instance of an object.</Text></Reason></Fault>",
    {"ExceptionDetail": None, "ExceptionType": None, "Message": "Unable to process the request.", "StackTrace": None},
    {"Code": {"Value": "Receiver"}, "Reason": {"Text": "The server was unable to process the request."}},
)
"""How WCF writes an unhandled exception where it does not write a page: it may come from before the call or after."""


@pytest.mark.parametrize(
    "refusal",
    [
        answer({"Message": "x"}, 401),
        answer(b"", 401),
        answer({"Message": "x"}, 403),
        answer({"Message": "Invalid AuthenticationToken"}, 400),
        answer("Invalid or expired AuthenticationToken", 200),
    ],
)
def test_a_call_is_repeated_once_with_a_new_token_when_its_token_is_refused(refusal: Answer) -> None:
    for method, call in CALLS.items():
        vendor = Vendor(refusal, answer(GOOD[method]))
        sends: list[None] = []
        call(client(vendor), CallLimits(before_send=partial(sends.append, None)))
        assert [asked.query["AuthenticationToken"] for asked in vendor.calls] == [guid(1), guid(2)], method
        assert len(vendor.token_requests) == 2, method
        assert len(sends) == 2, method


def test_a_call_is_made_a_third_time_when_its_second_token_may_have_been_revoked_meanwhile() -> None:
    """Its refusal came long after it was asked for: the worker stood still, or the answer did."""
    seconds = [0.0]

    def refused_late(_asked: Asked) -> Answer:
        seconds[0] += 6.0
        return answer(b"", 401)

    vendor = Vendor(answer(b"", 401), refused_late, answer(GOOD["addCompOrder"]))
    CALLS["addCompOrder"](client(vendor, clock=lambda: seconds[0]), CallLimits())
    assert (len(vendor.calls), len(vendor.token_requests)) == (3, 3)


def test_a_call_is_made_a_third_time_when_its_second_token_was_another_s() -> None:
    seconds = [0.0]

    def refused_after_another_renewed(_asked: Asked) -> Answer:
        tokens = learningcart._tokens
        tokens.get(Budget(10, lambda: seconds[0]), refused=guid(1))
        seconds[0] += 1.0
        return answer(b"", 401)

    vendor = Vendor(refused_after_another_renewed, answer(b"", 401), answer(GOOD["addCompOrder"]))
    learningcart = client(vendor, clock=lambda: seconds[0])
    CALLS["addCompOrder"](learningcart, CallLimits())
    assert (len(vendor.calls), len(vendor.token_requests)) == (3, 3)


def test_the_credentials_are_refused_when_three_tokens_are() -> None:
    seconds = [0.0]

    def refused_late(_asked: Asked) -> Answer:
        seconds[0] += 6.0
        return answer(b"", 401)

    vendor = Vendor(*[refused_late] * 4)
    with pytest.raises(AuthenticationError):
        CALLS["getOrdersByDate"](client(vendor, clock=lambda: seconds[0]), CallLimits(deadline_seconds=100))
    assert (len(vendor.calls), len(vendor.token_requests)) == (3, 3)


@pytest.mark.parametrize("method", CALLS)
def test_everybody_is_refused_when_a_harmless_request_is_too(method: str) -> None:
    for status in (200, 400, 401, 403):
        vendor = Vendor(answer("Invalid token", status))
        error = failure(method, vendor)
        assert (type(error), error.status, error.outcome_unknown) == (AuthenticationError, status, False)
        assert [asked.method for asked in vendor.calls] == [method, method, "getOrdersByDate"][: 2 + (method != LIST)]
        assert len(vendor.token_requests) == 2


@pytest.mark.parametrize("method", [method for method in CALLS if method != LIST])
@pytest.mark.parametrize("status", [401, 403])
def test_the_request_alone_is_refused_when_a_harmless_one_is_answered(method: str, status: int) -> None:
    refused = answer({"Message": "no"}, status)
    vendor = Vendor(refused, refused, answer([]))
    error = failure(method, vendor)
    assert (type(error), error.status, error.outcome_unknown) == (RequestRefusedError, status, False)
    assert not error.retryable
    assert vendor.calls[2].query["AuthenticationToken"] == vendor.calls[1].query["AuthenticationToken"]


@pytest.mark.parametrize(
    "other", [answer(HTML, 500), answer({}, 429), answer(HTML), NoAnswer("timeout", "X", sent=True)]
)
def test_a_refusal_waits_when_nothing_can_be_learned_of_others(other: Reply) -> None:
    refused = answer({"Message": "no"}, 403)
    error = failure("addCompOrder", Vendor(refused, refused, other))
    assert type(error) is RefusalUnclearError
    assert (error.retryable, error.outcome_unknown, error.unreachable) == (True, False, True)


@pytest.mark.parametrize("method", [method for method in CALLS if method != LIST])
def test_a_firewalls_page_concerns_the_request_alone_when_others_are_answered(method: str) -> None:
    vendor = Vendor(answer(HTML, 403), answer(HTML, 403), answer([]))
    error = failure(method, vendor)
    is_unknown = method == "addCompOrder"
    assert type(error) is (UnexpectedResponseError if is_unknown else RequestRefusedError)
    assert error.outcome_unknown is is_unknown


@pytest.mark.parametrize("status", [401, 403])
def test_an_unsafe_call_is_unknown_and_not_repeated_when_a_page_refuses_it(status: int) -> None:
    vendor = Vendor(answer(HTML, status), answer(ORDER))
    each = client(vendor)
    with pytest.raises(UnexpectedResponseError) as caught:
        each.add_comp_order(7, 501)
    assert (caught.value.outcome_unknown, caught.value.status) == (True, status)
    assert len(vendor.calls) == 1
    each.add_comp_order(7, 501)
    assert vendor.calls[1].query["AuthenticationToken"] == guid(2)


CUT = "the answer was cut short (ProtocolError)"


@pytest.mark.parametrize("is_undated", [False, True])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429])
def test_an_unsafe_call_is_unknown_and_not_repeated_when_its_refusal_is_cut_short(
    status: int, is_undated: bool
) -> None:
    """What is missing may have been a page of something in between, after LearningCart made the order."""
    vendor = Vendor(
        Answer(status, {}, b"", broken=CUT), answer(ORDER), tokens=[answer(guid(1))] if is_undated else None
    )
    error = failure("addCompOrder", vendor)
    assert (type(error), error.outcome_unknown, error.status) == (UnexpectedResponseError, True, status)
    assert len(vendor.calls) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_safe_call_is_repeated_once_and_nobodys_credentials_are_refused_when_refusals_are_cut_short(
    status: int,
) -> None:
    cut = Answer(status, {}, b"", broken=CUT)
    assert client(Vendor(cut, answer([]))).get_orders_by_date(BEGIN) == []
    error = failure(LIST, Vendor(cut))
    assert (type(error), error.retryable, error.outcome_unknown) == (UnexpectedResponseError, True, False)


def test_a_safe_call_is_repeated_when_a_page_refuses_it() -> None:
    vendor = Vendor(answer(HTML, 401), answer([]))
    assert client(vendor).get_orders_by_date(BEGIN) == []


@pytest.mark.parametrize("method", CALLS)
def test_a_failed_call_is_not_repeated_when_a_gateways_page_speaks_of_the_token(method: str) -> None:
    vendor = Vendor(answer(b"<html>Invalid or expired AuthenticationToken.</html>", 503), answer(GOOD[method]))
    each = client(vendor)
    with pytest.raises(ServerError) as caught:
        CALLS[method](each, CallLimits())
    assert caught.value.outcome_unknown is (method == "addCompOrder")
    assert len(vendor.calls) == 1
    CALLS[method](each, CallLimits())
    assert vendor.calls[1].query["AuthenticationToken"] == guid(2)


@pytest.mark.parametrize(
    ("reply", "kind", "unknown"),
    [
        (answer({"Message": "no such price"}, 400), InvalidRequestError, False),
        *((answer(fault, status), UnexpectedResponseError, True) for fault in FAULTS for status in (200, 400)),
        (answer({"Message": "token expired"}, 429, Retry_After="3"), RateLimitedError, False),
        (answer({}, 408), ApiTimeoutError, True),
        (answer({}, 302), UnexpectedResponseError, True),
        (answer(HTML, 502), ServerError, True),
        (NoAnswer("connection", "X", sent=True), ApiConnectionError, True),
        (NoAnswer("connection", "X", sent=False), ApiConnectionError, False),
    ],
)
def test_an_unsafe_call_is_made_once_when_it_fails_otherwise(reply: Reply, kind: type[ApiError], unknown: bool) -> None:
    vendor = Vendor(reply)
    error = failure("addCompOrder", vendor)
    assert (type(error), error.outcome_unknown) == (kind, unknown)
    assert (len(vendor.calls), len(vendor.token_requests)) == (1, 1)


@pytest.mark.parametrize(
    "refusal",
    [
        answer({"Message": "no"}, 400),
        answer(b"", 401),
        answer(HTML, 401),
        answer({}, 422),
        answer(None),
        answer(""),
        answer("00000000-0000-0000-0000-000000000000"),
        answer("Invalid user name"),
        answer({"d": {"Authentication Token": None}}),
        answer({"requestTokenResult": {"Message": "Invalid password"}}),
        answer(False),
    ],
)
def test_the_credentials_are_wrong_when_no_token_is_given(refusal: Answer) -> None:
    vendor = Vendor(answer(ORDER), tokens=[refusal])
    error = failure("addCompOrder", vendor)
    assert (type(error), error.operation, error.outcome_unknown) == (AuthenticationError, "requestToken", False)
    assert vendor.calls == []


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer({}, 404), NotFoundError),
        (answer({}, 405), InvalidRequestError),
        (answer({}, 429), RateLimitedError),
        (answer(HTML, 500), ServerError),
        (answer(HTML, 400), UnexpectedResponseError),
        (answer(HTML, 403), UnexpectedResponseError),
        (answer(HTML), UnexpectedResponseError),
        *((Answer(status, {}, b"", broken="cut short"), UnexpectedResponseError) for status in (400, 401, 403, 422)),
        (answer({"Something": "else"}), UnexpectedResponseError),
        (answer([]), UnexpectedResponseError),
        (answer(b"{"), UnexpectedResponseError),
        (NoAnswer("timeout", "X", sent=True), ApiTimeoutError),
        (NoAnswer("connection", "X", sent=False), ApiConnectionError),
    ],
)
def test_the_call_itself_was_not_sent_when_its_token_cannot_be_had(reply: Reply, kind: type[ApiError]) -> None:
    vendor = Vendor(answer(ORDER), tokens=[reply])
    error = failure("addCompOrder", vendor)
    assert (type(error), error.retryable, error.outcome_unknown) == (kind, True, False)
    assert vendor.calls == []


@pytest.mark.parametrize("method", [method for method in CALLS if method != "addCompOrder"])
def test_a_safe_call_is_repeated_when_a_fault_answers_it(method: str) -> None:
    for fault in FAULTS:
        vendor = Vendor(answer(fault, 400), answer(GOOD[method]))
        CALLS[method](client(vendor), CallLimits())
        assert len(vendor.token_requests) == 2


@pytest.mark.parametrize("method", [method for method in CALLS if method != "addCompOrder"])
@pytest.mark.parametrize("status", [404, 405, 406, 410, 451])
def test_a_safe_call_may_be_tried_again_when_a_page_of_something_in_between_refuses_it(
    method: str, status: int
) -> None:
    error = failure(method, Vendor(answer(HTML, status)))
    assert (type(error), error.retryable, error.status) == (UnexpectedResponseError, True, status)


def test_the_call_was_not_carried_out_when_the_second_token_cannot_be_had() -> None:
    vendor = Vendor(answer(b"", 401), tokens=[answer(guid(1)), answer(HTML, 500)])
    error = failure("addCompOrder", vendor)
    assert (type(error), error.operation, error.outcome_unknown) == (ServerError, "requestToken", False)


def test_a_token_is_asked_for_and_learned_when_the_operator_checks() -> None:
    registry = SecretRegistry()
    token = client(Vendor(answer(ORDER)), secrets=registry).request_token()
    assert token.value.get_secret_value() == guid(1)
    assert token.lifetime == timedelta(hours=1)
    assert set(registry.values()) == {PASSWORD, guid(1)}


def test_a_secret_is_masked_when_the_vendor_quotes_it() -> None:
    def quote(asked: Asked) -> Answer:
        return answer({"Message": f"at ?AuthenticationToken={asked.query['AuthenticationToken']} by {PASSWORD}"}, 409)

    assert str(failure("getOrderByID", Vendor(quote))).endswith("at ?AuthenticationToken=*** by ***")
