"""The executor against a LearningCart in memory: what it commits, in which order, and when it stops."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from tests.unit.workflows.fakes.learningcart import (
    CALL_SECONDS,
    KEY,
    LEASE_SECONDS,
    PATIENCE,
    FakeLearningCart,
    an_executor,
    api_error,
    before_the_order,
    claimed,
    is_done,
    perform,
    settle,
    state,
    work,
)
from tests.unit.workflows.fakes.storefront import Clock, rows, run_of
from worker.clients.base import note_status
from worker.errors import (
    ApiTimeoutError,
    InvalidRequestError,
    ServerError,
)
from worker.ledger import pauses
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.runs import attempts, breakers, events, runs, steps
from workflows.execution.executor import Executor, Timing

# Timing


def test_call_may_take_as_long_as_its_timeouts_when_the_lease_is_long() -> None:
    assert Timing(LEASE_SECONDS, {"learningcart": CALL_SECONDS}).deadline_seconds("learningcart") == CALL_SECONDS


def test_call_is_shorter_than_the_lease_when_the_lease_is_short() -> None:
    assert Timing(10.0, {"learningcart": CALL_SECONDS}).deadline_seconds("learningcart") == 8.0


# Claim


def test_run_is_held_when_it_is_claimed(executor: Executor, ledger: Ledger, run_id: str, clock: Clock) -> None:
    held = claimed(executor, run_id)
    assert (held.id, held.fence, held.holder) == (run_id, 1, "worker-1")
    assert held.lease_until == clock() + timedelta(seconds=LEASE_SECONDS)
    assert state(ledger) == ("running", None)


def test_run_is_left_alone_when_it_is_held(executor: Executor, ledger: Ledger, run_id: str, clock: Clock) -> None:
    claimed(executor, run_id)
    assert executor.claim(run_id, "learningcart") is None
    assert an_executor(ledger, FakeLearningCart(), clock, holder="worker-2").claim(run_id, "learningcart") is None


def test_run_waits_when_its_destination_is_not_configured(ledger: Ledger, run_id: str, clock: Clock) -> None:
    assert an_executor(ledger, None, clock).claim(run_id, "learningcart") is None
    assert state(ledger) == ("pending", None)


def test_nothing_happens_when_there_is_no_such_run(executor: Executor) -> None:
    assert executor.claim("no-such-run", "learningcart") is None


# The undisturbed path


def test_run_succeeds_when_nothing_goes_wrong(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str
) -> None:
    work(executor, run_id)
    run = run_of(ledger, KEY)
    assert (run.state, run.result_id, run.lease_until, run.lease_holder) == ("succeeded", "90001", None, None)
    assert [(row.step, row.outcome) for row in rows(ledger, attempts)] == [
        ("add_comped_order", "ok"),
        ("add_customer", "ok"),
        ("add_customer_to_group", "ok"),
    ]
    assert len(learningcart.made) == 1


def test_three_commits_are_made_when_nothing_goes_wrong(executor: Executor, ledger: Ledger, run_id: str) -> None:
    commits: list[Any] = []
    event.listen(
        ledger.engine,
        "commit",
        lambda each: commits.append(each) if each.get_execution_options().get("cartbridge_write") else None,
    )
    work(executor, run_id)
    assert len(commits) == 3


def test_intent_is_committed_before_the_order_is_sent(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str
) -> None:
    seen: list[Any] = []

    def look(method: str) -> None:
        if method == "add_comp_order":
            seen.extend(rows(ledger, attempts, attempts.c.step == "add_comped_order"))

    learningcart.during = look
    work(executor, run_id)
    (intent,) = seen
    assert (intent.outcome, intent.finished_at, intent.fence) == (None, None, 1)
    assert intent.reference in (learningcart.made[0].customer_comments or "")


def test_nothing_is_left_to_do_when_all_steps_are_done(executor: Executor, run_id: str) -> None:
    held = claimed(executor, run_id)
    planned = next(iter(executor.steps_left(held)), None)
    while perform(executor, held):
        pass
    assert is_done(held)
    assert next(iter(executor.steps_left(held)), None) is None
    assert planned is not None
    with pytest.raises(ValueError, match="not the next step"):
        executor.perform(held, planned)


def test_run_is_refused_a_step_when_it_is_not_the_next(executor: Executor, run_id: str) -> None:
    held = claimed(executor, run_id)
    first = next(iter(executor.steps_left(held)), None)
    assert first is not None
    assert executor.perform(held, first)
    with pytest.raises(ValueError, match="add_customer is not the next step"):
        executor.perform(held, first)


def test_learner_and_limits_reach_the_client_when_a_step_is_performed(
    executor: Executor, learningcart: FakeLearningCart, run_id: str
) -> None:
    work(executor, run_id)
    assert [limits.deadline_seconds for limits in learningcart.limits] == [CALL_SECONDS] * 3
    assert all(limits.slot_taken for limits in learningcart.limits)
    assert [limits.before_send is not None for limits in learningcart.limits] == [False, False, True]
    assert learningcart.asked == ["ready", "add_customer", "ready", "add_customer_to_group", "ready", "add_comp_order"]


def test_run_succeeds_when_its_last_step_is_safe_to_repeat(ledger: Ledger, run_id: str, clock: Clock) -> None:
    """No workflow ends so yet; a follow-on cart's may."""
    with ledger.write() as connection:
        connection.execute(steps.delete().where(steps.c.name != "add_customer"))
    executor = an_executor(ledger, FakeLearningCart(), clock)
    work(executor, run_id)
    assert state(ledger) == ("succeeded", None)
    assert [row.outcome for row in rows(ledger, attempts)] == ["ok"]


