"""The one LearningCart token of a process: asked for once by however many calls, renewed in time and when refused."""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from worker.clients.base import Answer, Budget
from worker.clients.learningcart.models import Token
from worker.clients.outcomes import word_in
from worker.clients.reading import UnreadableError, decode, fold, read_document, unwrap, word_of
from worker.errors import ApiError, ApiTimeoutError

_REFUSED: Final = (
    r"(?:\binvalid|not\svalid|expire|(?:un|not\s)authori[sz]ed|revoked|unknown|incorrect|missing|not\sfound)"
)
_TOKEN_REFUSED: Final = re.compile(rf"{_REFUSED}.{{0,80}}token|token.{{0,80}}{_REFUSED}", re.IGNORECASE | re.DOTALL)
_MARKUP: Final = re.compile(r"<[^<>]*>|\?\S*")
"""Tags, and the query of a URL that an error page echoes: that names the token whatever went wrong."""
_PLAIN_WORD_LIMIT_BYTES: Final = 500
_PAGE_LIMIT_BYTES: Final = 20_000

MARGIN_SECONDS: Final = 60.0
MARGIN_SHARE: Final = 0.1
NEW_SECONDS: Final = 5.0
"""A token that is refused later than this after it was asked for may have been revoked meanwhile."""


@dataclass(frozen=True)
class _Held:
    value: str
    renew_at_seconds: float | None
    """On the keeper's clock; None when the token names no lifetime and is used until it is refused."""
    asked_at_seconds: float
    """When it was asked for, on the same clock."""


class TokenKeeper:
    """Keeps one token for all threads.

    `fetch` asks the vendor, within the budget it is given; `clock` gives seconds and never goes back. A token is
    renewed min(60 s, 10 % of its lifetime) before its end, its lifetime being expiration less issue, counted from its
    receipt, so that neither the vendor's clock nor its time zone matters.
    """

    def __init__(self, fetch: Callable[[Budget], Token], *, clock: Callable[[], float]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._requests = 0
        self._failure: ApiError | None = None

    def get(self, budget: Budget, *, refused: str | None = None) -> str:
        """Return a token that is valid as far as is known, and is not `refused`.

        Of all the threads that wait here one asks the vendor, and all share its token or its failure. Raises what
        `fetch` raises, and `ApiTimeoutError` when another thread's request outlasts the budget.
        """
        value = self._usable(refused)
        if value is not None:
            return value
        requests_seen = self._requests
        if not self._lock.acquire(timeout=max(budget.left(), 0)):
            message = "learningcart requestToken: not answered in time"
            late = ApiTimeoutError(message, system="learningcart", operation="requestToken")
            late.for_credentials = True
            raise late
        try:
            value = self._usable(refused)
            if value is not None:
                return value
            # A hundred threads must not try a wrong password one after the other: that locks the account.
            if self._failure is not None and self._requests != requests_seen:
                raise copy.copy(self._failure)
            return self._renew(budget)
        finally:
            self._lock.release()

    def drop(self, value: str) -> None:
        """Forget the token `value`, unless another has taken its place."""
        held = self._held
        if held is not None and held.value == value:
            self._held = None

    def is_new(self, value: str, *, since_seconds: float) -> bool:
        """Whether the token `value` was asked for after `since_seconds` and just now: its refusal is no old one's."""
        held = self._held
        if held is None or held.value != value:
            return False
        return held.asked_at_seconds >= since_seconds and self._clock() - held.asked_at_seconds <= NEW_SECONDS

    def is_undated(self, value: str) -> bool:
        """Whether the token `value` names no end: it is used until it is refused, in whatever shape."""
        held = self._held
        return held is None or held.value != value or held.renew_at_seconds is None

    def _usable(self, refused: str | None) -> str | None:
        held = self._held
        if held is None or held.value == refused:
            return None
        if held.renew_at_seconds is not None and self._clock() >= held.renew_at_seconds:
            return None
        return held.value

    def _renew(self, budget: Budget) -> str:
        self._failure = None
        asked_at_seconds = self._clock()
        try:
            token = self._fetch(budget)
        except ApiError as error:
            error.for_credentials = True
            self._failure = copy.copy(error)
            raise
        finally:
            self._requests += 1
        value = token.value.get_secret_value()
        self._held = _Held(value, self._renewal(token), asked_at_seconds)
        return value

    def _renewal(self, token: Token) -> float | None:
        if token.lifetime is None:
            return None
        seconds = token.lifetime.total_seconds()
        return self._clock() + seconds - min(MARGIN_SECONDS, seconds * MARGIN_SHARE)


def speaks_of_token(answer: Answer, method: str) -> bool:
    """Tell whether an answer is nothing but a word that refuses the token, or a failure's page about it."""
    if answer.status >= 500:
        word = _MARKUP.sub(" ", decode(answer.body[:_PAGE_LIMIT_BYTES]))
    else:
        word = _sentence(answer.body, method) if answer.status < 300 else word_in(answer)
        text = decode(answer.body[:_PLAIN_WORD_LIMIT_BYTES]).lstrip()
        if not word and len(answer.body) <= _PLAIN_WORD_LIMIT_BYTES and not text.startswith(("<", "{", "[")):
            word = text
    return _TOKEN_REFUSED.search(word) is not None


def _sentence(body: bytes, method: str) -> str:
    """Return the word of a 2xx that carries nothing else: a record with an id is an answer, whatever its texts say."""
    if len(body) > _PLAIN_WORD_LIMIT_BYTES:
        return ""
    try:
        document = unwrap(read_document(body), method)
    except UnreadableError:
        return ""
    if isinstance(document, str):
        return document
    if isinstance(document, dict) and not any(fold(key).endswith("id") for key in document):
        return word_of(document)
    return ""
