"""Takes secrets out of text before anybody can read it: the one place that knows how a secret may be spelled."""

from __future__ import annotations

import html
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST_SECRET = 4
"""A shorter value is not registered: masking every `a` would hide the text, and a secret that short is none."""

# What is masked by its name alone: `studiocart_secret`, `x-api-key`, `Authentication Token`; but not `next_page_token`.
_NAME = r"(?:password|passwd|secret|api[-_ ]?key|private[-_ ]?key|{token})"
_TOKEN = r"(?:authentication|access|auth)[-_ ]?token|{begin}token"  # noqa: S105 - a pattern
_ASSIGNED_NAME = _NAME.format(token=_TOKEN.format(begin=r"(?:\b|%[0-9a-f]{2})"))
_QUOTED_NAME = _NAME.format(token=_TOKEN.format(begin=r"(?<=[\"'])"))
_GUID = r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"
_ASSIGNED = re.compile(rf"({_ASSIGNED_NAME}(?:=|%3D))[^&\s\"'<>]++", re.IGNORECASE)
_QUOTED_MEMBER = re.compile(
    rf"({_QUOTED_NAME}(?P<key>\\?[\"'])\s*+:\s*+)"
    # A value to its closing quote, or to where the text was cut. In JSON that is itself quoted, both have a backslash.
    r"(?:(?P<plain>[\"'])(?:[^\"'\\]|\\.|(?!(?P=plain))[\"'])*+(?:(?P=plain)|\\?\Z)"
    r"|(?P<escaped>\\[\"'])(?:[^\\]|\\\\(?:\\.)?|(?!(?P=escaped))\\.)*+(?:(?P=escaped)|\\?\Z))",
    re.IGNORECASE | re.DOTALL,
)
_TOKEN_GUID = re.compile(rf"(token.{{0,60}}?){_GUID}", re.IGNORECASE | re.DOTALL)
_LARGEST_PIECE = 16_384
"""Of a text that patterns go over in one go: no other thread runs meanwhile."""
_LONGEST_MEMBER = 512
_LONGEST_WORD = 64


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return `text` with every one of `secrets` replaced by `***`, in whatever form it was written.

    Known forms: plain, percent-encoded (once and twice), form-encoded, JSON-escaped and HTML-escaped, in any case.
    Values shorter than four characters are left alone. Whatever follows `password=`, `token=`, `AuthenticationToken=`,
    `api_key=` and the like is masked too, known or not, and so is a GUID that follows the word token.
    """
    return _mask(text, _all_spellings(secrets))


class SecretRegistry:
    """The secrets a process knows. Safe to share between threads.

    Settings are added once and stay. A secret that is replaced again and again (a token) is added as `rotating`: the
    latest `rotating_limit` of them are remembered, so that a process that runs for a year does not slow down.
    """

    def __init__(self, values: Iterable[str] = (), *, rotating_limit: int = 64) -> None:
        self._lock = threading.Lock()
        self._rotating_limit = rotating_limit
        self._fixed: dict[str, None] = {}
        self._rotating: OrderedDict[str, None] = OrderedDict()
        self.spellings: tuple[str, ...] = ()
        """Of all of them, anew whenever one is added."""
        for value in values:
            self.add(value)

    def __repr__(self) -> str:
        return f"SecretRegistry({len(self.values())} secrets)"

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
            self.spellings = _all_spellings((*self._fixed, *self._rotating))

    def values(self) -> tuple[str, ...]:
        """Return every secret known now, the longest first."""
        with self._lock:
            return tuple(sorted((*self._fixed, *self._rotating), key=len, reverse=True))

    def redact(self, text: str) -> str:
        """Return `text` as the function `redact` leaves it, with the secrets known now."""
        return _mask_word(text, self.spellings) if len(text) <= _LONGEST_WORD else _mask(text, self.spellings)


@lru_cache(maxsize=1024)
def _mask_word(text: str, spellings: tuple[str, ...]) -> str:
    """Most of what a log line is made of are words that come again with every line: names, levels, codes."""
    return _mask(text, spellings)


def _mask(text: str, spellings: Sequence[str]) -> str:
    text = _mask_known(text, spellings)
    return "".join(_mask_named(piece) for piece in _pieces(text))


def _mask_known(text: str, spellings: Sequence[str]) -> str:
    """Looked for one by one, which takes no time: a pattern of all would be tried at every letter."""
    folded = text.casefold()
    present = [each for each in spellings if each in text or each.casefold() in folded]
    if not present:
        return text
    # The longest first, or a secret that begins with another would leave its tail in the open.
    present.sort(key=len, reverse=True)
    return re.compile("|".join(re.escape(each) for each in present), re.IGNORECASE).sub(MASK, text)


def _mask_named(text: str) -> str:
    text = _QUOTED_MEMBER.sub(_masked_member, text)
    text = _ASSIGNED.sub(rf"\1{MASK}", text)
    return _TOKEN_GUID.sub(rf"\1{MASK}", text)


def _masked_member(match: re.Match[str]) -> str:
    mark = match["plain"] or match["escaped"]
    return f"{match[1]}{mark}{MASK}{mark}"


def _pieces(text: str) -> Iterator[str]:
    """A long text in pieces, cut where no member is, if there is such a place near."""
    while len(text) > _LARGEST_PIECE:
        cut = max(text.rfind(mark, _LARGEST_PIECE - _LONGEST_MEMBER, _LARGEST_PIECE) for mark in "\n&,; ")
        cut = cut + 1 if cut > 0 else _LARGEST_PIECE
        yield text[:cut]
        text = text[cut:]
    yield text


def _all_spellings(secrets: Iterable[str]) -> tuple[str, ...]:
    known = {spelling for secret in secrets if len(secret) >= SHORTEST_SECRET for spelling in spellings(secret)}
    return tuple(sorted(known))


def spellings(secret: str) -> set[str]:
    """A text as it may stand in JSON, in HTML, in a URL, in a form, or in Python's own words."""
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
