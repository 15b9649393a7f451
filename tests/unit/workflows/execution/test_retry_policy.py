"""What follows from a failed attempt: the whole table."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import pytest

from tests.unit.workflows.fakes.learningcart import PATIENCE, api_error
from tests.unit.workflows.fakes.storefront import NOW
from worker.errors import (
    ApiConnectionError,
    ApiTimeoutError,
    AuthenticationError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RefusalUnclearError,
    RequestRefusedError,
    ServerError,
    UnexpectedResponseError,
    VendorNotice,
)
from worker.ledger.states import Outcome, RunState
from worker.reasons import Reason
from workflows.execution.retry_policy import LeaseShortError, RetryDecision, RetryPolicy
from workflows.execution.steps import Repeat


def judged(error: BaseException, *, safe: bool = True, failures: int = 1, **more: Any) -> RetryDecision:
    return RetryPolicy(PATIENCE, Random(1)).judge(
        error, repeat=Repeat.SAFE if safe else Repeat.ASK, failures=failures, now=NOW, **more
    )


@pytest.mark.parametrize(
    "kind", [ApiConnectionError, ApiTimeoutError, RateLimitedError, ServerError, UnexpectedResponseError]
)
@pytest.mark.parametrize("safe", [True, False])
def test_call_is_tried_again_when_it_was_not_carried_out(kind: Any, *, safe: bool) -> None:
    decision = judged(api_error(kind), safe=safe)
    assert (decision.outcome, decision.state, decision.reason) == (Outcome.RETRYABLE, RunState.WAITING, Reason.RETRYING)
    assert decision.counted
    assert decision.lane_shut_until is None
    assert decision.next_attempt_at is not None
    assert NOW <= decision.next_attempt_at <= NOW + timedelta(seconds=PATIENCE.base_seconds)


@pytest.mark.parametrize("kind", [ApiTimeoutError, ApiConnectionError, ServerError, UnexpectedResponseError])
@pytest.mark.parametrize("failures", [1, PATIENCE.max_attempts, 100])
def test_outcome_settles_and_the_lane_stays_shut_when_it_is_unknown(kind: Any, failures: int) -> None:
    decision = judged(api_error(kind, unknown=True, retryable=False), safe=False, failures=failures)
    assert (decision.outcome, decision.state, decision.reason) == (Outcome.UNKNOWN, RunState.WAITING, Reason.SETTLING)
    assert decision.counted
    assert decision.next_attempt_at is not None
    assert decision.next_attempt_at <= NOW + timedelta(seconds=PATIENCE.base_seconds)
    assert decision.lane_shut_until is not None
    assert decision.lane_shut_until >= NOW + timedelta(seconds=PATIENCE.settle_seconds)


def test_call_that_cannot_be_asked_about_is_repeated_after_the_settle_time_when_that_is_harmless() -> None:
    error = api_error(ApiTimeoutError, unknown=True, retryable=False)
    decision = RetryPolicy(PATIENCE, Random(1)).judge(error, repeat=Repeat.HARMLESS, failures=1, now=NOW)
    assert decision.next_attempt_at == decision.lane_shut_until == NOW + timedelta(seconds=PATIENCE.settle_seconds)


def test_lookup_waits_as_long_as_the_server_asks_when_that_is_longer_than_the_settle_time() -> None:
    decision = judged(api_error(ServerError, unknown=True, notice=VendorNotice(retry_after_seconds=600)), safe=False)
    assert decision.next_attempt_at == NOW + timedelta(seconds=600)
    assert decision.lane_shut_until == NOW + timedelta(seconds=600)


def test_wish_is_taken_for_a_mistake_when_it_is_beyond_a_day() -> None:
    decision = judged(api_error(ServerError, unknown=True, notice=VendorNotice(retry_after_seconds=1e9)), safe=False)
    assert decision.next_attempt_at == NOW + timedelta(days=1)


def test_server_is_left_alone_when_it_says_for_how_long() -> None:
    decision = judged(api_error(RateLimitedError, notice=VendorNotice(retry_after_seconds=120)))
    assert decision.next_attempt_at == NOW + timedelta(seconds=120)


@pytest.mark.parametrize("kind", [InvalidRequestError, NotFoundError])
@pytest.mark.parametrize("safe", [True, False])
def test_run_fails_when_the_call_is_refused(kind: Any, *, safe: bool) -> None:
    decision = judged(api_error(kind), safe=safe)
    assert (decision.outcome, decision.state, decision.reason) == (Outcome.FINAL, RunState.FAILED, Reason.REFUSED)


def test_run_fails_by_name_when_tls_is_not_accepted() -> None:
    decision = judged(api_error(ApiConnectionError, retryable=False))
    assert (decision.outcome, decision.state, decision.reason) == (Outcome.FINAL, RunState.FAILED, Reason.TLS_FAILURE)


@pytest.mark.parametrize("kind", [AuthenticationError, PermissionDeniedError])
@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("failures", [1, 100])
def test_destination_is_paused_and_the_run_waits_when_credentials_are_refused(
    kind: Any, failures: int, *, safe: bool
) -> None:
    decision = judged(api_error(kind), safe=safe, failures=failures)
    assert decision.pause
    assert not decision.counted
    assert (decision.state, decision.reason, decision.next_attempt_at) == (RunState.WAITING, Reason.AUTHENTICATION, NOW)


def test_run_waits_uncounted_when_the_lease_was_short() -> None:
    decision = judged(LeaseShortError("short"), safe=False, failures=100)
    assert not decision.counted
    assert (decision.outcome, decision.state, decision.reason) == (
        Outcome.RETRYABLE,
        RunState.WAITING,
        Reason.LEASE_SHORT,
    )
    assert decision.next_attempt_at == NOW


def test_a_person_is_asked_when_one_request_is_refused_and_others_are_answered() -> None:
    decision = judged(api_error(RequestRefusedError, status=403))
    assert (decision.outcome, decision.state, decision.reason, decision.pause) == (
        Outcome.FINAL,
        RunState.REVIEW,
        Reason.REQUEST_REFUSED,
        False,
    )


def test_refusal_waits_uncounted_when_it_is_not_known_whose_it_is() -> None:
    decision = judged(api_error(RefusalUnclearError, status=403), failures=100)
    assert (decision.state, decision.reason, decision.counted) == (RunState.WAITING, Reason.RETRYING, False)


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("probing", [True, False])
def test_a_person_is_asked_at_the_cap_when_others_are_answered(status: int, *, probing: bool) -> None:
    error = api_error(ServerError, status=status)
    waits = judged(error, failures=PATIENCE.max_attempts - 1, answers_others=True, probing=probing)
    assert (waits.state, waits.counted) == (RunState.WAITING, True)
    ends = judged(error, failures=PATIENCE.max_attempts, answers_others=True, probing=probing)
    assert (ends.state, ends.reason) == (RunState.REVIEW, Reason.REQUEST_REFUSED)


def test_run_pays_for_nothing_that_was_not_sent_when_others_are_answered() -> None:
    unsent = judged(api_error(ApiConnectionError, sent=False), failures=100, answers_others=True)
    token = judged(api_error(ServerError), failures=100, answers_others=True, sent=False)
    assert [(each.state, each.counted) for each in (unsent, token)] == [(RunState.WAITING, False)] * 2


@pytest.mark.parametrize(
    "error",
    [
        api_error(ApiConnectionError, sent=False),
        api_error(ApiTimeoutError, sent=False),
        api_error(ServerError, status=502),
        api_error(ServerError, status=503),
        api_error(ServerError, status=504),
    ],
)
def test_run_waits_uncounted_when_the_destination_cannot_be_reached_at_all(error: Exception) -> None:
    decision = judged(error, failures=PATIENCE.max_attempts + 10)
    assert (decision.outcome, decision.state, decision.counted) == (Outcome.RETRYABLE, RunState.WAITING, False)
    assert decision.next_attempt_at is not None
    assert decision.next_attempt_at > NOW


def test_run_fails_when_the_attempts_are_spent() -> None:
    assert judged(api_error(ServerError), failures=PATIENCE.max_attempts - 1).state is RunState.WAITING
    decision = judged(api_error(ServerError), failures=PATIENCE.max_attempts)
    assert (decision.state, decision.reason) == (RunState.FAILED, Reason.ATTEMPTS_SPENT)


def test_outcome_is_unknown_when_we_fail_ourselves_during_a_call_that_is_not_safe_to_repeat() -> None:
    assert judged(RuntimeError("ours"), safe=False).outcome is Outcome.UNKNOWN


def test_call_is_tried_again_up_to_the_cap_when_we_fail_ourselves_during_a_safe_one() -> None:
    assert judged(RuntimeError("ours")).state is RunState.WAITING
    decision = judged(RuntimeError("ours"), failures=PATIENCE.max_attempts)
    assert (decision.state, decision.reason) == (RunState.FAILED, Reason.UNEXPECTED_ERROR)
