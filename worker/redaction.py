"""Takes secrets out of text before anybody can read it: the one place that knows how a secret may be spelled."""

from __future__ import annotations

import html
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST_SECRET = 4
"""A shorter value is not registered: masking every `a` would hide the text, and a secret that short is none."""

# What is masked by its name alone: `studiocart_secret`, `x-api-key`, `Authentication Token`; but not `next_page_token`.
_NAME = (
    r"(?:[\w-]{0,40}(?:password|passwd|secret|api[-_ ]?key|private[-_ ]?key)"
    r"|(?:[\w-]{0,40}(?:authentication|access|auth)[-_ ]?)?token)"
)
_GUID = r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"
_ASSIGNED = re.compile(rf"((?:\b|%[0-9a-f]{{2}}){_NAME}(?:=|%3D))[^&\s\"'<>]+", re.IGNORECASE)
_QUOTED_MEMBER = re.compile(
    rf"((?P<key>\\?[\"']){_NAME}(?P=key)\s*:\s*)(?P<mark>\\?[\"'])(?:\\.|(?!(?P=mark)).)*(?P=mark)",
    re.IGNORECASE | re.DOTALL,
)
_TOKEN_GUID = re.compile(rf"(token.{{0,60}}?){_GUID}", re.IGNORECASE | re.DOTALL)


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return `text` with every one of `secrets` replaced by `***`, in whatever form it was written.

    Known forms: plain, percent-encoded (once and twice), form-encoded, JSON-escaped and HTML-escaped, in any case.
    Values shorter than four characters are left alone. Whatever follows `password=`, `token=`, `AuthenticationToken=`,
    `api_key=` and the like is masked too, known or not, and so is a GUID that follows the word token.
    """
    return _mask(text, _compile(secrets))


class SecretBook:
    """The secrets a process knows. Safe to share between threads.

    Settings are added once and stay. A secret that is replaced again and again (a token) is added as `rotating`: the
    latest `rotating_limit` of them are remembered, so that a process that runs for a year does not slow down.
    """

    def __init__(self, values: Iterable[str] = (), *, rotating_limit: int = 64) -> None:
        self._lock = threading.Lock()
        self._rotating_limit = rotating_limit
        self._fixed: dict[str, None] = {}
        self._rotating: OrderedDict[str, None] = OrderedDict()
        self._pattern: re.Pattern[str] | None = None
        for value in values:
            self.add(value)

    def __repr__(self) -> str:
        return f"SecretBook({len(self.values())} secrets)"

    def add(self, value: str, *, rotating: bool = False) -> None:
        """Remember `value`. Adding it again, or adding a value too short to mask, does nothing."""
        if len(value) < SHORTEST_SECRET:
            return
        with self._lock:
            if value in self._fixed:
                return
            if rotating:
                self._rotating[value] = None
                self._rotating.move_to_end(value)
                while len(self._rotating) > self._rotating_limit:
                    self._rotating.popitem(last=False)
            else:
                self._fixed[value] = None
            self._pattern = _compile((*self._fixed, *self._rotating))

    def values(self) -> tuple[str, ...]:
        """Return every secret known now, the longest first."""
        with self._lock:
            return tuple(sorted((*self._fixed, *self._rotating), key=len, reverse=True))

    def redact(self, text: str) -> str:
        """Return `text` as the function `redact` leaves it, with the secrets known now."""
        return _mask(text, self._pattern)


def _mask(text: str, pattern: re.Pattern[str] | None) -> str:
    if pattern is not None:
        text = pattern.sub(MASK, text)
    text = _QUOTED_MEMBER.sub(rf"\1\g<mark>{MASK}\g<mark>", text)
    text = _ASSIGNED.sub(rf"\1{MASK}", text)
    return _TOKEN_GUID.sub(rf"\1{MASK}", text)


def _compile(secrets: Iterable[str]) -> re.Pattern[str] | None:
    spellings = {spelling for secret in secrets if len(secret) >= SHORTEST_SECRET for spelling in _spellings(secret)}
    if not spellings:
        return None
    # The longest first, or a secret that begins with another would leave its tail in the open.
    return re.compile("|".join(re.escape(each) for each in sorted(spellings, key=len, reverse=True)), re.IGNORECASE)


def _spellings(secret: str) -> set[str]:
    printable = secret.encode("utf-8", "replace").decode("utf-8")
    quoted = quote(printable, safe="")
    return {
        secret,
        quoted,
        quote(printable),
        quote_plus(printable),
        quote(quoted, safe=""),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        html.escape(secret),
        html.escape(secret, quote=False),
    }