# Steps that are safe to repeat


def test_step_is_tried_again_when_a_safe_call_failed(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    learningcart.before["add_customer_to_group"] = [api_error(ServerError, status=500)]
    work(executor, run_id)
    assert state(ledger) == ("waiting", "retrying")
    (attempt,) = rows(ledger, attempts, attempts.c.step == "add_customer_to_group")
    assert (attempt.outcome, attempt.http_status, attempt.error) == ("retryable", 500, "ServerError: it went wrong")
    clock.advance(seconds=PATIENCE.base_seconds)
    work(executor, run_id)
    assert state(ledger) == ("succeeded", None)
    assert learningcart.asked.count("add_customer") == 1


def test_run_fails_when_a_safe_call_is_refused(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str
) -> None:
    learningcart.before["add_customer"] = [api_error(InvalidRequestError, status=400)]
    work(executor, run_id)
    assert state(ledger) == ("failed", "refused")
    assert run_of(ledger, KEY).finished_at is not None


def test_lease_is_renewed_when_it_would_not_outlast_a_safe_call(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    held = claimed(executor, run_id)
    clock.advance(seconds=LEASE_SECONDS - CALL_SECONDS + 1)
    assert perform(executor, held)
    assert held.lease_until == clock() + timedelta(seconds=LEASE_SECONDS)


@pytest.mark.parametrize("method", ["add_customer", "get_orders_by_date"])
def test_nothing_is_asked_when_the_lease_was_lost_before_a_call(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, *, clock: Clock, method: str
) -> None:
    if method == "get_orders_by_date":
        learningcart.after["add_comp_order"] = [api_error(ApiTimeoutError, unknown=True)]
        work(executor, run_id)
        settle(clock)
    held = claimed(executor, run_id)
    with ledger.write() as connection:
        connection.execute(runs.update().values(fence=runs.c.fence + 1))
    clock.advance(seconds=LEASE_SECONDS)
    assert not perform(executor, held)
    assert method not in learningcart.asked


# Letting go


def test_run_is_due_at_once_when_it_is_let_go(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    executor.let_go(before_the_order(executor, run_id))
    run = run_of(ledger, KEY)
    assert (run.state, run.next_attempt_at, run.lease_until) == ("waiting", clock(), None)
    work(executor, run_id)
    assert state(ledger) == ("succeeded", None)
    assert learningcart.asked.count("add_customer") == 1


def test_nothing_happens_when_a_lost_run_is_let_go(
    executor: Executor, ledger: Ledger, run_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    held = claimed(executor, run_id)
    with ledger.write() as connection:
        connection.execute(runs.update().values(fence=7))
    executor.let_go(held)
    assert state(ledger) == (RunState.RUNNING, None)
    assert "held by somebody else" in caplog.text


def test_run_is_marked_as_sent_when_its_next_step_is_handed_over(
    executor: Executor, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    assert executor.hand_over(before_the_order(executor, run_id), "learningcart")
    run = run_of(ledger, KEY)
    assert (run.state, run.next_attempt_at, run.dispatched_at, run.dispatches) == ("waiting", clock(), clock(), 1)


@pytest.mark.parametrize("case", ["paused", "down", "not configured", "lost"])
def test_nothing_is_handed_over_when_the_next_system_takes_no_runs(
    executor: Executor, ledger: Ledger, run_id: str, clock: Clock, case: str
) -> None:
    held = before_the_order(executor, run_id)
    with ledger.write() as connection:
        if case == "paused":
            pauses.pause(connection, "learningcart", kind="operator", reason=None, actor="operator:x", now=clock())
        elif case == "down":
            connection.execute(
                breakers.insert().values(
                    system="learningcart", state="open", failures=5, opened_at=clock(), failing_run_ids=[]
                )
            )
        elif case == "lost":
            connection.execute(runs.update().values(fence=7))
    assert not executor.hand_over(held, "mail" if case == "not configured" else "learningcart")
    assert run_of(ledger, KEY).dispatched_at is None


def test_events_tell_the_story_when_a_run_ends(executor: Executor, ledger: Ledger, run_id: str) -> None:
    work(executor, run_id)
    last = rows(ledger, events, events.c.run_id == run_id)[-1]
    assert (last.kind, last.actor) == ("run_succeeded", "engine")
    assert last.detail == {"outcome": "ok", "result_id": "90001"}


def test_each_attempt_has_the_status_of_its_own_answer_when_it_succeeded(
    ledger: Ledger, executor: Executor, learningcart: FakeLearningCart, run_id: str
) -> None:
    statuses = {"add_customer": 200, "add_customer_to_group": None, "add_comped_order": 201}
    answers = {"add_customer": 200, "add_comp_order": 201}
    learningcart.during = lambda method: note_status(answers[method]) if method in answers else None
    note_status(599)  # of a call before
    work(executor, run_id)
    found = {row.step: row.http_status for row in rows(ledger, attempts)}
    assert found == statuses
