"""The recorder: every write of a holder while it works a run. Each public method is one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection

from worker.clients.base import last_status
from worker.errors import ApiError, LeaseLostError
from worker.ledger import pauses
from worker.ledger.runs import claims
from worker.ledger.runs.attempts import answered_others
from worker.ledger.runs.claims import Closing
from worker.ledger.runs.held import HeldRun, HeldStep
from worker.ledger.runs.transitions import Ending
from worker.ledger.session import Ledger
from worker.ledger.states import Actor, AttemptKind, Outcome, RunState
from workflows.execution import breaker_rules, late_results
from workflows.execution.attempts import describe, failed_attempt, may_have_acted, unknown_note
from workflows.execution.breaker_rules import Evidence
from workflows.execution.retry_policy import RetryDecision, RetryPolicy
from workflows.execution.steps import PlannedStep, Repeat, StepResult, StopError
from workflows.registry import steps_of_others

log = logging.getLogger(__name__)

Then = Callable[[Connection, datetime], None]
"""What a step wants committed together with its result."""


class CancelledMeanwhileError(LeaseLostError):
    """The source cancelled the order before the call was sent: the run is cancelled, and nobody holds it any more."""


class AdoptedMeanwhileError(LeaseLostError):
    """An earlier holder reported the effect before the call was sent: the run has succeeded, and nobody holds it."""


class Recorder:
    """Writes what happens to held runs.

    Raises `LeaseLostError` where the holder has lost its run; what it knows is appended to the ledger first.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        lease_seconds: float,
        retry_policy: RetryPolicy,
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._lease_seconds = lease_seconds
        self._retry_policy = retry_policy
        self._patience = retry_policy.patience
        self._clock = clock

    def renew(self, held: HeldRun, *, then: Then | None = None) -> None:
        """Commit what was done so far, and `then` with it, and hold the run for a whole lease from now."""
        now = self._clock()
        with self._ledger.write() as connection:
            claims.write_progress(connection, held, now=now, lease_seconds=self._lease_seconds)
            if then is not None:
                then(connection, now)

    def commit_intent(self, held: HeldRun, step: HeldStep, reference: str) -> None:
        """Commit what was done so far with the intent to send a call that is not safe to repeat, and a whole lease.

        Raises `AdoptedMeanwhileError` when an earlier holder's answer has come in: then that is the effect; and
        `CancelledMeanwhileError` when the source cancelled the run: then it is cancelled instead.
        """
        now = self._clock()
        begin = partial(claims.write_intent, held=held, step=step, reference=reference, now=now)
        if held.fence == 1 and self._is_written_alone(partial(begin, lease_seconds=self._lease_seconds)):
            return
        with self._ledger.write() as connection:
            cancelled = claims.write_progress(connection, held, now=now)
            # Asked under the row's lock, which whoever reports late takes too: no answer slips in between.
            adopted = self._adopt_late(connection, held, now)
            if not adopted and cancelled is not None:
                late_results.release(connection, held, Ending(RunState.CANCELLED, cancelled), now=now)
            elif not adopted:
                begin(connection, lease_seconds=self._lease_seconds)
        if adopted:
            raise AdoptedMeanwhileError(f"the effect of run {held.id} was reported late, and is adopted")
        if cancelled is not None:
            raise CancelledMeanwhileError(f"run {held.id} was cancelled by the source")

    def _is_written_alone(self, write: Callable[[Connection], object]) -> bool:
        """Commit one statement for an undisturbed run; False, and nothing is written, where anything disturbs it.

        The caller then finds out in a transaction what does. Only for a first holder: no earlier one can report late.
        """
        try:
            with self._ledger.write(alone=True) as connection:
                write(connection)
        except LeaseLostError:
            return False
        return True

    def record_effect(
        self, held: HeldRun, step: HeldStep, result: StepResult, outcome: Outcome, others: tuple[str, ...] = ()
    ) -> bool:
        """Commit an effect that took place: the step is done, and so is the run if it was the last."""
        now = self._clock()
        is_last = held.next_step is step and held.steps[-1] is step
        held.complete(step, result.output, now=now)
        result_id = result.result_id
        called = Closing(step=step, outcome=outcome, finished_at=now, result_id=result_id, http_status=last_status())
        closing = called if outcome is Outcome.OK else None  # adopted: what was open has its outcome
        succeed = partial(
            claims.release_run,
            held=held,
            ending=Ending(RunState.SUCCEEDED, result_id=result_id),
            now=now,
            detail={"outcome": outcome, "result_id": result_id},
            closing=closing,
        )
        is_plain = is_last and held.fence == 1 and result.then is None and not others
        if is_plain and self._is_written_alone(partial(succeed, undisturbed=True)):
            return False
        try:
            with self._ledger.write() as connection:
                if is_last:
                    cancelled = succeed(connection)
                    if cancelled is not None:
                        late_results.open_revocation(connection, held.id, cancelled, now=now)
                else:
                    claims.write_progress(connection, held, now=now, closing=closing)
                if result.then is not None:
                    result.then(connection, now)
                late_results.report_duplicates(connection, held, result_id, others, now=now)
                if is_last:
                    self._tell_breaker(connection, held, Evidence.ANSWERED, now)
        except LeaseLostError:
            self._append_late(held, step, outcome, result_id, then=result.then)
            raise
        return not is_last

    def fail(
        self,
        held: HeldRun,
        step: HeldStep,
        planned: PlannedStep,
        error: Exception,
        started_at: datetime,
        *,
        sent: bool = True,
    ) -> None:
        """Record a failed attempt that left nothing open, and let go of the run. `sent`: the call itself was made."""
        now = self._clock()
        is_own = sent and self.answers_others(held, step.failed_at)
        decision = self._retry_policy.judge(
            error,
            repeat=planned.definition.repeat,
            failures=(step.counted if sent and (is_own or not _unreachable(error)) else step.attempts) + 1,
            now=now,
            sent=sent,
            probing=held.probing,
            answers_others=is_own,
        )
        step.attempts += 1
        if decision.counted:
            step.counted += 1
        held.dirty.append(step)
        held.outcomes.append(
            failed_attempt(
                held, step, error, started_at=started_at, finished_at=now, outcome=decision.outcome, sent=sent
            )
        )
        self.end_by(held, planned, decision, error, now, is_own=is_own)

    def answers_others(self, held: HeldRun, failed_at: datetime | None) -> bool:
        """Whether the destination has answered other runs since then; False at a first failure."""
        if failed_at is None:
            return False
        with self._ledger.read() as connection:
            return answered_others(
                connection, held.system, held.id, since=failed_at, other_steps=steps_of_others(held.system)
            )

    def fail_intent(self, held: HeldRun, step: HeldStep, planned: PlannedStep, error: Exception) -> None:
        """Give the open attempt its outcome, and let go of the run."""
        now = self._clock()
        is_own = self.answers_others(held, step.failed_at)
        decision = self._retry_policy.judge(
            error,
            repeat=planned.definition.repeat,
            failures=step.counted if is_own or not _unreachable(error) else step.attempts,
            now=now,
            probing=held.probing,
            answers_others=is_own,
        )
        if not decision.counted:
            step.counted -= 1
            held.dirty.append(step)
        closing = Closing(
            step=step,
            outcome=decision.outcome,
            finished_at=now,
            error=describe(error, held.learner),
            http_status=getattr(error, "status", None),
            may_have_acted=may_have_acted(error),
        )
        try:
            self.end_by(held, planned, decision, error, now, closing=closing, is_own=is_own)
        except LeaseLostError:
            self._append_late(held, step, decision.outcome, None)
            raise

    def stop(
        self,
        held: HeldRun,
        step: HeldStep,
        planned: PlannedStep,
        stop: StopError,
        started_at: datetime,
        *,
        lookup: bool = False,
    ) -> None:
        """Record that a safe call or a lookup stopped the run, and end the run as it says."""
        now = self._clock()
        step.attempts += 1
        held.outcomes.append(
            failed_attempt(
                held,
                step,
                stop,
                started_at=started_at,
                finished_at=now,
                outcome=Outcome.UNKNOWN if lookup else Outcome.FINAL,
                kind=AttemptKind.LOOKUP if lookup else AttemptKind.CALL,
            )
        )
        self._end_stopped(held, planned, stop, now)

    def stop_intent(self, held: HeldRun, step: HeldStep, planned: PlannedStep, stop: StopError) -> None:
        """Close the open attempt, of which nothing was sent, and end the run as `stop` says."""
        now = self._clock()
        said = describe(stop, held.learner)
        closing = Closing(step=step, outcome=Outcome.FINAL, finished_at=now, error=said, may_have_acted=False)
        try:
            self._end_stopped(held, planned, stop, now, closing=closing)
        except LeaseLostError:
            self._append_late(held, step, Outcome.FINAL, None)
            raise

    def _end_stopped(
        self,
        held: HeldRun,
        planned: PlannedStep,
        stop: StopError,
        now: datetime,
        *,
        closing: Closing | None = None,
    ) -> None:
        with self._ledger.write() as connection:
            claims.write_progress(connection, held, now=now, closing=closing)
            if not self._adopt_late(connection, held, now):
                detail, note = {"step": planned.name}, describe(stop, held.learner)
                claims.release_run(connection, held, Ending(stop.state, stop.reason, note), now=now, detail=detail)

    def end_by(
        self,
        held: HeldRun,
        planned: PlannedStep,
        decision: RetryDecision,
        error: Exception,
        now: datetime,
        *,
        closing: Closing | None = None,
        is_own: bool = False,
    ) -> None:
        """Let go of a run as the decision on an attempt says, and tell the breaker."""
        system = planned.definition.system
        if not isinstance(error, ApiError | LeaseLostError):
            log.error("run %s: %s failed in a way we do not know", held.id, planned.name, exc_info=error)
        with self._ledger.write() as connection:
            if decision.pause:
                _pause(connection, system, describe(error, held.learner), now)
            cancelled = claims.write_progress(connection, held, now=now, closing=closing)
            if not self._adopt_late(connection, held, now):
                if decision.outcome is Outcome.UNKNOWN or any(each.unresolved for each in held.steps):
                    cancelled = None  # only the destination can tell whether there is anything left to cancel
                late_results.release(
                    connection,
                    held,
                    Ending(
                        state=RunState.CANCELLED if cancelled else decision.state,
                        reason=cancelled or decision.reason,
                        note=unknown_note(planned)
                        if planned.definition.repeat is Repeat.NEVER and decision.state is RunState.REVIEW
                        else describe(error, held.learner),
                        next_attempt_at=decision.next_attempt_at,
                        lane_shut_until=decision.lane_shut_until,
                    ),
                    now=now,
                    detail={"step": planned.name, "outcome": decision.outcome, "error": describe(error, held.learner)},
                )
            self._tell_breaker(connection, held, breaker_rules.evidence_of(error), now, error=error, is_own=is_own)

    def end(
        self,
        held: HeldRun,
        ending: Ending,
        *,
        detail: dict[str, Any] | None = None,
        then: Then | None = None,
    ) -> None:
        """Let go of a run without recording another attempt. `then` is committed with it."""
        now, state = self._clock(), ending.state
        with self._ledger.write() as connection:
            if state is RunState.CANCELLED or (state is not RunState.SUCCEEDED and held.fence > 1):
                asked = claims.write_progress(connection, held, now=now)
                if self._adopt_late(connection, held, now):
                    return
                if state is RunState.CANCELLED and asked is None:
                    # Paid again since the run was claimed: nobody would look at a cancelled one any more.
                    state = RunState.WAITING
                    ending = replace(ending, state=state, reason=None, next_attempt_at=now)
            leaves_lane_open = state is RunState.WAITING and ending.lane_shut_until is None
            if leaves_lane_open and any(each.unresolved for each in held.steps):
                ending = replace(ending, lane_shut_until=now + timedelta(seconds=self._patience.settle_seconds))
            late_results.release(connection, held, ending, now=now, detail=detail)
            if then is not None:
                then(connection, now)
            if state is RunState.SUCCEEDED:
                self._tell_breaker(connection, held, Evidence.ANSWERED, now)

    def _tell_breaker(
        self,
        connection: Connection,
        held: HeldRun,
        evidence: Evidence,
        now: datetime,
        *,
        error: Exception | None = None,
        is_own: bool = False,
    ) -> None:
        breaker_rules.tell(
            connection,
            held,
            evidence,
            error="" if error is None else describe(error, held.learner),
            unreachable=error is not None and _unreachable(error),
            is_own=is_own,
            now=now,
            probe_seconds=self._patience.probe_seconds,
        )

    def _adopt_late(self, connection: Connection, held: HeldRun, now: datetime) -> bool:
        """End the run with the effect that an earlier holder reported meanwhile, if one did.

        Asked after a fenced write: it locks the run's row, which whoever reports late locks too.
        """
        result_id = late_results.result_of(connection, held) if held.fence > 1 else None
        if result_id is None:
            return False
        late_results.adopt_held(connection, held, result_id, now=now)
        return True

    def _append_late(
        self, held: HeldRun, step: HeldStep, outcome: Outcome, result_id: str | None, *, then: Then | None = None
    ) -> None:
        """What a holder learns after it lost the run is added to the ledger, never thrown away."""
        with self._ledger.write() as connection:
            late_results.append(connection, held, step, outcome, result_id, now=self._clock())
            if then is not None:
                then(connection, self._clock())


def _unreachable(error: BaseException) -> bool:
    """Whether a failure costs no attempt, so that the wait grows with all attempts and not with those that count."""
    return isinstance(error, ApiError) and error.unreachable


def _pause(connection: Connection, system: str, reason: str, now: datetime) -> None:
    """Pause a destination that refuses our credentials, once, however many workers find out at the same moment."""
    if pauses.pause(connection, system, kind="authentication", reason=reason, actor=Actor.ENGINE, now=now):
        log.error("%s refuses our credentials and is paused: %s", system, reason)
