"""How an attempt stands in the ledger: its row, and what went wrong in one line."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from worker.errors import ApiError, LeaseLostError
from worker.ledger.held import HeldRun, HeldStep
from worker.ledger.states import Outcome
from workflows.steps import PlannedStep, StopError


def unknown_note(planned: PlannedStep) -> str:
    """What is to be found out of a call that can neither be asked about nor repeated."""
    return f"Whether {planned.name} was carried out by {planned.definition.system} cannot be asked."


def describe(error: BaseException) -> str:
    """An error in one line for the ledger and the page. An `ApiError`'s text is safe; any other's may not be."""
    if isinstance(error, StopError):
        return error.note[:500]
    if isinstance(error, ApiError | LeaseLostError):
        return f"{type(error).__name__}: {error}"[:500]
    return f"{type(error).__name__} in Cartbridge itself"


def ended_attempt(
    held: HeldRun,
    step: HeldStep,
    *,
    started_at: datetime,
    finished_at: datetime,
    outcome: Outcome | None,
    kind: str = "call",
    error: BaseException | None = None,
) -> dict[str, Any]:
    """The row of an attempt that has an outcome, or is given one by the caller."""
    return {
        "run_id": held.id,
        "step": step.name,
        "number": step.attempts,
        "kind": kind,
        "generation": held.generation,
        "fence": held.fence,
        "holder": held.holder,
        "reference": None,
        "started_at": started_at,
        "finished_at": finished_at,
        "outcome": outcome,
        "http_status": getattr(error, "status", None),
        "error": describe(error) if error is not None else None,
        "result_id": None,
        "answer_seconds": None,
    }
