"""Which error an answer is, or the lack of one: the one place where a status decides about a retry."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar
from urllib.parse import urljoin, urlsplit

from worker.clients.charset import charset_of
from worker.clients.reading import UnreadableError, code_of, decode, is_html, read_tolerantly, word_of
from worker.clients.transport import Answer, NoAnswer
from worker.errors import (
    AnotherRecordError,
    ApiConnectionError,
    ApiError,
    ApiTimeoutError,
    AuthenticationError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnexpectedResponseError,
    VendorNotice,
)

_E = TypeVar("_E", bound=ApiError)

WORD_LIMIT: Final = 200
RETRY_AFTER_LIMIT_SECONDS: Final = 86_400.0
"""A server that asks for more than a day is asked again after a day."""

_ERROR_LIMIT_BYTES: Final = 100_000
_WORD_READ: Final = 2_000
_LONGEST_RETRY_AFTER: Final = 100
_LIMITS_RATES: Final = frozenset({"frontcore", "threedcart"})
"""The systems that are known to refuse by 429 what comes too fast, without carrying it out."""
_SPEAKS_FOR_ITSELF: Final = frozenset({408, 425, 429})
"""Refusals that mean the same whatever their body says."""
_BY_STATUS: Final[dict[int, type[ApiError]]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: ApiTimeoutError,
    410: NotFoundError,
    425: RateLimitedError,
    429: RateLimitedError,
}


def error_for_answer(
    answer: Answer,
    *,
    system: str,
    operation: str,
    safe_to_repeat: bool,
    now: datetime,
    redact: Callable[[str], str],
    base_url: str = "",
) -> ApiError | None:
    """Return the error an answer stands for; None for a whole 2xx.

    Refusals (4xx) are final and nothing was done; 425 and 429 may be tried again. After a 408, a 5xx, a 3xx (never
    followed) or half an answer, of a 4xx too (it may have been a page), the system may have acted: may be tried again
    when the call is safe to repeat, else an unknown outcome. So is an HTML page that refuses a call which is not safe
    to repeat: it may come from something in between. So is a 429 of a system that is not known to limit rates, whose
    body is no refusal either. The message quotes the system's own short word, redacted, and nothing else of the body;
    of a redirection, where it leads, with the setting to change where the system's `base_url` is given.
    """
    status = answer.status
    if 200 <= status < 300 and not answer.broken:
        return None
    if answer.broken and (status < 300 or 400 <= status < 500) and status not in _SPEAKS_FOR_ITSELF:
        kind: type[ApiError] = ApiTimeoutError if answer.timed_out else UnexpectedResponseError
        message = f"{system} {operation}: {answer.broken} (HTTP {status})"
        return uncertain(
            kind, message, system=system, operation=operation, safe_to_repeat=safe_to_repeat, status=status
        )
    word = redact(word_in(answer))[:WORD_LIMIT]
    message = f"{system} {operation} answered HTTP {status}" + (f": {word}" if word else "")
    if 300 <= status < 400:
        message += redact(_redirection(answer.headers.get("Location"), system, base_url))
    facts: dict[str, Any] = {"system": system, "operation": operation, "status": status}
    retry_after_seconds = read_retry_after(answer.headers.get("Retry-After"), now)
    if 400 <= status < 500:
        kind = _BY_STATUS.get(status, InvalidRequestError)
        limits_rates = kind is RateLimitedError and system in _LIMITS_RATES
        if not safe_to_repeat and not limits_rates and _is_no_refusal(answer, kind):
            # A page for people may come from something in between, before the system acted or after.
            kind = UnexpectedResponseError
        elif kind is not ApiTimeoutError:
            wait_seconds = retry_after_seconds if kind.retryable_by_default else None
            return kind(message, notice=VendorNotice(word, wait_seconds), **facts)
    else:
        kind = ServerError if status >= 500 else UnexpectedResponseError
    notice = VendorNotice(word, retry_after_seconds)
    return uncertain(kind, message, safe_to_repeat=safe_to_repeat, notice=notice, **facts)


def _is_no_refusal(answer: Answer, kind: type[ApiError]) -> bool:
    """Whether a 4xx does not refuse in the system's own words: a page (of one cut short nobody knows), or a 429 with a
    value of some kind.
    """
    if answer.broken or is_html(decode(answer.body)):
        return True
    if kind is not RateLimitedError or not answer.body.strip():
        return False
    try:
        document = read_tolerantly(answer.body, charset_of(answer.headers.get("Content-Type"))).document
    except UnreadableError:
        return False  # a few words of plain text
    return not (word_of(document) or code_of(document))


def error_for_no_answer(failure: NoAnswer, *, system: str, operation: str, safe_to_repeat: bool) -> ApiError:
    """Return the error for a call without an answer. What was not sent is never an unknown outcome."""
    call = f"{system} {operation}"
    if failure.sent:
        kind: type[ApiError] = ApiTimeoutError if failure.kind == "timeout" else ApiConnectionError
        what = "no answer in time" if failure.kind == "timeout" else "the connection was cut before the answer"
        return uncertain(
            kind,
            f"{call}: {what} ({failure.cause})",
            system=system,
            operation=operation,
            safe_to_repeat=safe_to_repeat,
        )
    if failure.kind == "timeout":
        message = f"{call}: not sent, no connection in time ({failure.cause})"
        return ApiTimeoutError(message, system=system, operation=operation, sent=False)
    if failure.kind == "tls":
        message = f"{call}: not sent, the server's TLS certificate or protocol is not accepted ({failure.cause})"
        return ApiConnectionError(message, system=system, operation=operation, retryable=False, sent=False)
    if failure.kind == "malformed":
        message = f"{call}: not sent, the request cannot be written as it stands ({failure.cause})"
        return InvalidRequestError(message, system=system, operation=operation, sent=False)
    message = f"{call}: not sent, no connection ({failure.cause})"
    return ApiConnectionError(message, system=system, operation=operation, sent=False)


def unexpected(
    what: str, *, system: str, operation: str, safe_to_repeat: bool, status: int | None = None
) -> UnexpectedResponseError:
    """Return the error for an answer that does not say what the operation promises; `what` must not quote it."""
    return uncertain(
        UnexpectedResponseError,
        f"{system} {operation}: {what}",
        system=system,
        operation=operation,
        safe_to_repeat=safe_to_repeat,
        status=status,
    )


def another_record(system: str, operation: str, *, asked: int, answered: int, status: int) -> AnotherRecordError:
    """Return the error of a read that was answered by another record than was asked for; it says which."""
    message = f"{system} {operation}: number {answered} was answered where {asked} was asked for"
    return AnotherRecordError(message, system=system, operation=operation, status=status)


def uncertain(kind: type[_E], message: str, *, safe_to_repeat: bool, **details: Any) -> _E:
    """Return an error after which the system may have acted: retryable when that does no harm, else an unknown outcome.

    Never both: a loop that looked at `retryable` alone would send a second time.
    """
    return kind(message, retryable=safe_to_repeat, outcome_unknown=not safe_to_repeat, **details)


def word_in(answer: Answer) -> str:
    """Return an error's own short word, on one line and not yet redacted; empty where there is none, as in HTML."""
    if len(answer.body) > _ERROR_LIMIT_BYTES:
        return ""
    try:
        document = read_tolerantly(answer.body, charset_of(answer.headers.get("Content-Type"))).document
    except UnreadableError:
        return ""
    return _cut(word_of(document))


