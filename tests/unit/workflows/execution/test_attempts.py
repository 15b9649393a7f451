from __future__ import annotations

import pytest

from worker.errors import (
    ApiConnectionError,
    ApiError,
    ApiTimeoutError,
    AuthenticationError,
    InvalidRequestError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnexpectedResponseError,
)
from workflows.execution.attempts import may_have_acted
from workflows.execution.retry_policy import LeaseShortError


def of_a_token(error: ApiError) -> ApiError:
    error.for_credentials = True
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ApiTimeoutError("no answer in time"), True),
        (ApiConnectionError("cut"), True),
        (ServerError("HTTP 500", status=500), True),
        (UnexpectedResponseError("the answer is HTML", status=200), True),
        (InvalidRequestError("its own word for no", status=200), True),
        (RateLimitedError("HTTP 429", status=429), False),
        (InvalidRequestError("HTTP 422", status=422), False),
        (PermissionDeniedError("HTTP 403", status=403), False),
        (AuthenticationError("refused", status=200), False),
        (ApiConnectionError("no connection", sent=False), False),
        (of_a_token(ServerError("no token", status=500)), False),
        (LeaseShortError("the call is not sent"), None),
        (KeyError("not sent"), None),
    ],
)
def test_call_may_have_been_carried_out_unless_its_error_denies_it(error: BaseException, expected: bool | None) -> None:
    assert may_have_acted(error) is expected
