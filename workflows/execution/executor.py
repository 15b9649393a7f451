"""The executor: works a claimed run step by step, so that every effect takes place once or is asked about.

The undisturbed path commits three times: the claim; the safe steps' outcomes together with the intent of the call that
is not safe to repeat; and that call's outcome. Killed between any two, the run is found again by its lease.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from worker.clients.base import CallLimits, last_status, note_status
from worker.errors import LeaseHeldError, LeaseLostError
from worker.formatting import counted
from worker.ledger import keys
from worker.ledger.runs import claims, due
from worker.ledger.runs.held import HeldRun, HeldStep
from worker.ledger.runs.transitions import Ending
from worker.ledger.session import Ledger
from worker.ledger.states import AttemptKind, Outcome, RunState, StepState
from worker.ledger.views.reconcile import accounted_results
from worker.reasons import Reason
from worker.sources.order import Learner
from workflows.execution import late_results, settling
from workflows.execution.attempts import unknown_note
from workflows.execution.lookups import LookupRecorder
from workflows.execution.recorder import AdoptedMeanwhileError, CancelledMeanwhileError, Recorder
from workflows.execution.retry_policy import LeaseShortError, RetryPolicy
from workflows.execution.steps import Call, Lookup, PlannedStep, Repeat, StepResult, StopError, Workflow

log = logging.getLogger(__name__)

_DEADLINE_SHARE_OF_LEASE = 0.8


@dataclass(frozen=True)
class Timing:
    """The settings the executor works by, in seconds."""

    lease_seconds: float
    call_seconds: Mapping[str, float]
    """By system: connect plus read timeout, which is how long a whole call may take."""

    def deadline_seconds(self, system: str) -> float:
        """How long one call may take: never so long that it outlasts the lease."""
        return min(self.call_seconds[system], self.lease_seconds * _DEADLINE_SHARE_OF_LEASE)


class Executor:
    """Claims runs and performs their steps. One a process; threads may share it."""

    def __init__(
        self,
        ledger: Ledger,
        workflows: Mapping[str, Workflow],
        clients: Mapping[str, Any],
        *,
        timing: Timing,
        retry_policy: RetryPolicy,
        holder: str,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._ledger = ledger
        self._workflows = workflows
        self._clients = clients
        self._timing = timing
        self._patience = retry_policy.patience
        self._holder = holder
        self._clock = clock
        self._recorder = Recorder(ledger, lease_seconds=timing.lease_seconds, retry_policy=retry_policy, clock=clock)
        self._lookups = LookupRecorder(self._recorder, patience=self._patience, clock=clock)

    def claim(self, run_id: str, system: str) -> HeldRun | None:
        """Claim a due run for work on `system`; None where it may not be worked on now. Commits the claim.

        On SQLite a power cut may lose the claim, and then its holder too: the intent reaches the disk before any effect
        that is not safe to repeat, so the run is due as it was.
        """
        if system not in self._clients:
            return None  # not configured: its runs wait
        asked_at_seconds = self._monotonic()
        try:
            with self._ledger.write(alone=True, durable=False) as connection:
                held = claims.claim_run(
                    connection,
                    run_id,
                    system=system,
                    holder=self._holder,
                    now=self._clock(),
                    lease_seconds=self._timing.lease_seconds,
                )
        except LeaseHeldError as error:
            log.debug("not claimed: %s", error)
            return None
        held.lease_end_seconds = asked_at_seconds + self._timing.lease_seconds
        is_elsewhere = self._workflows[held.workflow].is_elsewhere
        if is_elsewhere is not None and is_elsewhere(self._clients, held.outputs):
            log.warning("run %s: begun at another site of %s, it begins anew at this one", held.id, system)
            held.begin_anew()
        return held

    def steps_left(self, held: HeldRun) -> list[PlannedStep]:
        """The held run's steps that are not done, in order."""
        pending = {step.name for step in held.steps if step.state is StepState.PENDING}
        sequence = self._workflows[held.workflow].sequence(held.grant)
        return [planned for planned in sequence if planned.name in pending]

    def perform(self, held: HeldRun, planned: PlannedStep) -> bool:
        """Perform the held run's next step. True: go on with the step after; False: the run was let go of.

        Never raises for what a destination does. Raises what the ledger raises: then the lease runs out, and the run is
        recovered from it.
        """
        step = held.next_step
        if step is None or step.name != planned.name:
            raise ValueError(f"{planned.name} is not the next step of run {held.id}")
        try:
            if held.cancel_reason is not None and not any(each.unresolved for each in held.steps):
                self._recorder.end(held, Ending(RunState.CANCELLED, held.cancel_reason))
                return False
            if planned.definition.repeat is Repeat.SAFE:
                return self._perform_safe(held, step, planned)
            return self._perform_once(held, step, planned)
        except (AdoptedMeanwhileError, CancelledMeanwhileError):
            return False
        except LeaseLostError as error:
            log.warning("run %s: %s", held.id, error)
            return False

    # Calls that are safe to repeat

    def _perform_safe(self, held: HeldRun, step: HeldStep, planned: PlannedStep) -> bool:
        if not self._is_ready(held, step, planned):
            return False
        started_at = self._clock()
        try:
            self._outlast(held, planned)
            result = planned.definition.call(self._call(held, step, planned))
        except LeaseLostError:
            raise
        except StopError as stop:
            self._recorder.stop(held, step, planned, stop, started_at)
            return False
        except Exception as error:  # noqa: BLE001  (whatever the call raises is an attempt's outcome, and is recorded)
            self._recorder.fail(held, step, planned, error, started_at)
            return False
        step.attempts += 1
        now = self._clock()
        held.outcomes.append(
            held.attempt(step, started_at=started_at, finished_at=now, outcome=Outcome.OK, http_status=last_status())
        )
        held.complete(step, result.output, now=now)
        if held.next_step is None:
            ending = Ending(RunState.SUCCEEDED, result_id=result.result_id)
            self._recorder.end(held, ending, then=result.then)
            return False
        if result.then is not None:
            self._recorder.renew(held, then=result.then)
        return True

    def _outlast(self, held: HeldRun, planned: PlannedStep) -> None:
        """Renew the lease if it would end before the call can. Commits then."""
        now = self._clock()
        seconds = self._timing.deadline_seconds(planned.definition.system)
        if held.lease_until - now < timedelta(seconds=seconds):
            self._recorder.renew(held)

    # Calls that are not

    def _perform_once(self, held: HeldRun, step: HeldStep, planned: PlannedStep) -> bool:
        if planned.definition.repeat is Repeat.HARMLESS:
            step.unresolved = step.spent_unknown = False  # it has settled, and nothing is owed to it
        if step.unresolved and not self._resolve_unknown(held, step, planned):
            return False
        if step.state is StepState.DONE:  # adopted
            return True
        if step.counted >= self._patience.max_attempts:
            ending = (
                Ending(RunState.REVIEW, Reason.OUTCOME_UNKNOWN)
                if step.spent_unknown
                else Ending(RunState.FAILED, Reason.ATTEMPTS_SPENT)
            )
            self._recorder.end(held, ending)
            return False
        if not self._is_ready(held, step, planned):
            return False
        reference = self._reference(held, planned)
        self._recorder.commit_intent(held, step, reference)
        try:
            result = planned.definition.call(
                self._call(held, step, planned, before_send=self._last_check(held, planned))
            )
        except StopError as stop:
            self._recorder.stop_intent(held, step, planned, stop)
            return False
        except Exception as error:  # noqa: BLE001  (whatever the call raises is the attempt's outcome, and is recorded)
            self._recorder.fail_intent(held, step, planned, error)
            return False
        return self._recorder.record_effect(held, step, result, Outcome.OK)

    def _last_check(self, held: HeldRun, planned: PlannedStep) -> Callable[[], None]:
        """Return the check to make immediately before the request's bytes leave: the lease outlasts the whole deadline.

        The deadline counts from that moment, since the client's own may begin only then: the process may have been
        frozen, or have waited for a slot after a refused token. Two clocks decide: one that was set back makes the
        lease look longer than it is, and one that never goes back may stand still while the machine sleeps.
        """
        deadline_seconds = self._timing.deadline_seconds(planned.definition.system)

        def check() -> None:
            left_seconds = (held.lease_until - self._clock()).total_seconds()
            if min(left_seconds, held.lease_end_seconds - self._monotonic()) < deadline_seconds:
                raise LeaseShortError("the lease would have ended before the call could; nothing was sent")

        return check

    def _resolve_unknown(self, held: HeldRun, step: HeldStep, planned: PlannedStep) -> bool:
        """Ask the destination for an earlier attempt's effect. True: it was adopted, or is absent and may be sent.

        Where nothing can be asked, a person must decide.
        """
        if planned.definition.look_up is None:
            self._recorder.end(held, Ending(RunState.REVIEW, Reason.OUTCOME_UNKNOWN, unknown_note(planned)))
            return False
        started_at = self._clock()
        since = step.first_sent_at or started_at
        try:
            self._get_ready(planned)
            self._outlast(held, planned)
            later = keys.later_references(held.key, planned.name, held.generation)
            call = replace(self._call(held, step, planned), later_references=later)
            asked_at_seconds = self._monotonic()
            found = planned.definition.look_up(call, since)
            answer_seconds = self._monotonic() - asked_at_seconds
        except LeaseLostError:
            raise
        except StopError as stop:
            self._recorder.stop(held, step, planned, stop, started_at, lookup=True)
            return False
        except Exception as error:  # noqa: BLE001  (without an answer nothing is sent; it is asked again later)
            self._lookups.fail(held, step, planned, error, started_at)
            return False
        if found.answer_seconds is None:
            found = replace(found, answer_seconds=answer_seconds)
        return self._judge_lookup(held, step, planned, found, started_at)

    def _judge_lookup(
        self, held: HeldRun, step: HeldStep, planned: PlannedStep, found: Lookup, started_at: datetime
    ) -> bool:
        """A match is adopted at once, whenever it is found; absence is concluded from proof alone."""
        answer_seconds = found.answer_seconds or 0.0
        step.attempts += 1
        attempt = held.attempt(
            step,
            kind=AttemptKind.LOOKUP,
            started_at=started_at,
            finished_at=self._clock(),
            http_status=last_status(),
            answer_seconds=answer_seconds,
        )
        if found.found:
            order_id, *others = found.found
            held.outcomes.append(attempt | {"outcome": Outcome.ADOPTED, "result_id": order_id})
            result = StepResult({**found.output, found.result_name: order_id}, order_id)
            return self._recorder.record_effect(held, step, result, Outcome.ADOPTED, others=tuple(others))
        with self._ledger.read() as connection:
            # The answer of an earlier holder, come in by now, is this run's effect, and no order to be accounted for.
            late = late_results.result_of(connection, held)
            known = accounted_results(connection, found.unreferenced)
        if late is not None:
            held.outcomes.append(attempt | {"outcome": Outcome.ADOPTED, "result_id": late})
            result = StepResult({**found.output, found.result_name: late}, late)
            return self._recorder.record_effect(held, step, result, Outcome.ADOPTED)
        is_proof = settling.is_proof(
            step.asked, started_at=started_at, answer_seconds=answer_seconds, patience=self._patience
        )
        if not is_proof:
            self._lookups.ask_again(held, step, planned, attempt, started_at)
            return False
        unaccounted = [result_id for result_id in found.unreferenced if result_id not in known]
        if unaccounted or found.unreadable:
            note = _unproven(unaccounted, found.unreadable)
            held.outcomes.append(attempt | {"outcome": Outcome.UNKNOWN, "error": note})
            self._recorder.end(
                held,
                Ending(RunState.REVIEW, Reason.OUTCOME_UNPROVABLE, note),
                detail={"unaccounted": unaccounted[:50], "unreadable": found.unreadable},
            )
            return False
        held.outcomes.append(attempt | {"outcome": Outcome.ABSENT})
        step.unresolved = False
        if held.cancel_reason is not None:
            self._recorder.end(held, Ending(RunState.CANCELLED, held.cancel_reason))
            return False
        return True

    # What both share

    def _is_ready(self, held: HeldRun, step: HeldStep, planned: PlannedStep) -> bool:
        """Get ready for a step's own call. False: that failed; nothing was sent, and the run waits."""
        started_at = self._clock()
        try:
            self._get_ready(planned)
        except Exception as error:  # noqa: BLE001  (whatever it is, it is recorded, and costs the step no attempt)
            self._recorder.fail(held, step, planned, error, started_at, sent=False)
            return False
        return True

    def _get_ready(self, planned: PlannedStep) -> None:
        """Take the rate limit's slot and valid credentials, before the lease is checked and the intent committed."""
        self._clients[planned.definition.system].ready()

    def _call(
        self,
        held: HeldRun,
        step: HeldStep,
        planned: PlannedStep,
        *,
        before_send: Callable[[], None] | None = None,
    ) -> Call:
        """What a call is given once `ready` has taken its slot."""
        note_status(None)  # an attempt is recorded with the status of its own call, never of one before
        return Call(
            clients=self._clients,
            ledger=self._ledger,
            source=held.source,
            order_id=held.order_id,
            learner=Learner.model_validate(held.learner),
            planned=held.grant,
            step=planned.name,
            reference=self._reference(held, planned),
            outputs=held.outputs,
            now=self._clock(),
            limits=CallLimits(
                deadline_seconds=self._timing.deadline_seconds(planned.definition.system),
                before_send=before_send,
                slot_taken=True,
            ),
            run_id=held.id,
            attempt=step.attempts,
            monotonic=self._monotonic,
        )

    def _reference(self, held: HeldRun, planned: PlannedStep) -> str:
        return keys.reference(held.key, planned.name, held.generation)

    def let_go(self, held: HeldRun) -> None:
        """Give a held run back, due at once, with what was done so far. Commits."""
        self._release(held)

    def hand_over(self, held: HeldRun, system: str) -> bool:
        """Give a held run back for its next step at `system`, due at once, and mark it as sent there. Commits.

        True: the caller must send the message; a sweep sends a lost one again. False: send nothing, since the system is
        paused, down or not configured, or somebody else holds the run.
        """
        is_sent = False

        def mark(connection: Connection, now: datetime) -> None:
            nonlocal is_sent
            is_sent = system in self._clients and due.mark_handed_over(connection, held.id, system, now=now)

        return self._release(held, mark) and is_sent

    def _release(self, held: HeldRun, then: Callable[[Connection, datetime], None] | None = None) -> bool:
        """Let go of a run that is due at once; False where somebody else holds it by now."""
        try:
            self._recorder.end(held, Ending(RunState.WAITING, next_attempt_at=self._clock()), then=then)
        except LeaseLostError as error:
            log.warning("run %s: %s", held.id, error)
            return False
        return True


def _unproven(unaccounted: list[str], unreadable: int) -> str:
    """Why absence is not proven, as a sentence."""
    reasons = []
    if unaccounted:
        reasons.append(f"orders of this customer that nothing accounts for: {', '.join(unaccounted[:10])}")
    if unreadable:
        reasons.append(f"{counted(unreadable, 'order')} that cannot be read and may be this customer's")
    return f"LearningCart lists {' and '.join(reasons)}."
