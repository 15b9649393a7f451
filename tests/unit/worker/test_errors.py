from __future__ import annotations

import pickle

import pytest

from worker import errors
from worker.errors import ApiError, CartbridgeError, VendorNotice

API_ERRORS = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, ApiError) and each is not ApiError
]
RETRYABLE = {
    errors.ApiConnectionError,
    errors.ApiTimeoutError,
    errors.RateLimitedError,
    errors.RefusalUnclearError,
    errors.ServerError,
    errors.AnotherRecordError,
    errors.UnexpectedResponseError,
}


def test_every_error_is_a_cartbridge_error() -> None:
    raised = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    assert len(raised) > 15
    assert all(issubclass(each, CartbridgeError) for each in raised)


@pytest.mark.parametrize("kind", API_ERRORS)
def test_error_is_retryable_by_its_kind_unless_told_otherwise(kind: type[ApiError]) -> None:
    assert kind("x").retryable == (kind in RETRYABLE)
    assert kind("x", retryable=False).retryable is False
    assert kind("x", retryable=True).retryable is True
    assert kind("x").outcome_unknown is False


@pytest.mark.parametrize("kind", API_ERRORS)
def test_error_survives_a_pickle_with_all_it_carries(kind: type[ApiError]) -> None:
    error = kind(
        "the server failed",
        system="learningcart",
        operation="addCompOrder",
        status=502,
        outcome_unknown=True,
        notice=VendorNotice("slower", 3.5),
    )
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own)
    assert type(again) is kind
    assert str(again) == "the server failed"
    assert vars(again) == vars(error)


def test_every_other_error_survives_a_pickle() -> None:
    for error in (
        errors.WebhookRejectedError("too large", status=413, title="Payload too large"),
        errors.LeaseHeldError("held"),
        errors.ConfigurationError("Run: cartbridge migrate"),
    ):
        again = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own)
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_webhook_is_a_bad_request_unless_told_otherwise() -> None:
    error = errors.WebhookRejectedError("not JSON")
    assert (error.status, error.title, str(error)) == (400, "Bad request", "not JSON")
