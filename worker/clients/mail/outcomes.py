"""Which error a mail server's answer is, or the lack of one: the one place where a reply decides about a retry."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from worker.clients.outcomes import WORD_LIMIT
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
    VendorNotice,
)

SYSTEM: Final = "mail"
TRY_AGAIN_SECONDS: Final = 60.0
"""The least wait after a mail server's "not now": those that greylist count in minutes."""

_ENHANCED_CODE = re.compile(r"^[245]\.\d{1,3}\.\d{1,3}\b\s*")
_WORD = re.compile(r"[^\s<>]+")
_SEPARATOR = re.compile(r"[,;:]")
_READ_BYTES: Final = 4_000
"""A server may answer in as many lines as it likes."""


class Stage(StrEnum):
    """How far a mail had got. Only after `ACCEPT`'s final dot may it have been taken (RFC 5321, 4.1.1.4)."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    TLS = "TLS"
    AUTH = "AUTH"
    NOOP = "NOOP"
    SENDER = "MAIL"
    RECIPIENT = "RCPT"
    DATA = "DATA"
    CONTENT = "content"
    ACCEPT = "acceptance"


_BEFORE_ANY_MAIL: Final = frozenset(
    {Stage.CONNECT, Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.TLS, Stage.AUTH, Stage.NOOP}
)
"""What goes wrong here would for any mail. Later it may be this one mail's fault, and counts as an attempt at it."""


def error_for_reply(stage: Stage, code: int, text: bytes, redact: Callable[[str], str]) -> ApiError:
    """Return the error for a reply that is not the one the stage needs. After every one, nothing was mailed.

    A 4xx may be tried again. A 5xx before there is a mail is the server's own trouble. A login that is refused is
    `AuthenticationError`, and a sender that is refused `PermissionDeniedError`: they would be so for every mail, which
    waits. A 5xx for a recipient or a content is final. Whatever is no reply at all (`code` -1) after the final dot has
    an unknown outcome. The message quotes the server's own short word, redacted and without addresses.
    """
    if not 200 <= code <= 599:
        return _unreadable(stage)
    word = redact(_word(text))[:WORD_LIMIT]
    message = f"{SYSTEM} {stage}: the server answered {code}" + (f" {word}" if word else "")
    is_before = stage in _BEFORE_ANY_MAIL
    if code < 400:
        return _unreadable(stage)
    if code >= 500 and (stage is Stage.AUTH or code == 530):
        return AuthenticationError(message, system=SYSTEM, operation=stage, status=code)
    if code == 421 or is_before:  # a 421 closes the connection, at whatever stage
        return ServerError(message, system=SYSTEM, operation=stage, status=code, sent=not is_before)
    if code < 500:
        notice = VendorNotice(retry_after_seconds=TRY_AGAIN_SECONDS)
        return RateLimitedError(message, system=SYSTEM, operation=stage, status=code, notice=notice)
    kind = PermissionDeniedError if stage is Stage.SENDER else InvalidRequestError
    return kind(message, system=SYSTEM, operation=stage, status=code)


def error_for_silence(stage: Stage, *, timed_out: bool, cause: str) -> ApiError:
    """Return the error for a connection that was lost, or a server that was silent, at a stage.

    Before the final dot nothing was mailed, as a server must not act on half a mail; after it the outcome is unknown.
    """
    kind: type[ApiError] = ApiTimeoutError if timed_out else ApiConnectionError
    what = "no answer in time" if timed_out else "the connection was lost"
    if stage is Stage.ACCEPT:
        message = f"{SYSTEM} {stage}: {what} after the whole mail was sent ({cause})"
        return kind(message, system=SYSTEM, operation=stage, retryable=False, outcome_unknown=True)
    if stage is Stage.CONNECT:
        what = "no connection in time" if timed_out else "no connection"
    message = f"{SYSTEM} {stage}: not sent, {what} ({cause})"
    return kind(message, system=SYSTEM, operation=stage, sent=stage not in _BEFORE_ANY_MAIL)


def error_for_tls(cause: str) -> ApiError:
    """Return the error for a connection that cannot be protected as the settings ask. Final, and nothing was sent."""
    return ApiConnectionError(
        f"{SYSTEM} {Stage.TLS}: not sent, the connection cannot be protected ({cause})",
        system=SYSTEM,
        operation=Stage.TLS,
        retryable=False,
        sent=False,
    )


def error_for_mail(what: str) -> ApiError:
    """Return the error for a mail that cannot be written as it stands; `what` must not quote it. Final, not sent."""
    return InvalidRequestError(f"{SYSTEM}: not sent, {what}", system=SYSTEM, operation="write", sent=False)


def _unreadable(stage: Stage) -> ApiError:
    is_unknown = stage is Stage.ACCEPT
    return UnexpectedResponseError(
        f"{SYSTEM} {stage}: the server's answer cannot be read",
        system=SYSTEM,
        operation=stage,
        retryable=not is_unknown,
        outcome_unknown=is_unknown,
    )


def _word(text: bytes) -> str:
    """What the server says, on one line: its enhanced code stays, addresses and the queries of links go."""
    line = " ".join(text[:_READ_BYTES].decode("utf-8", "replace").split())
    code = _ENHANCED_CODE.match(line)
    rest = line[code.end() :] if code else line
    rest = _WORD.sub(_shown, rest).replace("<…>", "…")
    return f"{code[0].strip()} {rest}".strip() if code else rest


def _shown(word: re.Match[str]) -> str:
    """A word without the address that it is, or the query of the link that it is."""
    local, at, domain = word[0].rpartition("@")
    if at and local and domain:
        end = _SEPARATOR.search(domain)
        return "…" + (domain[end.start() :] if end else "")
    begin = max(word[0].find("http://"), word[0].find("https://"))
    if begin < 0:
        return word[0]
    link = word[0][begin:].partition("?")[0].partition("#")[0]
    return word[0][:begin] + link
