"""How an attempt stands in the ledger: its row, and what went wrong in one line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from worker.clients.answer_status import last_status
from worker.errors import ApiError, LeaseLostError
from worker.ledger.runs.attempts import new_attempt
from worker.ledger.runs.held import HeldRun, HeldStep
from worker.ledger.states import Outcome
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
        told = error.note
    elif isinstance(error, ApiError | LeaseLostError):
        told = f"{type(error).__name__}: {error}"
    else:
        return f"{type(error).__name__} in Cartbridge itself"
    return masked(told, personal_words(learner))[:500]


def may_have_acted(error: BaseException | None) -> bool | None:
    """Whether a call that failed so may have been carried out; None where the error does not say."""
    return error.may_have_acted if isinstance(error, ApiError) else None


def ended_attempt(
    held: HeldRun,
    step: HeldStep,
    *,
    started_at: datetime,
    finished_at: datetime,
    outcome: Outcome | None,
    kind: str = "call",
    error: BaseException | None = None,
    sent: bool = True,
) -> dict[str, Any]:
    """The row of an attempt that has an outcome, or is given one by the caller. `sent`: it got as far as the call."""
    return new_attempt(held, step, started_at=started_at) | {
        "kind": kind,
        "finished_at": finished_at,
        "outcome": outcome,
        "http_status": last_status() if error is None else getattr(error, "status", None),
        "error": describe(error, held.learner) if error is not None else None,
        "may_have_acted": may_have_acted(error) if sent else False,
    }
