"""How a failed attempt stands in the ledger: its row, and what went wrong in one line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from worker.errors import ApiError, LeaseLostError
from worker.ledger.runs.held import HeldRun, HeldStep
from worker.ledger.states import AttemptKind, Outcome
from worker.text.personal_text import masked, personal_words
from workflows.execution.steps import PlannedStep, StopError


def unknown_note(planned: PlannedStep) -> str:
    """What is to be found out of a call that can neither be asked about nor repeated."""
    return f"Whether {planned.name} was carried out by {planned.definition.system} cannot be asked."


def describe(error: BaseException, learner: Mapping[str, Any] | None = None) -> str:
    """An error in one line for the ledger and the page. An `ApiError`'s text is safe; any other's may not be.

    A refusal may quote what was refused: `learner`, whom the call was for, is left out of it.
    """
    if isinstance(error, StopError):
        text = error.note
    elif isinstance(error, ApiError | LeaseLostError):
        text = f"{type(error).__name__}: {error}"
    else:
        return f"{type(error).__name__} in Cartbridge itself"
    return masked(text, personal_words(learner))[:500]


def may_have_acted(error: BaseException) -> bool | None:
    """Whether a call that failed so may have been carried out; None where the error does not say."""
    return error.may_have_acted if isinstance(error, ApiError) else None


def failed_attempt(
    held: HeldRun,
    step: HeldStep,
    error: BaseException,
    *,
    started_at: datetime,
    finished_at: datetime,
    outcome: Outcome,
    kind: AttemptKind = AttemptKind.CALL,
    sent: bool = True,
) -> dict[str, Any]:
    """The row of an attempt that ended with an error. `sent`: the call itself was made."""
    return held.attempt(
        step,
        kind=kind,
        started_at=started_at,
        finished_at=finished_at,
        outcome=outcome,
        http_status=getattr(error, "status", None),
        error=describe(error, held.learner),
        may_have_acted=may_have_acted(error) if sent else False,
    )
