"""The recorder: what each write leaves, what it refuses, and what an error may tell the ledger."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.workflows.fakes.learningcart import (
    KEY,
    LEASE_SECONDS,
    PATIENCE,
    FakeLearningCart,
    a_recorder,
    an_executor,
    api_error,
    before_the_order,
    step_of,
)
from tests.unit.workflows.fakes.storefront import NOW, Clock, rows, run_of
from worker.errors import ApiTimeoutError, AuthenticationError, InvalidRequestError, LeaseLostError, ServerError
from worker.ledger.runs.held import HeldRun
from worker.ledger.runs.transitions import Ending
from worker.ledger.session import Ledger
from worker.ledger.states import Outcome, RunState
from worker.ledger.tables.runs import attempts, events, pauses, runs, steps
from workflows.enrolment.steps import ADD_COMPED_ORDER
from workflows.execution.attempts import describe
from workflows.execution.lookups import LookupRecorder
from workflows.execution.recorder import (
    AdoptedMeanwhileError,
    CancelledMeanwhileError,
    Recorder,
)
from workflows.execution.retry_policy import LeaseShortError
from workflows.execution.steps import PlannedStep, StepResult

ORDER = PlannedStep("add_comped_order", ADD_COMPED_ORDER)
MADE = StepResult({"order_id": "90001"}, "90001")


@pytest.fixture
def recorder(ledger: Ledger, clock: Clock) -> Recorder:
    return a_recorder(ledger, clock)


@pytest.fixture
def held(ledger: Ledger, clock: Clock) -> HeldRun:
    """A run whose comped order is next, its safe steps not committed yet."""
    return before_the_order(an_executor(ledger, FakeLearningCart(), clock), run_of(ledger, KEY).id)


def lose(ledger: Ledger, **values: Any) -> None:
    """Somebody else has the run by now."""
    with ledger.write() as connection:
        connection.execute(runs.update().where(runs.c.workflow == "enrolment").values(fence=7, **values))


def order_attempt(ledger: Ledger) -> Any:
    (row,) = rows(ledger, attempts, attempts.c.step == "add_comped_order")
    return row


# Renewal and intent


def test_lease_and_progress_are_committed_when_it_is_renewed(
    recorder: Recorder, held: HeldRun, ledger: Ledger, clock: Clock
) -> None:
    assert rows(ledger, attempts) == []
    clock.advance(seconds=30)
    recorder.renew(held)
    assert held.lease_until == clock() + timedelta(seconds=LEASE_SECONDS)
    assert [row.step for row in rows(ledger, attempts)] == ["add_customer", "add_customer_to_group"]
    assert [row.state for row in rows(ledger, steps)] == ["done", "done", "pending"]


def test_safe_steps_and_intent_are_one_commit_when_an_order_is_to_be_sent(
    recorder: Recorder, held: HeldRun, ledger: Ledger, clock: Clock
) -> None:
    recorder.commit_intent(held, step_of(held), "cb-reference")
    attempt = order_attempt(ledger)
    assert (attempt.reference, attempt.outcome, attempt.started_at) == ("cb-reference", None, clock())
    assert len(rows(ledger, attempts)) == 3
    (step,) = rows(ledger, steps, steps.c.name == "add_comped_order")
    assert step.counted == 1


@pytest.mark.parametrize("write", ["renew", "intent", "end"])
def test_nothing_is_written_when_the_lease_was_lost(
    recorder: Recorder, held: HeldRun, ledger: Ledger, write: str
) -> None:
    lose(ledger)
    writes = {
        "renew": lambda: recorder.renew(held),
        "intent": lambda: recorder.commit_intent(held, step_of(held), "cb-reference"),
        "end": lambda: recorder.end(held, Ending(RunState.REVIEW)),
    }
    with pytest.raises(LeaseLostError):
        writes[write]()
    assert rows(ledger, attempts) == []
    assert run_of(ledger, KEY).state == "running"


def test_run_is_cancelled_in_place_of_the_intent_when_the_source_says_so(
    recorder: Recorder, held: HeldRun, ledger: Ledger
) -> None:
    with ledger.write() as connection:
        connection.execute(runs.update().values(cancel_reason="refunded_by_source"))
    with pytest.raises(CancelledMeanwhileError):
        recorder.commit_intent(held, step_of(held), "cb-reference")
    run = run_of(ledger, KEY)
    assert (run.state, run.reason, run.cancelled_by) == ("cancelled", "refunded_by_source", "source")
    assert rows(ledger, attempts, attempts.c.step == "add_comped_order") == []


# Effects


def test_run_succeeds_when_its_last_effect_is_recorded(recorder: Recorder, held: HeldRun, ledger: Ledger) -> None:
    recorder.commit_intent(held, step_of(held), "cb-reference")
    assert not recorder.record_effect(held, step_of(held), MADE, Outcome.OK)
    attempt = order_attempt(ledger)
    assert (attempt.outcome, attempt.result_id) == ("ok", "90001")
    run = run_of(ledger, KEY)
    assert (run.state, run.result_id, run.finished_at) == ("succeeded", "90001", NOW)


def test_run_goes_on_when_the_effect_was_not_its_last_step(recorder: Recorder, held: HeldRun, ledger: Ledger) -> None:
    """No workflow has such a step yet; a follow-on cart will."""
    held.steps.append(held.steps.pop(1))  # as if a group came after the order
    held.steps[-1].state = held.steps[-1].state.PENDING
    recorder.commit_intent(held, step_of(held), "cb-reference")
    assert recorder.record_effect(held, step_of(held), MADE, Outcome.OK)
    assert run_of(ledger, KEY).state == "running"
    assert order_attempt(ledger).outcome == "ok"


def test_effect_is_kept_when_its_holder_lost_the_run(recorder: Recorder, held: HeldRun, ledger: Ledger) -> None:
    recorder.commit_intent(held, step_of(held), "cb-reference")
    lose(ledger, state="waiting")
    with pytest.raises(LeaseLostError):
        recorder.record_effect(held, step_of(held), MADE, Outcome.OK)
    assert order_attempt(ledger).result_id == "90001"
    assert "late_answer" in [row.kind for row in rows(ledger, events)]
    assert run_of(ledger, KEY).state == "succeeded"


# Failures


def test_open_attempt_is_closed_when_its_call_failed(
    recorder: Recorder, held: HeldRun, ledger: Ledger, clock: Clock
) -> None:
    recorder.commit_intent(held, step_of(held), "cb-reference")
    clock.advance(seconds=3)
    recorder.fail_intent(held, step_of(held), ORDER, api_error(ApiTimeoutError, status=408, unknown=True))
    attempt = order_attempt(ledger)
    assert (attempt.outcome, attempt.http_status, attempt.finished_at) == ("unknown", 408, clock())
    run = run_of(ledger, KEY)
    assert (run.state, run.reason, run.note) == ("waiting", "settling", "ApiTimeoutError: it went wrong")
    assert run.lane_shut_until == clock() + timedelta(seconds=PATIENCE.settle_seconds)
    last = rows(ledger, events)[-1]
    assert (last.kind, last.detail["outcome"], last.detail["step"]) == ("run_waiting", "unknown", "add_comped_order")


def test_attempt_is_not_counted_when_nothing_was_sent_for_want_of_lease(
    recorder: Recorder, held: HeldRun, ledger: Ledger
) -> None:
    recorder.commit_intent(held, step_of(held), "cb-reference")
    recorder.fail_intent(held, step_of(held), ORDER, LeaseShortError("short"))
    (step,) = rows(ledger, steps, steps.c.name == "add_comped_order")
    assert step.counted == 0
    assert run_of(ledger, KEY).note == "LeaseShortError: short"


def test_failure_is_kept_when_its_holder_lost_the_run(recorder: Recorder, held: HeldRun, ledger: Ledger) -> None:
    recorder.commit_intent(held, step_of(held), "cb-reference")
    lose(ledger)
    with pytest.raises(LeaseLostError):
        recorder.fail_intent(held, step_of(held), ORDER, api_error(ApiTimeoutError, unknown=True))
    (late,) = [row for row in rows(ledger, events) if row.kind == "late_answer"]
    assert (late.detail["outcome"], late.detail["result_id"]) == ("unknown", None)
    assert run_of(ledger, KEY).state == "running"


@pytest.mark.parametrize(
    ("error", "after"),
    [
        (api_error(InvalidRequestError), ("cancelled", "cancelled_by_source")),
        (api_error(ServerError), ("cancelled", "cancelled_by_source")),
        (api_error(ApiTimeoutError, unknown=True), ("waiting", "settling")),
    ],
)
def test_cancellation_waits_only_when_the_outcome_is_unknown(
    recorder: Recorder, held: HeldRun, ledger: Ledger, error: Exception, after: tuple[str, str]
) -> None:
    recorder.commit_intent(held, step_of(held), "cb-reference")
    with ledger.write() as connection:
        connection.execute(runs.update().values(cancel_reason="cancelled_by_source"))
    recorder.fail_intent(held, step_of(held), ORDER, error)
    run = run_of(ledger, KEY)
    assert (run.state, run.reason) == after


def test_cancellation_waits_when_a_lookup_could_not_be_made(
    recorder: Recorder, held: HeldRun, ledger: Ledger, clock: Clock
) -> None:
    with ledger.write() as connection:
        connection.execute(runs.update().values(cancel_reason="cancelled_by_source"))
    step_of(held).unresolved = True
    lookups = LookupRecorder(recorder, patience=PATIENCE, clock=clock)
    lookups.fail(held, step_of(held), ORDER, api_error(ServerError), NOW)
    run = run_of(ledger, KEY)
    assert (run.state, run.reason) == ("waiting", "settling")
    assert order_attempt(ledger).kind == "lookup"


def test_destination_is_paused_once_when_its_refusal_is_recorded_twice(
    recorder: Recorder, held: HeldRun, ledger: Ledger, clock: Clock
) -> None:
    refused = api_error(AuthenticationError, status=401)
    recorder.commit_intent(held, step_of(held), "cb-reference")
    with ledger.write() as connection:
        connection.execute(
            pauses.insert().values(system="learningcart", kind="operator", reason="", actor="operator:ann", since=NOW)
        )
    recorder.fail_intent(held, step_of(held), ORDER, refused)
    (pause,) = rows(ledger, pauses)
    assert pause.actor == "operator:ann"
    assert "system_paused" not in [row.kind for row in rows(ledger, events)]


@pytest.mark.parametrize("state", [RunState.REVIEW, RunState.FAILED, RunState.WAITING, RunState.CANCELLED])
def test_late_answer_is_adopted_when_the_run_would_have_ended_otherwise(
    recorder: Recorder, held: HeldRun, ledger: Ledger, state: RunState
) -> None:
    tell_late(ledger, held)
    recorder.end(held, Ending(state, "outcome_unknown"))
    run = run_of(ledger, KEY)
    assert (run.state, run.reason, run.result_id) == ("succeeded", None, "90009")


def test_late_answer_is_adopted_when_an_order_was_about_to_be_sent(
    recorder: Recorder, held: HeldRun, ledger: Ledger
) -> None:
    tell_late(ledger, held)
    with pytest.raises(AdoptedMeanwhileError):
        recorder.commit_intent(held, step_of(held), "cb-reference")
    assert run_of(ledger, KEY).result_id == "90009"
    assert rows(ledger, attempts, attempts.c.step == "add_comped_order") == []


def test_late_answer_is_adopted_when_the_later_call_failed(recorder: Recorder, held: HeldRun, ledger: Ledger) -> None:
    recorder.commit_intent(held, step_of(held), "cb-reference")
    tell_late(ledger, held)
    recorder.fail_intent(held, step_of(held), ORDER, api_error(ServerError))
    assert run_of(ledger, KEY).result_id == "90009"
    assert order_attempt(ledger).outcome == "retryable"


def tell_late(ledger: Ledger, held: HeldRun) -> None:
    """An earlier holder of the run reports its effect, while this one works on it."""
    held.fence = 2
    with ledger.write() as connection:
        connection.execute(runs.update().values(fence=2))
        connection.execute(
            events.insert().values(
                at=NOW,
                kind="late_answer",
                actor="engine",
                run_id=held.id,
                detail={"step": "add_comped_order", "result_id": "90009", "generation": 0},
            )
        )


# What an error may tell


def test_error_tells_its_text_when_it_is_an_api_error() -> None:
    assert describe(api_error(ServerError)) == "ServerError: it went wrong"
    assert len(describe(ServerError("x" * 5000))) == 500


def test_error_tells_only_its_name_when_it_is_any_other() -> None:
    assert describe(RuntimeError("password=hunter22")) == "RuntimeError in Cartbridge itself"


def test_fault_of_our_own_is_logged_when_it_happens_in_a_call(
    recorder: Recorder, held: HeldRun, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.commit_intent(held, step_of(held), "cb-reference")
    with caplog.at_level(logging.ERROR):
        recorder.fail_intent(held, step_of(held), ORDER, KeyError("ours"))
    assert "failed in a way we do not know" in caplog.text
    assert run_of(ledger, KEY).reason == "settling"


def test_attempt_names_its_holder_and_fence_when_it_has_ended(held: HeldRun) -> None:
    ended = held.attempt(step_of(held), started_at=NOW, finished_at=NOW, outcome=Outcome.OK)
    assert (ended["run_id"], ended["holder"], ended["fence"], ended["kind"]) == (held.id, "worker-1", 1, "call")
    assert ended["error"] is None
