"""`worker.clients.learningcart.token`: one request for a token, whoever asks, and none too early or too late."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from pydantic import SecretStr

from tests.unit.worker.clients.stub import answer
from worker.clients.base import Budget
from worker.clients.learningcart.models import Token
from worker.clients.learningcart.token import TokenKeeper, speaks_of_token
from worker.errors import ApiTimeoutError, AuthenticationError


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def token(number: int, *, lifetime: str | None = "09:00:00") -> Token:
    expires = f"2023-05-27T{lifetime}" if lifetime else None
    record = {"value": SecretStr(f"token-{number}"), "issued_at": "2023-05-27T08:00:00", "expires_at": expires}
    return Token.model_validate(record)


def keeper(clock: Clock, *, lifetime: str | None = "09:00:00") -> tuple[TokenKeeper, list[float]]:
    asked: list[float] = []

    def fetch(budget: Budget) -> Token:
        asked.append(budget.left())
        return token(len(asked), lifetime=lifetime)

    return TokenKeeper(fetch, clock=clock), asked


def budget(clock: Callable[[], float], seconds: float = 10.0) -> Budget:
    return Budget(seconds, clock)


@pytest.mark.parametrize(
    ("lifetime", "good_until"), [("09:00:00", 3540.0), ("08:10:00", 540.0), ("08:01:40", 90.0), ("08:00:01", 0.9)]
)
def test_a_token_is_renewed_when_its_margin_begins(lifetime: str, good_until: float) -> None:
    clock = Clock()
    tokens, asked = keeper(clock, lifetime=lifetime)
    assert tokens.get(budget(clock)) == "token-1"
    clock.seconds = good_until - 0.01
    assert tokens.get(budget(clock)) == "token-1"
    clock.seconds = good_until
    assert tokens.get(budget(clock)) == "token-2"
    assert asked == [10.0, 10.0]


def test_a_token_is_used_until_it_is_refused_when_it_names_no_lifetime() -> None:
    clock = Clock()
    tokens, asked = keeper(clock, lifetime=None)
    tokens.get(budget(clock))
    clock.seconds = 1e9
    assert tokens.get(budget(clock)) == "token-1"
    assert tokens.get(budget(clock), refused="token-1") == "token-2"
    assert len(asked) == 2


def test_the_newer_token_is_used_when_another_thread_renewed_it() -> None:
    clock = Clock()
    tokens, asked = keeper(clock)
    tokens.get(budget(clock))
    tokens.get(budget(clock), refused="token-1")
    assert tokens.get(budget(clock), refused="token-1") == "token-2"
    assert len(asked) == 2


def test_a_token_is_forgotten_when_it_is_dropped_but_not_its_successor() -> None:
    clock = Clock()
    tokens, asked = keeper(clock)
    tokens.drop("token-0")
    tokens.get(budget(clock))
    tokens.drop("token-0")
    assert tokens.get(budget(clock)) == "token-1"
    tokens.drop("token-1")
    assert tokens.get(budget(clock)) == "token-2"
    assert len(asked) == 2


def many(work: Callable[[], str], count: int = 100) -> list[str]:
    together = threading.Barrier(count)
    results: list[str] = []

    def run() -> None:
        together.wait(5)
        try:
            results.append(work())
        except AuthenticationError as error:
            results.append(type(error).__name__)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    return results


def test_one_request_is_made_when_a_hundred_ask_at_once() -> None:
    clock = Clock()
    waiting = threading.Event()
    asked: list[None] = []

    def fetch(_: Budget) -> Token:
        asked.append(None)
        waiting.wait(0.05)
        return token(len(asked))

    tokens = TokenKeeper(fetch, clock=clock)
    assert set(many(lambda: tokens.get(budget(clock)))) == {"token-1"}
    assert set(many(lambda: tokens.get(budget(clock), refused="token-1"))) == {"token-2"}
    assert len(asked) == 2


def test_a_wrong_password_is_tried_once_when_a_hundred_ask_at_once() -> None:
    clock = Clock()
    waiting = threading.Event()
    asked: list[None] = []

    def fetch(_: Budget) -> Token:
        asked.append(None)
        waiting.wait(0.2)
        raise AuthenticationError("no", status=401)

    tokens = TokenKeeper(fetch, clock=clock)
    assert many(lambda: tokens.get(budget(clock))) == ["AuthenticationError"] * 100
    assert len(asked) == 1
    with pytest.raises(AuthenticationError) as caught:
        tokens.get(budget(clock))
    assert caught.value.status == 401
    assert len(asked) == 2


def test_a_call_is_not_sent_when_another_s_token_request_outlasts_its_budget() -> None:
    clock = Clock()
    tokens, asked = keeper(clock)
    with tokens._lock, pytest.raises(ApiTimeoutError) as caught:
        tokens.get(budget(clock, 0.0))
    assert (caught.value.operation, caught.value.retryable, caught.value.outcome_unknown) == (
        "requestToken",
        True,
        False,
    )
    assert asked == []


def test_a_token_is_asked_for_anew_when_something_of_our_own_broke() -> None:
    clock = Clock()
    outcomes: list[Exception] = [KeyError("a bug")]

    def fetch(_: Budget) -> Token:
        if outcomes:
            raise outcomes.pop()
        return token(7)

    tokens = TokenKeeper(fetch, clock=clock)
    with pytest.raises(KeyError):
        tokens.get(budget(clock))
    assert tokens.get(budget(clock)) == "token-7"


@pytest.mark.parametrize(
    ("status", "body", "speaks"),
    [
        (200, "Invalid or expired AuthenticationToken", True),
        (200, {"d": "The token is not valid"}, True),
        (200, {"getXResult": {"Message": "Token expired"}}, True),
        (200, b"Token has expired", True),
        (200, {"Order ID": 5, "Message": "token expired"}, False),
        (200, [{"Message": "token expired"}], False),
        (200, {"Customer": {"Message": "token expired"}}, False),
        (200, "x" * 600 + "token expired", False),
        (200, b'{"broken": token expired', False),
        (200, True, False),
        (400, {"Message": "Invalid token"}, True),
        (400, {"Message": "Invalid price"}, False),
        (400, {"Message": "Your token of appreciation"}, False),
        (400, b"Unauthorized: bad token", True),
        (400, b"<html>Invalid token</html>", False),
        (400, b"<Fault><Reason><Text>Invalid token</Text></Reason></Fault>", True),
        (500, b"<html><p>Failed: the token has expired.</p></html>", True),
        (500, b"<html>Error at https://x/y?AuthenticationToken=invalid-1</html>", False),
        (500, {"Message": "Token not found"}, True),
        (503, b"", False),
    ],
)
def test_an_answer_speaks_of_the_token_when_it_says_little_else(status: int, body: object, speaks: bool) -> None:
    assert speaks_of_token(answer(body, status), "getX") is speaks
