"""Late answers: an effect reported by a holder that lost its run, in every state the run may be in by then."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.workflows.fakes.learningcart import (
    KEY,
    FakeLearningCart,
    a_recorder,
    an_executor,
    before_the_order,
    claimed,
    step_of,
)
from tests.unit.workflows.fakes.storefront import NOW, Clock, rows, run_of
from worker.ledger.runs.held import HeldRun
from worker.ledger.session import Ledger
from worker.ledger.states import Outcome, RunState
from worker.ledger.tables.runs import attempts, events, runs, steps
from workflows.execution import late_results


@pytest.fixture
def held(ledger: Ledger, clock: Clock) -> HeldRun:
    """A run whose order was sent by a holder that then lost it."""
    held = before_the_order(an_executor(ledger, FakeLearningCart(), clock), run_of(ledger, KEY).id)
    a_recorder(ledger, clock).commit_intent(held, step_of(held), "cb-reference")
    return held


def put(ledger: Ledger, state: RunState, **values: Any) -> None:
    with ledger.write() as connection:
        connection.execute(runs.update().values(state=state, fence=2, lease_holder=None, lease_until=None, **values))


def tell(ledger: Ledger, held: HeldRun, result_id: str | None = "90001", outcome: Outcome = Outcome.OK) -> None:
    with ledger.write() as connection:
        late_results.append(connection, held, step_of(held), outcome, result_id, now=NOW)


def questions(ledger: Ledger) -> list[tuple[str, str, str]]:
    found = rows(ledger, runs, runs.c.workflow == "revocation")
    return sorted((row.key.rpartition("buyer/501/")[2], row.reason, row.result_id) for row in found)


@pytest.mark.parametrize("state", [RunState.WAITING, RunState.FAILED, RunState.REVIEW])
def test_answer_is_the_effect_when_nobody_works_on_the_run(ledger: Ledger, held: HeldRun, state: RunState) -> None:
    put(ledger, state, reason="settling", note="x", next_attempt_at=NOW, lane_shut_until=NOW)
    tell(ledger, held)
    run = run_of(ledger, KEY)
    assert (run.state, run.reason, run.note, run.result_id) == ("succeeded", None, None, "90001")
    assert (run.next_attempt_at, run.lane_shut_until, run.finished_at) == (None, None, NOW)
    (step,) = rows(ledger, steps, steps.c.name == "add_comped_order")
    assert (step.state, step.output) == ("done", {"order_id": "90001"})
    (attempt,) = rows(ledger, attempts, attempts.c.step == "add_comped_order")
    assert attempt.result_id == "90001"
    late, succeeded = rows(ledger, events)[-2:]
    assert (late.kind, succeeded.kind) == ("late_answer", "run_succeeded")
    assert succeeded.detail["late"] is True
    assert questions(ledger) == []


@pytest.mark.parametrize(
    ("cancel_reason", "question"),
    [
        ("cancelled_by_source", "cancelled_after_provisioning"),
        ("refunded_by_source", "refunded_after_provisioning"),
        ("removed_from_order", "removed_after_provisioning"),
    ],
)
def test_person_is_asked_when_the_run_was_to_be_cancelled(
    ledger: Ledger, held: HeldRun, cancel_reason: str, question: str
) -> None:
    put(ledger, RunState.WAITING, cancel_reason=cancel_reason)
    tell(ledger, held)
    assert run_of(ledger, KEY).state == "succeeded"
    assert questions(ledger) == [("revoke", question, "90001")]


def test_person_is_asked_when_the_run_was_cancelled(ledger: Ledger, held: HeldRun) -> None:
    put(ledger, RunState.CANCELLED, reason="refunded_by_source", cancelled_by="source")
    tell(ledger, held)
    run = run_of(ledger, KEY)
    assert (run.state, run.result_id) == ("cancelled", "90001")
    assert questions(ledger) == [("revoke", "refunded_after_provisioning", "90001")]


def test_answer_waits_for_the_lookup_when_the_run_was_replayed(ledger: Ledger, held: HeldRun) -> None:
    put(ledger, RunState.PENDING)
    tell(ledger, held)
    run = run_of(ledger, KEY)
    assert (run.state, run.result_id) == ("pending", None)


def test_answer_is_found_by_the_holder_when_somebody_works_on_the_run(
    ledger: Ledger, held: HeldRun, clock: Clock
) -> None:
    put(ledger, RunState.WAITING, next_attempt_at=NOW)
    theirs = claimed(an_executor(ledger, FakeLearningCart(), clock, holder="worker-2"), held.id)
    tell(ledger, held)
    assert run_of(ledger, KEY).state == "running"
    with ledger.read() as connection:
        assert late_results.result_of(connection, theirs) == "90001"
    with ledger.write() as connection:
        late_results.adopt_held(connection, theirs, "90001", now=NOW)
    assert run_of(ledger, KEY).result_id == "90001"


def test_person_is_asked_when_a_held_run_was_to_be_cancelled(ledger: Ledger, held: HeldRun, clock: Clock) -> None:
    put(ledger, RunState.WAITING, next_attempt_at=NOW, cancel_reason="cancelled_by_source")
    theirs = claimed(an_executor(ledger, FakeLearningCart(), clock, holder="worker-2"), held.id)
    with ledger.write() as connection:
        late_results.adopt_held(connection, theirs, "90001", now=NOW)
    assert questions(ledger) == [("revoke", "cancelled_after_provisioning", "90001")]


@pytest.mark.parametrize("known", ["90002", None])
def test_double_is_reported_when_the_run_has_another_effect(ledger: Ledger, held: HeldRun, known: str | None) -> None:
    """One that was resolved by hand and without an order id has an effect that nobody can compare."""
    put(ledger, RunState.SUCCEEDED, result_id=known)
    tell(ledger, held)
    tell(ledger, held)
    assert questions(ledger) == [("duplicate/90001", "duplicate_effect", "90001")]
    assert run_of(ledger, KEY).result_id == known


def test_nothing_is_reported_when_the_run_has_that_effect(ledger: Ledger, held: HeldRun) -> None:
    put(ledger, RunState.SUCCEEDED, result_id="90001")
    tell(ledger, held)
    assert questions(ledger) == []


@pytest.mark.parametrize("state", [RunState.PENDING, RunState.WAITING, RunState.SUCCEEDED])
def test_double_is_reported_when_an_operator_repeated_it_meanwhile(
    ledger: Ledger, held: HeldRun, state: RunState
) -> None:
    put(ledger, state, generation=1)
    tell(ledger, held)
    assert questions(ledger) == [("duplicate/90001", "duplicate_effect", "90001")]
    assert run_of(ledger, KEY).state == state


def test_answer_is_noted_and_no_more_when_it_names_no_effect(ledger: Ledger, held: HeldRun) -> None:
    put(ledger, RunState.WAITING)
    tell(ledger, held, None, Outcome.UNKNOWN)
    assert run_of(ledger, KEY).state == "waiting"
    last = rows(ledger, events)[-1]
    assert (last.kind, last.detail["outcome"], last.detail["attempt"]) == ("late_answer", "unknown", 1)


def test_answer_of_another_generation_is_not_the_effect_when_asked_for_it(ledger: Ledger, held: HeldRun) -> None:
    put(ledger, RunState.WAITING, generation=1, next_attempt_at=NOW)
    tell(ledger, held)
    held.generation = 1
    with ledger.read() as connection:
        assert late_results.result_of(connection, held) is None


def test_nothing_happens_when_the_run_is_gone(ledger: Ledger, held: HeldRun) -> None:
    """Nothing deletes a run; a ledger that was put back from a backup may lack one."""
    held.id = "gone"
    tell(ledger, held)
    with ledger.write() as connection:
        late_results.open_revocation(connection, "gone", "cancelled_by_source", now=NOW)
        held.fence = 2
        late_results.report_duplicates(connection, held, "1", ("2",), now=NOW)
    assert questions(ledger) == []


def test_doubles_are_reported_once_each_when_they_are_found_and_told(
    ledger: Ledger, held: HeldRun, clock: Clock
) -> None:
    put(ledger, RunState.WAITING, next_attempt_at=NOW)
    theirs = claimed(an_executor(ledger, FakeLearningCart(), clock, holder="worker-2"), held.id)
    tell(ledger, held, "90003")
    for _ in range(2):
        with ledger.write() as connection:
            late_results.report_duplicates(connection, theirs, "90001", ("90001", "90002", "90003"), now=NOW)
    assert questions(ledger) == [
        ("duplicate/90002", "duplicate_effect", "90002"),
        ("duplicate/90003", "duplicate_effect", "90003"),
    ]


# Found by a look at what the destination holds


def note(ledger: Ledger, run_id: str, result_id: str = "90001") -> Any:
    with ledger.write() as connection:
        return late_results.note_found(
            connection, run_id, step="add_comped_order", number=1, generation=0, result_id=result_id, now=NOW
        )


def test_found_order_is_the_effect_when_nobody_works_on_the_run(ledger: Ledger, held: HeldRun) -> None:
    put(ledger, RunState.REVIEW, reason="outcome_unknown")
    row = note(ledger, held.id)
    assert (row.state, row.result_id) == ("succeeded", "90001")
    assert note(ledger, held.id).result_id == "90001"
    assert [each.kind for each in rows(ledger, events)].count("late_answer") == 1
    assert questions(ledger) == []


def test_found_order_is_reported_when_the_run_has_another_effect(ledger: Ledger, held: HeldRun) -> None:
    put(ledger, RunState.SUCCEEDED, result_id="90002")
    for _ in range(2):
        assert note(ledger, held.id).result_id == "90002"
    assert questions(ledger) == [("duplicate/90001", "duplicate_effect", "90001")]


def test_second_found_order_is_reported_when_the_run_was_cancelled(ledger: Ledger, held: HeldRun) -> None:
    put(ledger, RunState.CANCELLED, reason="cancelled_by_source", cancelled_by="source")
    assert note(ledger, held.id, "90001").result_id == "90001"
    assert note(ledger, held.id, "90002").result_id == "90001"
    assert questions(ledger) == [
        ("duplicate/90002", "duplicate_effect", "90002"),
        ("revoke", "cancelled_after_provisioning", "90001"),
    ]


def test_nothing_is_noted_when_there_is_no_such_run(ledger: Ledger, held: HeldRun) -> None:
    assert note(ledger, "gone") is None
