from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from worker.web.page.auth.session import Session, Sessions

NOW = datetime(2026, 3, 4, 5, 6, 7, 890, tzinfo=UTC)


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(lambda: b"key", clock=clock)


def test_session_is_read_as_it_was_begun_until_its_time_is_up(sessions: Sessions, clock: Clock) -> None:
    session = sessions.begin("Ann Ås")
    cookie = sessions.cookie(session)
    assert cookie.isascii()
    assert sessions.read(cookie) == session
    assert session.actor == "operator:Ann Ås"
    assert session.expires_at == NOW.replace(microsecond=0) + timedelta(hours=12)
    clock.now = session.expires_at
    assert sessions.read(cookie) is None


def test_session_is_another_when_the_same_name_signs_in_again(sessions: Sessions) -> None:
    assert sessions.begin("Ann").nonce != sessions.begin("Ann").nonce


@pytest.mark.parametrize("payload", [b"[1]", b"{", b"\xff", b'["a", "b"]', b'{"a": 1}'])
def test_cookie_is_refused_when_it_is_signed_and_yet_no_session(sessions: Sessions, payload: bytes) -> None:
    text = base64.urlsafe_b64encode(payload).decode().rstrip("=")
    assert sessions.read(f"{text}.{sessions._sign('session', text)}") is None


def test_cookie_is_refused_when_another_key_signed_it(sessions: Sessions, clock: Clock) -> None:
    cookie = Sessions(lambda: b"other", clock=clock).cookie(sessions.begin("Ann"))
    assert sessions.read(cookie) is None
    assert sessions.read(None) is None


def test_form_token_is_for_one_session_alone_and_no_signature_of_a_cookie(sessions: Sessions) -> None:
    one, other = sessions.begin("Ann"), sessions.begin("Ann")
    assert sessions.accepts(one, sessions.form_token(one))
    assert not sessions.accepts(other, sessions.form_token(one))
    nonce = base64.urlsafe_b64encode(json.dumps(["Eve", 1, "n"]).encode()).decode()
    assert sessions.form_token(Session("", NOW, nonce)) != sessions._sign("session", nonce)
