"""What follows from a failed attempt: a pure decision from the error, the step and the settings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from worker.backoff import LONGEST_REQUESTED_WAIT_SECONDS, backoff_seconds
from worker.errors import (
    ApiConnectionError,
    ApiError,
    AuthenticationError,
    LeaseLostError,
    PermissionDeniedError,
    RequestRefusedError,
)
from worker.ledger.runs.breaker import PROBE_SECONDS
from worker.ledger.states import Outcome, RunState
from worker.reasons import Reason
from workflows.execution.breaker_rules import Evidence, evidence_of
from workflows.execution.steps import Repeat


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
class RetryDecision:
    """What becomes of the attempt, its run, and its destination."""

    outcome: Outcome
    state: RunState
    reason: Reason
    counted: bool = True
    next_attempt_at: datetime | None = None
    lane_shut_until: datetime | None = None
    pause: bool = False
    """The destination refuses our credentials: nothing more is sent to it until it is resumed."""


class RetryPolicy:
    """Judges failed attempts by the settings; `rng` spreads the waits. One a process; threads may share it."""

    def __init__(self, patience: Patience, rng: Random) -> None:
        self.patience = patience
        self._rng = rng

    def judge(
        self,
        error: BaseException,
        *,
        repeat: Repeat,
        failures: int,
        now: datetime,
        sent: bool = True,
        probing: bool = False,
        answers_others: bool = False,
    ) -> RetryDecision:
        """Decide what a failed attempt of a call means; of a lookup: `workflows.execution.settling`.

        `failures` counts this step's failures that count, this one included. Failures to get ready do not (`sent` is
        False: no token could be had, say): a rotated password must not fail every order, whatever form its refusal
        takes. Nor does a probe's failure that only says that the destination is still down (`probing`): the run is soon
        due again, as it is the breaker it waits for. Nor a destination that cannot be reached at all: no order must
        fail for a night's outage, be it the only one. But where it answered other runs since this step first failed
        (`answers_others`), the failure is this run's own: it counts, and the cap asks a person.
        Where an unknown outcome can neither be asked about nor repeated, it is a question to a person. An error that is
        not an `ApiError` is a fault of our own: on a call that is not safe to repeat its outcome is unknown.
        """
        patience = self.patience
        if isinstance(error, LeaseShortError):
            return RetryDecision(
                Outcome.RETRYABLE, RunState.WAITING, Reason.LEASE_SHORT, counted=False, next_attempt_at=now
            )
        refused = refused_to_all(error, now)
        if refused is not None:
            return refused
        if isinstance(error, RequestRefusedError):
            return RetryDecision(Outcome.FINAL, RunState.REVIEW, Reason.REQUEST_REFUSED)
        is_api_error = isinstance(error, ApiError)
        unknown = error.outcome_unknown if isinstance(error, ApiError) else repeat is not Repeat.SAFE and sent
        retryable = error.retryable if isinstance(error, ApiError) else True
        is_own = answers_others and sent
        is_down = evidence_of(error) is Evidence.DOWN
        still_down = probing and is_down and not is_own
        unreachable = isinstance(error, ApiError) and error.unreachable and not (is_own and error.sent)
        max_seconds = patience.probe_seconds if probing and is_down else patience.max_seconds
        wait = self._wait(error, failures, max_seconds)
        if unknown:
            return self._unknown(error, repeat, now)
        if still_down or unreachable:
            return RetryDecision(
                Outcome.RETRYABLE, RunState.WAITING, Reason.RETRYING, counted=False, next_attempt_at=now + wait
            )
        if not retryable:
            reason = Reason.TLS_FAILURE if isinstance(error, ApiConnectionError) else Reason.REFUSED
            return RetryDecision(Outcome.FINAL, RunState.FAILED, reason)
        if not sent and is_api_error:
            return RetryDecision(
                Outcome.RETRYABLE, RunState.WAITING, Reason.RETRYING, counted=False, next_attempt_at=now + wait
            )
        if failures >= patience.max_attempts and is_own and is_api_error:
            return RetryDecision(Outcome.RETRYABLE, RunState.REVIEW, Reason.REQUEST_REFUSED)
        if failures >= patience.max_attempts:
            spent = Reason.ATTEMPTS_SPENT if is_api_error else Reason.UNEXPECTED_ERROR
            return RetryDecision(Outcome.RETRYABLE, RunState.FAILED, spent)
        return RetryDecision(Outcome.RETRYABLE, RunState.WAITING, Reason.RETRYING, next_attempt_at=now + wait)

    def _wait(self, error: BaseException, failures: int, max_seconds: float) -> timedelta:
        """How long to wait before the next attempt."""
        seconds = backoff_seconds(
            failures,
            base_seconds=self.patience.base_seconds,
            max_seconds=max_seconds,
            rng=self._rng,
            retry_after_seconds=requested_wait_seconds(error),
        )
        return timedelta(seconds=seconds)

    def _unknown(self, error: BaseException, repeat: Repeat, now: datetime) -> RetryDecision:
        """The lane stays shut until the call has settled. What can be asked about is asked about soon, then again."""
        patience = self.patience
        settled_at = now + timedelta(seconds=patience.settle_seconds)
        if repeat is Repeat.NEVER:
            return RetryDecision(Outcome.UNKNOWN, RunState.REVIEW, Reason.OUTCOME_UNKNOWN, lane_shut_until=settled_at)
        soon = now + timedelta(
            seconds=backoff_seconds(
                1, base_seconds=patience.base_seconds, max_seconds=patience.probe_seconds, rng=self._rng
            )
        )
        # A server that asks to be left alone for longer is.
        asked_at = max(
            settled_at if repeat is Repeat.HARMLESS else soon, now + timedelta(seconds=requested_wait_seconds(error))
        )
        return RetryDecision(
            Outcome.UNKNOWN,
            RunState.WAITING,
            Reason.SETTLING,
            next_attempt_at=asked_at,
            lane_shut_until=max(settled_at, asked_at),
        )


def refused_to_all(error: BaseException, now: datetime) -> RetryDecision | None:
    """Where our credentials are refused: the destination is paused, and the run waits at no cost."""
    if not isinstance(error, AuthenticationError | PermissionDeniedError):
        return None
    return RetryDecision(
        Outcome.RETRYABLE, RunState.WAITING, Reason.AUTHENTICATION, counted=False, next_attempt_at=now, pause=True
    )


def requested_wait_seconds(error: BaseException) -> float:
    """How long the server asked us to wait, 0 if it did not; more than a day is taken for a mistake."""
    requested_seconds = error.retry_after_seconds if isinstance(error, ApiError) else None
    return min(requested_seconds or 0.0, LONGEST_REQUESTED_WAIT_SECONDS)
