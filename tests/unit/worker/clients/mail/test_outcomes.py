from __future__ import annotations

import pytest

from worker.clients.mail.outcomes import Stage, error_for_reply, error_for_silence
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

BEFORE_ANY_MAIL = (Stage.CONNECT, Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.TLS, Stage.AUTH, Stage.NOOP)
OF_ONE_MAIL = (Stage.SENDER, Stage.RECIPIENT, Stage.DATA, Stage.CONTENT, Stage.ACCEPT)


def replied(stage: Stage, code: int, text: bytes = b"") -> ApiError:
    return error_for_reply(stage, code, text, lambda said: said.replace("hunter2", "***"))


@pytest.mark.parametrize(
    ("stages", "code", "kind", "retryable"),
    [
        (BEFORE_ANY_MAIL, 421, ServerError, True),
        (BEFORE_ANY_MAIL, 454, ServerError, True),
        ((Stage.GREETING, Stage.EHLO, Stage.STARTTLS), 554, ServerError, True),
        ((Stage.AUTH,), 535, AuthenticationError, False),
        ((Stage.SENDER, Stage.RECIPIENT), 530, AuthenticationError, False),
        ((Stage.SENDER,), 553, PermissionDeniedError, False),
        (OF_ONE_MAIL, 421, ServerError, True),
        (OF_ONE_MAIL, 451, RateLimitedError, True),
        ((Stage.RECIPIENT, Stage.DATA, Stage.ACCEPT), 550, InvalidRequestError, False),
        ((Stage.RECIPIENT, Stage.DATA), 199, UnexpectedResponseError, True),
        ((Stage.RECIPIENT, Stage.DATA), 334, UnexpectedResponseError, True),
    ],
)
def test_reply_says_what_may_be_done_when_it_is_no_yes(
    stages: tuple[Stage, ...], code: int, kind: type[ApiError], retryable: bool
) -> None:
    """After every reply, nothing was mailed."""
    for stage in stages:
        error = replied(stage, code)
        assert (type(error), error.retryable, error.outcome_unknown) == (kind, retryable, False), stage
        assert error.unreachable == (stage in BEFORE_ANY_MAIL and retryable), stage


def test_greylisting_is_given_a_minute_when_it_asks_to_come_again() -> None:
    assert replied(Stage.RECIPIENT, 451).retry_after_seconds == 60


@pytest.mark.parametrize("timed_out", [True, False])
def test_outcome_is_unknown_when_the_final_dot_was_sent_and_at_no_other_stage(timed_out: bool) -> None:
    kind = ApiTimeoutError if timed_out else ApiConnectionError
    for stage in Stage:
        error = error_for_silence(stage, timed_out=timed_out, cause="X")
        assert type(error) is kind
        assert error.outcome_unknown is (stage is Stage.ACCEPT)
        assert error.retryable is (stage is not Stage.ACCEPT)
        assert ("not sent" in str(error)) is (stage is not Stage.ACCEPT)
    garbage = replied(Stage.ACCEPT, -1, b"HTTP/1.1")
    assert (garbage.outcome_unknown, garbage.retryable) == (True, False)


def test_word_is_quoted_without_address_query_and_secret_when_the_server_says_one() -> None:
    said = (
        b"5.1.1 <jane@example.com>: no such\r\n5.1.1 user hunter2, see https://help.example/x?p=jane#y (jane@x.example)"
    )
    assert str(replied(Stage.RECIPIENT, 550, said)) == (
        "mail RCPT: the server answered 550 5.1.1 …: no such 5.1.1 user ***, see https://help.example/x …"
    )