def _cut(word: str) -> str:
    """Cut a word before patterns go over it, and not within a secret that the redaction then would not know."""
    if len(word) <= _WORD_READ:
        return word
    return word[:_WORD_READ].rpartition(" ")[0] or word[:WORD_LIMIT]


def _redirection(location: str | None, system: str, base_url: str) -> str:
    """Say where a redirection leads, without its query, and what to do about it."""
    try:
        source, target = urlsplit(base_url), urlsplit(urljoin(base_url, (location or "")[:_WORD_READ].strip()))
        host = target.netloc.rpartition("@")[2]
        address = f"{target.scheme}://{host}{target.path}"[:WORD_LIMIT]
    except ValueError:
        return ""
    if not location or not host or not address.isprintable():
        return ""
    said = f", a redirection to {address}"
    if not base_url:
        return said
    if source.scheme == "https" and target.scheme != "https":
        said += ", which is not encrypted"
    return f"{said}. Set CARTBRIDGE_{system.upper()}__BASE_URL to the address that answers by itself"


def read_retry_after(text: str | None, now: datetime) -> float | None:
    """Read a `Retry-After`: seconds (a fraction is tolerated) or an HTTP date, 0 if past. None for anything else."""
    if text is None or len(text) > _LONGEST_RETRY_AFTER:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError, TypeError, IndexError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = max((moment - now).total_seconds(), 0.0)
    if not math.isfinite(seconds) or seconds < 0:
        return None
    return min(seconds, RETRY_AFTER_LIMIT_SECONDS)
