"""Which error an answer is, or the lack of one: the one place where a status decides about a retry."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

from worker.clients.reading import UnreadableError, decode, is_html, read_document, word_of
from worker.clients.transport import Answer, NoAnswer
from worker.errors import (
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
)

_E = TypeVar("_E", bound=ApiError)

WORD_LIMIT: Final = 200
RETRY_AFTER_LIMIT_SECONDS: Final = 86_400.0
"""A server that asks for more than a day is asked again after a day."""

_ERROR_LIMIT_BYTES: Final = 100_000
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
) -> ApiError | None:
    """Return the error an answer stands for; None for a whole 2xx.

    Refusals (4xx) are final and nothing was done; 425 and 429 may be tried again. After a 408, a 5xx, a 3xx (never
    followed) or half an answer the system may have acted: may be tried again when the call is safe to repeat, else an
    unknown outcome. So is an HTML page that refuses a call which is not safe to repeat: it may come from something in
    between. The message quotes the system's own short word, redacted, and nothing else of the body.
    """
    status = answer.status
    if 200 <= status < 300:
        if not answer.broken:
            return None
        return uncertain(
            ApiTimeoutError if answer.timed_out else UnexpectedResponseError,
            f"{system} {operation}: {answer.broken} (HTTP {status})",
            system=system,
            operation=operation,
            safe_to_repeat=safe_to_repeat,
            status=status,
        )
    word = redact(error_word(answer.body))[:WORD_LIMIT]
    message = f"{system} {operation} answered HTTP {status}" + (f": {word}" if word else "")
    retry_after_seconds = read_retry_after(answer.headers.get("Retry-After"), now)
    if 400 <= status < 500:
        kind = _BY_STATUS.get(status, InvalidRequestError)
        if not safe_to_repeat and kind is not RateLimitedError and is_html(decode(answer.body)):
            # A page for people may come from something in between, before the system acted or after.
            kind = UnexpectedResponseError
        elif kind is not ApiTimeoutError:
            return kind(
                message,
                system=system,
                operation=operation,
                status=status,
                retry_after_seconds=retry_after_seconds if kind.retryable_by_default else None,
            )
    else:
        kind = ServerError if status >= 500 else UnexpectedResponseError
    return uncertain(
        kind,
        message,
        system=system,
        operation=operation,
        safe_to_repeat=safe_to_repeat,
        status=status,
        retry_after_seconds=retry_after_seconds,
    )


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


def uncertain(kind: type[_E], message: str, *, safe_to_repeat: bool, **details: Any) -> _E:
    """Return an error after which the system may have acted: retryable when that does no harm, else an unknown outcome.

    Never both: a loop that looked at `retryable` alone would send a second time.
    """
    return kind(message, retryable=safe_to_repeat, outcome_unknown=not safe_to_repeat, **details)


def error_word(body: bytes) -> str:
    """Return an error's own short word on one line; empty where there is none, as in a page of HTML."""
    if len(body) > _ERROR_LIMIT_BYTES:
        return ""
    try:
        return word_of(read_document(body))
    except UnreadableError:
        return ""


def read_retry_after(text: str | None, now: datetime) -> float | None:
    """Read a `Retry-After`: seconds (a fraction is tolerated) or an HTTP date, 0 if past. None for anything else."""
    if text is None:
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
