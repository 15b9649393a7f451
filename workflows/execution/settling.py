"""When an unknown outcome has settled: what a lookup's answer proves, and when the next lookup is made. Pure functions.

A stalled server carries out what had queued, also what its sender has given up on. So the settle time counts from the
first prompt answer to a request that was sent after the outcome became unknown: from then on the queue is worked off.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from worker.errors import ApiError
from worker.ledger.runs.held import PROMPT_ANSWER_SECONDS, Asked
from worker.ledger.states import Outcome, RunState
from worker.reasons import Reason
from workflows.execution.retry_policy import Patience, RetryDecision, refused_to_all, requested_wait_seconds

LONGEST_ASKING = timedelta(days=1)
"""After that a person is asked, who may learn what no answer tells."""


def is_proof(asked: Asked, *, started_at: datetime, answer_seconds: float, patience: Patience) -> bool:
    """Whether what an answer does not show is not there: it is prompt, and to a question put after the settle time."""
    settle = timedelta(seconds=patience.settle_seconds)
    is_settled = asked.prompt_at is not None and started_at >= asked.prompt_at + settle
    return is_settled and answer_seconds <= PROMPT_ANSWER_SECONDS


def after_answer(
    asked: Asked, *, answer_seconds: float, now: datetime, started_at: datetime, patience: Patience
) -> RetryDecision:
    """What follows from an answer that showed no match and proves nothing yet."""
    is_prompt = answer_seconds <= PROMPT_ANSWER_SECONDS
    prompt_at = asked.prompt_at or (now if is_prompt else None)
    if not is_prompt and now - (asked.since or started_at) >= LONGEST_ASKING:
        return RetryDecision(Outcome.UNKNOWN, RunState.REVIEW, Reason.OUTCOME_UNKNOWN, counted=False)
    next_at = now + timedelta(seconds=patience.probe_seconds)
    settle = timedelta(seconds=patience.settle_seconds)
    if prompt_at is not None and prompt_at + settle > now:
        next_at = min(next_at, prompt_at + settle)
    return _asked_again(Outcome.UNKNOWN, next_at, prompt_at, patience)


def after_failure(
    asked: Asked, error: BaseException, *, now: datetime, started_at: datetime, answers_others: bool, patience: Patience
) -> RetryDecision:
    """What follows from a lookup without an answer. It counts as no attempt; nothing is sent until there is one.

    `answers_others`: the destination answered other runs since a lookup first failed, so that it is this one it fails.
    """
    refused = refused_to_all(error, now)
    if refused is not None:
        return refused
    is_spent = answers_others and asked.failures + 1 >= patience.max_attempts
    if is_spent or now - (asked.since or started_at) >= LONGEST_ASKING:
        return RetryDecision(Outcome.RETRYABLE, RunState.REVIEW, Reason.OUTCOME_UNKNOWN, counted=False)
    seconds = patience.probe_seconds
    if isinstance(error, ApiError):
        seconds = max(seconds, requested_wait_seconds(error))
    return _asked_again(Outcome.RETRYABLE, now + timedelta(seconds=seconds), asked.prompt_at, patience)


def _asked_again(outcome: Outcome, next_at: datetime, prompt_at: datetime | None, patience: Patience) -> RetryDecision:
    """The lane stays shut for as long as the call may still be carried out."""
    settle = timedelta(seconds=patience.settle_seconds)
    return RetryDecision(
        outcome,
        RunState.WAITING,
        Reason.SETTLING,
        counted=False,
        next_attempt_at=next_at,
        lane_shut_until=max(next_at, (prompt_at or next_at) + settle),
    )
