"""What becomes of a run whose lookup settles nothing yet: asked again, or a person is. Each method is a transaction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from worker.ledger.runs.held import HeldRun, HeldStep
from worker.ledger.runs.transitions import Ending
from worker.ledger.states import AttemptKind, RunState
from workflows.execution import settling
from workflows.execution.attempts import failed_attempt
from workflows.execution.recorder import Recorder
from workflows.execution.retry_policy import Patience
from workflows.execution.steps import PlannedStep

_UNPROVEN_NOTE = "For a day {system} answered too slowly for an answer to prove that the call was not carried out."


class LookupRecorder:
    """Writes what lookups come to, with the recorder of the process. Raises `LeaseLostError` as that does."""

    def __init__(self, recorder: Recorder, *, patience: Patience, clock: Callable[[], datetime]) -> None:
        self._recorder = recorder
        self._patience = patience
        self._clock = clock

    def fail(self, held: HeldRun, step: HeldStep, planned: PlannedStep, error: Exception, started_at: datetime) -> None:
        """Record a lookup without an answer, and let go of the run."""
        now = self._clock()
        answers_others = self._recorder.answers_others(held, step.asked.failed_at)
        decision = settling.after_failure(
            step.asked,
            error,
            now=now,
            started_at=started_at,
            answers_others=answers_others,
            patience=self._patience,
        )
        step.attempts += 1
        attempt = failed_attempt(
            held,
            step,
            error,
            started_at=started_at,
            finished_at=now,
            outcome=decision.outcome,
            kind=AttemptKind.LOOKUP,
        )
        held.outcomes.append(attempt)
        self._recorder.end_by(held, planned, decision, error, now, is_own=answers_others)

    def ask_again(
        self, held: HeldRun, step: HeldStep, planned: PlannedStep, attempt: dict[str, Any], started_at: datetime
    ) -> None:
        """Record an answer that showed no match and proves nothing yet, and let go of the run."""
        decision = settling.after_answer(
            step.asked,
            answer_seconds=attempt["answer_seconds"],
            now=self._clock(),
            started_at=started_at,
            patience=self._patience,
        )
        held.outcomes.append(attempt | {"outcome": decision.outcome})
        is_spent = decision.state is RunState.REVIEW
        self._recorder.end(
            held,
            Ending(
                decision.state,
                decision.reason,
                note=_UNPROVEN_NOTE.format(system=planned.definition.system) if is_spent else None,
                next_attempt_at=decision.next_attempt_at,
                lane_shut_until=decision.lane_shut_until,
            ),
            detail={"step": planned.name, "outcome": decision.outcome},
        )
