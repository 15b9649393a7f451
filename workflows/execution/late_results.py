"""What a holder learns after it lost its run, and effects there should not be two of: recorded, adopted, reported."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from worker.ledger import keys
from worker.ledger.events import record_event, record_run_event
from worker.ledger.runs import claims, transitions
from worker.ledger.runs.held import HeldRun, HeldStep
from worker.ledger.runs.run_rows import NewRun, insert_run
from worker.ledger.runs.transitions import Ending
from worker.ledger.states import Actor, Outcome, RunState, StepState
from worker.ledger.tables.runs import Run, attempts, events, learners, runs, steps
from worker.reasons import Reason
from worker.sources.order import Learner
from workflows.planning.model import ENROLMENT, HOLDS, PLACE_HOLDS, REVOCATION
from workflows.planning.reviews import last_asked

LATE_ANSWER = "late_answer"
REPEATED = "run_repeated"
"""The event of an effect that an operator has repeated on purpose."""
_AFTER_CANCEL: dict[str, Reason] = {
    Reason.REFUNDED_BY_SOURCE: Reason.REFUNDED_AFTER_PROVISIONING,
    Reason.REMOVED_FROM_ORDER: Reason.REMOVED_AFTER_PROVISIONING,
    **dict.fromkeys(PLACE_HOLDS, Reason.PLACE_LOST_AFTER_PROVISIONING),
}
_NO_QUESTION = {*HOLDS - PLACE_HOLDS, Reason.AWAITING_PAYMENT}
"""What stops a run before its effect, and is no question after it."""
_WITHDRAWN = frozenset({*_AFTER_CANCEL, Reason.CANCELLED_BY_SOURCE})


@dataclass(frozen=True)
class LateAnswer:
    """What is learned of an attempt whose holder has lost its run."""

    step: str
    number: int
    generation: int
    outcome: Outcome
    result_id: str | None


def append(
    connection: Connection, held: HeldRun, step: HeldStep, outcome: Outcome, result_id: str | None, *, now: datetime
) -> None:
    """Add what a fenced-out holder learned.

    If nobody works on the run and it has no effect yet, the answer is the effect. If it has another one, or was
    cancelled, a run in review says so. If somebody works on it, that holder finds the answer when it lets go. The
    effect of a run is that of its last step: what an earlier one gave is kept with its attempt alone.
    """
    row = claims.lock_run(connection, held.id, now=now)
    if row is not None:
        answer = LateAnswer(step.name, step.attempts, held.generation, outcome, result_id)
        _append(connection, row, answer, is_effect=held.steps[-1].name == step.name, now=now)


def note_found(
    connection: Connection, run_id: str, *, step: str, number: int, generation: int, result_id: str, now: datetime
) -> Run | None:
    """Add an effect that was found under the reference of an attempt nobody waits for any more.

    What becomes of it is as for `append`. Returns the run as it is then, None if there is none. Safe to repeat.
    """
    row = claims.lock_run(connection, run_id, now=now)
    if row is None or row.result_id == result_id:
        return row
    if RunState(row.state) is RunState.CANCELLED and row.result_id is not None:
        _report_duplicate(connection, row, result_id, now)
    else:
        answer = LateAnswer(step, number, generation, Outcome.ADOPTED, result_id)
        _append(connection, row, answer, is_effect=True, now=now)
    return claims.lock_run(connection, run_id, now=now)


def _append(connection: Connection, row: Run, answer: LateAnswer, *, is_effect: bool, now: datetime) -> None:
    result_id = answer.result_id
    detail = {
        "step": answer.step,
        "attempt": answer.number,
        "outcome": answer.outcome,
        "result_id": result_id,
        "generation": answer.generation,
    }
    record_run_event(connection, row, at=now, kind=LATE_ANSWER, actor=Actor.ENGINE, detail=detail)
    if result_id is None:
        return
    connection.execute(
        update(attempts)
        .where(
            attempts.c.run_id == row.id,
            attempts.c.step == answer.step,
            attempts.c.number == answer.number,
            attempts.c.result_id.is_(None),
        )
        .values(result_id=result_id)
    )
    if not is_effect:
        return
    state = RunState(row.state)
    if row.generation != answer.generation or state is RunState.SUCCEEDED:
        if row.result_id != result_id:
            _report_duplicate(connection, row, result_id, now)
    elif state is RunState.CANCELLED:
        _set_result(connection, row.id, result_id)
        open_revocation(connection, row.id, row.reason or "", now=now)
    elif state is not RunState.RUNNING:
        _adopt_free(connection, row, answer.step, result_id, now)


def _output(workflow: str, result_id: str) -> dict[str, str]:
    """The output of a step whose answer came late: only the id is known."""
    return {"order_id" if workflow == ENROLMENT else "result_id": result_id}


def _set_result(connection: Connection, run_id: str, result_id: str) -> None:
    connection.execute(update(runs).where(runs.c.id == run_id).values(result_id=result_id))


def _adopt_free(connection: Connection, row: Run, step_name: str, result_id: str, now: datetime) -> None:
    if RunState(row.state) is RunState.PENDING:
        # A replay put it here; the lookup before its next call adopts the effect, or the answer is found when it ends.
        return
    connection.execute(
        update(steps)
        .where(steps.c.run_id == row.id, steps.c.name == step_name)
        .values(state=StepState.DONE, output=_output(row.workflow, result_id), finished_at=now)
    )
    transitions.adopt(connection, row.id, before=RunState(row.state), result_id=result_id, now=now)
    detail = {"outcome": Outcome.ADOPTED, "result_id": result_id, "late": True}
    record_run_event(connection, row, at=now, kind="run_succeeded", actor=Actor.ENGINE, detail=detail)
    if row.cancel_reason is not None:
        open_revocation(connection, row.id, row.cancel_reason, now=now)


def result_of(connection: Connection, held: HeldRun) -> str | None:
    """The effect an earlier holder of this generation reported late, None if there is none."""
    for result_id in _late_results(connection, held):
        return result_id
    return None


def _late_results(connection: Connection, held: HeldRun) -> list[str]:
    found = connection.scalars(
        select(events.c.detail).where(events.c.run_id == held.id, events.c.kind == LATE_ANSWER).order_by(events.c.id)
    )
    return [
        str(detail["result_id"])
        for detail in found
        if detail.get("result_id") is not None
        and detail.get("generation") == held.generation
        and detail.get("step") == held.steps[-1].name
    ]


def adopt_held(connection: Connection, held: HeldRun, result_id: str, *, now: datetime) -> None:
    """End a held run with the effect an earlier holder reported late."""
    step = held.next_step
    if step is not None:
        held.complete(step, _output(held.workflow, result_id), now=now)
    cancelled = claims.release_run(
        connection,
        held,
        Ending(RunState.SUCCEEDED, result_id=result_id),
        now=now,
        detail={"outcome": Outcome.ADOPTED, "result_id": result_id, "late": True},
    )
    if cancelled is not None:
        open_revocation(connection, held.id, cancelled, now=now)


def report_duplicates(
    connection: Connection, held: HeldRun, result_id: str | None, others: tuple[str, ...], *, now: datetime
) -> None:
    """Open a review for every effect of this run beside `result_id`: found by reference, or reported late."""
    late = _late_results(connection, held) if held.fence > 1 else []
    doubled = sorted({*others, *late} - {result_id})
    if not doubled:
        return
    row = claims.lock_run(connection, held.id, now=now)
    for other in doubled:
        if row is not None:
            _report_duplicate(connection, row, other, now)


def _report_duplicate(connection: Connection, row: Run, result_id: str, now: datetime) -> None:
    _open(connection, row, f"{row.key}/{keys.DUPLICATE}/{result_id}", Reason.DUPLICATE_EFFECT, result_id, now=now)


def release(
    connection: Connection, held: HeldRun, ending: Ending, *, now: datetime, detail: dict[str, Any] | None = None
) -> str | None:
    """As `claims.release_run`; what a cancelled run gave before it was repeated is asked about."""
    cancel_reason = claims.release_run(connection, held, ending, now=now, detail=detail)
    if ending.state is RunState.CANCELLED:
        ask_about_earlier_effect(connection, held.id, ending.reason or "", now=now)
    return cancel_reason


@dataclass(frozen=True)
class EarlierEffect:
    """The effect that a run had when it was repeated on purpose."""

    result_id: str
    email: str | None = None
    """Whose access it is, where the run was begun anew for somebody else."""


def earlier_effect(connection: Connection, run_id: str) -> EarlierEffect | None:
    """The effect that a run had when an operator had it repeated (`--again`), None if it had none."""
    found = connection.scalars(
        select(events.c.detail).where(events.c.run_id == run_id, events.c.kind == REPEATED).order_by(events.c.id.desc())
    )
    detail = next((each for each in found if each.get("result_id_before")), None)
    if detail is None:
        return None
    given_to = select(learners.c.email).where(learners.c.id == detail.get("learner_id_before"))
    return EarlierEffect(str(detail["result_id_before"]), connection.scalar(given_to))


def ask_about_earlier_effect(connection: Connection, run_id: str, cancel_reason: str, *, now: datetime) -> None:
    """The source took a run back that was being repeated: what it gave before that has not gone with it."""
    if cancel_reason not in _WITHDRAWN:
        return
    earlier = earlier_effect(connection, run_id)
    if earlier is None:
        return
    if earlier.email is None:
        _set_result(connection, run_id, earlier.result_id)
    open_revocation(connection, run_id, cancel_reason, earlier=earlier, now=now)


def open_revocation(
    connection: Connection, run_id: str, cancel_reason: str, *, earlier: EarlierEffect | None = None, now: datetime
) -> None:
    """The source cancelled a run whose effect took place all the same, this or an `earlier` one: a person is asked.

    Anew where that was asked and settled before. Not where it only held the seat for what is no question once access
    was given.
    """
    if cancel_reason in _NO_QUESTION:
        return
    row = claims.lock_run(connection, run_id, now=now)
    if row is None:
        return
    if earlier is not None and earlier.email is not None:
        learner = Learner(email=earlier.email)
        row = row.model_copy(update={"learner": learner.model_dump(mode="json"), "result_id": earlier.result_id})
    asked, next_key = last_asked(_questions_about(connection, row), f"{row.key}/{keys.REVOKE}")
    if asked != RunState.REVIEW:
        reason = _AFTER_CANCEL.get(cancel_reason, Reason.CANCELLED_AFTER_PROVISIONING)
        _open(connection, row, next_key, reason, row.result_id, now=now)


def _questions_about(connection: Connection, row: Run) -> dict[str, str]:
    """The states of what a person was asked about a run, by key."""
    of_order = (runs.c.source == row.source, runs.c.order_id == row.order_id, runs.c.workflow == REVOCATION)
    return {each.key: each.state for each in connection.execute(select(runs.c.key, runs.c.state).where(*of_order))}


def _open(connection: Connection, row: Run, key: str, reason: Reason, result_id: str | None, *, now: datetime) -> None:
    opened = insert_run(
        connection,
        NewRun(
            key=key,
            workflow=REVOCATION,
            state=RunState.REVIEW,
            source=row.source,
            order_id=row.order_id,
            completion_id=row.completion_id,
            line_id=row.line_id,
            seat_id=row.seat_id,
            title=row.title,
            reason=reason,
            note=f"LearningCart order {result_id}" if result_id else None,
            learner=Learner.model_validate(row.learner) if row.learner else None,
            grant=row.grant,
            parent_id=row.id,
            result_id=result_id,
        ),
        now=now,
    )
    if opened is not None:
        record_event(
            connection,
            at=now,
            kind="run_review",
            actor=Actor.ENGINE,
            run_id=opened,
            source=row.source,
            order_id=row.order_id,
            reason=reason,
            detail={"about": row.id, "result_id": result_id},
        )
