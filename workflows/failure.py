"""What follows from a failed attempt: a pure decision from the error, the step and the settings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from worker.errors import (
    ApiConnectionError,
    ApiError,
    AuthenticationError,
    LeaseLostError,
    PermissionDeniedError,
)
from worker.ledger.breaker import PROBE_SECONDS
from worker.ledger.states import Outcome, RunState
from worker.retry import LONGEST_WISH_SECONDS, backoff_seconds
from workflows.breaker import Evidence, evidence_of
from workflows.reasons import Reason


class LeaseShortError(LeaseLostError):
    """The lease would end before the call's deadline: nothing was sent, and nobody else holds the run yet."""


@dataclass(frozen=True)
class Patience:
    """The settings that rule retries, in seconds."""

    base_seconds: float
    max_seconds: float
    max_attempts: int
    settle_seconds: float

    @property
    def probe_seconds(self) -> float:
        """The time between two probes of a destination that is down."""
        return min(PROBE_SECONDS, self.max_seconds)


@dataclass(frozen=True)
class Verdict:
    """What becomes of the attempt, its run, and its destination."""

    outcome: Outcome
    state: RunState
    reason: Reason
    counted: bool = True
    next_attempt_at: datetime | None = None
    lane_shut_until: datetime | None = None
    pause: bool = False
    """The destination refuses our credentials: nothing more is sent to it until it is resumed."""


def judge(
    error: BaseException,
    *,
    safe_to_repeat: bool,
    lookup: bool,
    failures: int,
    patience: Patience,
    now: datetime,
    rng: Random,
    sent: bool = True,
    probing: bool = False,
    askable: bool = True,
) -> Verdict:
    """Decide what a failed attempt means.

    `failures` counts this step's failures that count, this one included. A lookup's failures do not count and never
    end a run: without an answer nothing may be sent, so it is asked again. Nor do failures to get ready (`sent` is
    False: no token could be had, say): a rotated password must not fail every order, whatever form its refusal takes.
    Nor does a probe's failure that only says that the destination is still down (`probing`): the run is soon due again,
    as it is the breaker it waits for. Nor a destination that cannot be reached at all: no order must fail for a night's
    outage, be it the only one.
    Where an unknown outcome can neither be asked about nor repeated (`askable` is False), it is a question to a person.
    An error that is not an `ApiError` is a fault of our own: on a call that is not safe to repeat its outcome is
    unknown.
    """
    if isinstance(error, LeaseShortError):
        return Verdict(Outcome.RETRYABLE, RunState.WAITING, Reason.LEASE_SHORT, counted=False, next_attempt_at=now)
    if isinstance(error, AuthenticationError | PermissionDeniedError):
        return Verdict(
            Outcome.RETRYABLE, RunState.WAITING, Reason.AUTHENTICATION, counted=False, next_attempt_at=now, pause=True
        )
    is_api_error = isinstance(error, ApiError)
    unknown = error.outcome_unknown if isinstance(error, ApiError) else not safe_to_repeat
    retryable = error.retryable if isinstance(error, ApiError) else True
    still_down = probing and evidence_of(error) is Evidence.DOWN
    unreachable = isinstance(error, ApiError) and error.unreachable
    wait = timedelta(
        seconds=backoff_seconds(
            failures,
            base_seconds=patience.base_seconds,
            max_seconds=patience.probe_seconds if still_down else patience.max_seconds,
            rng=rng,
            retry_after_seconds=_wish_seconds(error),
        )
    )
    if lookup:
        return Verdict(Outcome.RETRYABLE, RunState.WAITING, Reason.SETTLING, counted=False, next_attempt_at=now + wait)
    if unknown:
        settled_at = now + timedelta(seconds=patience.settle_seconds)
        if not askable:
            return Verdict(Outcome.UNKNOWN, RunState.REVIEW, Reason.OUTCOME_UNKNOWN, lane_shut_until=settled_at)
        # No backoff, which is for sending again; but a server that asks to be left alone for longer is.
        asked_at = max(settled_at, now + timedelta(seconds=_wish_seconds(error)))
        return Verdict(
            Outcome.UNKNOWN, RunState.WAITING, Reason.SETTLING, next_attempt_at=asked_at, lane_shut_until=settled_at
        )
    if still_down or unreachable:
        return Verdict(Outcome.RETRYABLE, RunState.WAITING, Reason.RETRYING, counted=False, next_attempt_at=now + wait)
    if not retryable:
        reason = Reason.TLS_FAILURE if isinstance(error, ApiConnectionError) else Reason.REFUSED
        return Verdict(Outcome.FINAL, RunState.FAILED, reason)
    if not sent and is_api_error:
        return Verdict(Outcome.RETRYABLE, RunState.WAITING, Reason.RETRYING, counted=False, next_attempt_at=now + wait)
    if failures >= patience.max_attempts:
        spent = Reason.ATTEMPTS_SPENT if is_api_error else Reason.UNEXPECTED_ERROR
        return Verdict(Outcome.RETRYABLE, RunState.FAILED, spent)
    return Verdict(Outcome.RETRYABLE, RunState.WAITING, Reason.RETRYING, next_attempt_at=now + wait)


def _wish_seconds(error: BaseException) -> float:
    """How long the server asked us to wait, 0 if it did not; a wish beyond a day is taken for a mistake."""
    wish = error.retry_after_seconds if isinstance(error, ApiError) else None
    return min(wish or 0.0, LONGEST_WISH_SECONDS)
