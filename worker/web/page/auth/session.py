"""Signed sessions: who signed in, until when, and the token that proves that a form came from our own page."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

SESSION_HOURS = 12
_NONCE_BYTES = 16


@dataclass(frozen=True)
class Session:
    """One browser's session. Without a name nobody has signed in yet: it only ties the login form to the browser."""

    name: str
    """As given at login; the audit trail names `operator:<name>`."""
    expires_at: datetime
    nonce: str

    @property
    def actor(self) -> str:
        """Whom the audit trail names."""
        return f"operator:{self.name}"


class Sessions:
    """Makes, signs and reads sessions. Which of them are signed in and not out again, the ledger knows.

    `key` is asked for when it is first needed. `clock` gives aware UTC moments.
    """

    def __init__(self, key: Callable[[], bytes], *, clock: Callable[[], datetime]) -> None:
        self._key = key
        self._clock = clock

    def begin(self, name: str = "") -> Session:
        """A new session that lasts twelve hours."""
        expires_at = (self._clock() + timedelta(hours=SESSION_HOURS)).replace(microsecond=0)
        return Session(name, expires_at, secrets.token_urlsafe(_NONCE_BYTES))

    def cookie(self, session: Session) -> str:
        """The session as a cookie's value, signed."""
        text = json.dumps([session.name, int(session.expires_at.timestamp()), session.nonce], ensure_ascii=False)
        payload = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        return f"{payload}.{self._sign('session', payload)}"

    def read(self, cookie: str | None) -> Session | None:
        """The session of a cookie; None unless it was signed with today's password and has time left."""
        payload, _, signature = (cookie or "").partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign("session", payload).encode()):
            return None
        try:
            name, expires, nonce = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (binascii.Error, ValueError):
            return None
        now = self._clock()
        session = Session(str(name), datetime.fromtimestamp(expires, tz=now.tzinfo), str(nonce))
        return None if session.expires_at <= now else session

    def form_token(self, session: Session) -> str:
        """What each form of this session must carry."""
        return self._sign("form", session.nonce)

    def accepts(self, session: Session, form_token: str) -> bool:
        """Whether a form carries this session's token."""
        return hmac.compare_digest(form_token.encode("utf-8", "replace"), self.form_token(session).encode())

    def _sign(self, purpose: str, text: str) -> str:
        message = f"{purpose}:{text}".encode("utf-8", "replace")
        return base64.urlsafe_b64encode(hmac.digest(self._key(), message, hashlib.sha256)).decode().rstrip("=")
