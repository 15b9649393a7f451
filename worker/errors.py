"""Every error Cartbridge raises on purpose, in one tree under `CartbridgeError`.

An `ApiError` carries the two answers the retry loop needs, and the loop only reads them:
`retryable` (may this be tried again?) and `outcome_unknown` (may the destination have acted?).
Messages never hold a URL's query, a request's or an answer's body, or a secret: they are safe to log, store and show.
Each class can be pickled: the message comes first, the rest are keywords with defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

_GATEWAY_STATUSES = frozenset({502, 503, 504})


class CartbridgeError(Exception):
    """The root: catch it to catch everything Cartbridge raises on purpose."""


class ConfigurationError(CartbridgeError):
    """A setting, the offers file or the ledger's schema keeps Cartbridge from working.

    The message names the next step.
    """


@dataclass(frozen=True)
class VendorNotice:
    """What a system that refused a call, or failed at it, says of that itself."""

    message: str = ""
    """Its own sentence, one short line, redacted; empty where it gave none. It may quote whom the call was for."""
    retry_after_seconds: float | None = None
    """The least it asks us to wait."""


NO_NOTICE: Final = VendorNotice()


class ApiError(CartbridgeError):
    """A call to one of the four systems did not give the answer it should have.

    `system` and `operation` name the call (`learningcart`, `addCompOrder`); `status` is the HTTP status, or None when
    no status line was read. `retryable`: the same call may succeed later. `outcome_unknown`: the request was or may
    have been sent and the call is not safe to repeat, so the destination must be asked before anything is sent again.
    `sent`: a byte of the request may have left. `notice`: what the system itself says of it.
    """

    retryable_by_default = False
    for_credentials = False
    """What failed is a request for a token; the call that it was for was not sent. Set by whoever wanted the token."""

    def __init__(
        self,
        message: str = "",
        *,
        system: str = "",
        operation: str = "",
        status: int | None = None,
        retryable: bool | None = None,
        outcome_unknown: bool = False,
        sent: bool = True,
        notice: VendorNotice = NO_NOTICE,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.system = system
        self.operation = operation
        self.status = status
        self.retryable = self.retryable_by_default if retryable is None else retryable
        self.outcome_unknown = outcome_unknown
        self.sent = sent
        self.notice = notice

    @property
    def retry_after_seconds(self) -> float | None:
        """The least the server asked us to wait, or None."""
        return self.notice.retry_after_seconds

    @property
    def may_have_acted(self) -> bool:
        """Whether the destination may have carried the call out: it may have left, and no answer refused it."""
        is_refused = isinstance(self, AuthenticationError) or (self.status is not None and 400 <= self.status < 500)
        return self.sent and not self.for_credentials and not is_refused

    @property
    def unreachable(self) -> bool:
        """The system as a whole could not be reached: no connection, or a gateway in front of it says so.

        It says nothing about this one request, which would have fared no better.
        """
        return self.retryable and (not self.sent or self.status in _GATEWAY_STATUSES)

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from the message alone, then restore the attributes, so that a subclass may add its own."""
        return type(self), (self.message,), self.__dict__


class ApiConnectionError(ApiError):
    """No answer: the connection was refused, reset, or cut."""

    retryable_by_default = True


class ApiTimeoutError(ApiError):
    """No answer within the call's deadline."""

    retryable_by_default = True


class RateLimitedError(ApiError):
    """429: refused for its rate, and not carried out. `retry_after_seconds` when the server said so."""

    retryable_by_default = True


class ServerError(ApiError):
    """A 5xx: the server failed, before or after it acted."""

    retryable_by_default = True


class AuthenticationError(ApiError):
    """401, or credentials refused in another form: the password, key or token is not accepted."""


class PermissionDeniedError(ApiError):
    """403: known, but not allowed."""


class NoAccessError(PermissionDeniedError):
    """Nothing is set to ask this system with: nothing was sent."""


class RequestRefusedError(ApiError):
    """This one request is refused (401, 403), and others are answered: the cause is in the request, not in us."""


class NotFoundError(ApiError):
    """404 or 410: no such thing there (any more)."""


class InvalidRequestError(ApiError):
    """Refused as it stands (any other 4xx, or the system's own word for no): the same request will be refused again."""


class UnexpectedResponseError(ApiError):
    """An answer that cannot be read as what the operation promises: HTML, half a body, a missing id."""

    retryable_by_default = True


class AnotherRecordError(UnexpectedResponseError):
    """A whole answer, and another record than was asked for: nothing is known of the one that was."""


class RefusalUnclearError(UnexpectedResponseError):
    """A request was refused, and whether others are could not be found out: it waits, and costs no attempt."""

    @property
    def unreachable(self) -> bool:
        """Of the system as a whole nothing could be learnt."""
        return True


class LedgerError(CartbridgeError):
    """The ledger refused: the message names the row and the rule."""


class LeaseHeldError(LedgerError):
    """Another holder works on this run, or on another run of the same lane."""


class LeaseLostError(LedgerError):
    """This holder's lease ended and somebody else took over: nothing more may be sent or recorded as current."""


class IllegalTransitionError(LedgerError):
    """A state change that the transition table does not allow."""


class NotInLedgerError(LedgerError):
    """Something named by its id, key or email is not in the ledger."""


class WebhookRejectedError(CartbridgeError):
    """An incoming webhook is refused.

    `status` is the HTTP status to answer with; the message never echoes the payload.
    """

    def __init__(self, message: str = "", *, status: int = 400, title: str = "Bad request") -> None:
        super().__init__(message)
        self.status = status
        self.title = title
