"""The executor and the call that is not safe to repeat: sent once, asked about, or left to a person."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.workflows.fakes.learningcart import (
    CALL_SECONDS,
    KEY,
    LEASE_SECONDS,
    PATIENCE,
    FakeLearningCart,
    an_executor,
    api_error,
    ask_and_settle,
    before_the_order,
    claimed,
    comped_order,
    outcomes,
    perform,
    settle,
    state,
    step_of,
    work,
)
from tests.unit.workflows.fakes.storefront import Clock, an_order, record, rows, run_of
from worker.errors import (
    ApiTimeoutError,
    AuthenticationError,
    RateLimitedError,
    ServerError,
)
from worker.ledger.session import Ledger
from worker.ledger.states import Outcome
from worker.ledger.tables.runs import attempts, pauses, runs, steps
from worker.sources.order import Payment
from workflows.execution import late_results
from workflows.execution.executor import Executor


def test_effect_is_adopted_when_its_answer_was_lost(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    learningcart.after["add_comp_order"] = [api_error(ApiTimeoutError, unknown=True)]
    work(executor, run_id)
    assert state(ledger) == ("waiting", "settling")
    settle(clock)
    work(executor, run_id)
    assert state(ledger) == ("succeeded", None)
    assert outcomes(ledger) == [("call", "unknown"), ("lookup", "adopted")]
    assert len(learningcart.made) == 1


def test_order_is_sent_again_when_it_is_proven_absent(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    learningcart.before["add_comp_order"] = [api_error(ApiTimeoutError, unknown=True)]
    work(executor, run_id)
    ask_and_settle(executor, run_id, clock)
    work(executor, run_id)
    assert outcomes(ledger) == [("call", "unknown"), ("lookup", "unknown"), ("lookup", "absent"), ("call", "ok")]
    (first, *_) = rows(ledger, attempts, attempts.c.step == "add_comped_order")
    assert {window[0] for window in learningcart.windows} == {first.started_at - timedelta(days=1)}


def test_run_is_in_review_when_an_order_of_the_customer_is_not_accounted_for(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    learningcart.made.append(comped_order(77, "by hand"))
    learningcart.before["add_comp_order"] = [api_error(ApiTimeoutError, unknown=True)]
    work(executor, run_id)
    ask_and_settle(executor, run_id, clock)
    work(executor, run_id)
    assert state(ledger) == ("review", "outcome_unprovable")
    assert "77" in run_of(ledger, KEY).note
    assert outcomes(ledger) == [("call", "unknown"), ("lookup", "unknown"), ("lookup", "unknown")]


def test_late_answer_is_adopted_when_it_comes_during_the_lookup(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    """Known by then, it must not count as an order that is accounted for: that would prove absence."""
    learningcart.after["add_comp_order"] = [api_error(ApiTimeoutError, unknown=True)]
    work(executor, run_id)
    learningcart.made[0] = comped_order(90001)  # comments are not echoed
    settle(clock)

    def tell(method: str) -> None:
        if method == "get_orders_by_date":
            first = an_executor(ledger, learningcart, clock, holder="worker-1")
            with ledger.write() as connection:
                slow = replace(held, fence=1, holder="worker-1")
                late_results.append(connection, slow, step_of(slow), Outcome.OK, "90001", now=clock())
            assert first.claim(run_id, "learningcart") is None

    held = claimed(executor, run_id)
    learningcart.during = tell
    assert not perform(executor, held)
    assert run_of(ledger, KEY).result_id == "90001"
    assert outcomes(ledger)[-1] == ("lookup", "adopted")
    assert len(learningcart.made) == 1


def test_lookup_is_repeated_when_it_fails(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    learningcart.after["add_comp_order"] = [api_error(ApiTimeoutError, unknown=True)]
    learningcart.before["get_orders_by_date"] = [ValueError("ours"), *[api_error(ServerError)] * 5]
    work(executor, run_id)
    for _ in range(6):
        clock.advance(seconds=PATIENCE.max_seconds)
        work(executor, run_id)
        assert state(ledger) == ("waiting", "settling")
    clock.advance(seconds=PATIENCE.max_seconds)
    work(executor, run_id)
    assert state(ledger) == ("succeeded", None)
    assert outcomes(ledger)[1:] == [("lookup", "retryable")] * 6 + [("lookup", "adopted")]
    assert len(learningcart.made) == 1


def test_cap_is_spent_in_review_when_every_outcome_was_unknown(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    learningcart.before["add_comp_order"] = [api_error(ApiTimeoutError, unknown=True)] * 10
    for _ in range(PATIENCE.max_attempts):
        work(executor, run_id)
        ask_and_settle(executor, run_id, clock)
    work(executor, run_id)
    assert state(ledger) == ("review", "outcome_unknown")
    assert learningcart.asked.count("add_comp_order") == PATIENCE.max_attempts


def test_cap_is_spent_in_failure_when_the_last_outcome_is_known(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    learningcart.before["add_comp_order"] = [
        api_error(ApiTimeoutError, unknown=True),
        *[api_error(RateLimitedError, status=429)] * 10,
    ]
    work(executor, run_id)
    ask_and_settle(executor, run_id, clock)
    for _ in range(PATIENCE.max_attempts - 1):
        work(executor, run_id)
        settle(clock)
    assert state(ledger) == ("failed", "attempts_spent")
    assert learningcart.made == []


def test_run_fails_when_the_cap_was_spent_before_it_was_claimed(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    """Deaths and failures of getting ready spend it too."""
    held = before_the_order(executor, run_id)
    step_of(held).counted = PATIENCE.max_attempts
    assert not perform(executor, held)
    assert state(ledger) == ("failed", "attempts_spent")
    assert learningcart.made == []


def test_nothing_was_sent_when_getting_ready_failed(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    held = before_the_order(executor, run_id)
    learningcart.before["ready"] = [ApiTimeoutError("no token in time", system="learningcart")]
    assert not perform(executor, held)
    assert state(ledger) == ("waiting", "retrying")
    assert outcomes(ledger) == [("call", "retryable")]
    clock.advance(seconds=PATIENCE.base_seconds)
    work(executor, run_id)
    assert outcomes(ledger) == [("call", "retryable"), ("call", "ok")]
    assert "get_orders_by_date" not in learningcart.asked


@pytest.mark.parametrize("late_seconds", [LEASE_SECONDS, LEASE_SECONDS - CALL_SECONDS + 1])
def test_nothing_is_sent_when_the_lease_would_end_before_the_call_could(
    executor: Executor,
    learningcart: FakeLearningCart,
    ledger: Ledger,
    run_id: str,
    *,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    late_seconds: float,
) -> None:
    held = before_the_order(executor, run_id)
    real = learningcart.add_comp_order

    def frozen(*arguments: Any, **options: Any) -> Any:
        clock.advance(seconds=late_seconds)
        return real(*arguments, **options)

    monkeypatch.setattr(learningcart, "add_comp_order", frozen)
    assert not perform(executor, held)
    assert learningcart.made == []
    assert state(ledger) == ("waiting", "lease_short")
    assert run_of(ledger, KEY).next_attempt_at == clock()


def test_destination_is_paused_when_it_refuses_our_credentials(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str
) -> None:
    learningcart.before["add_comp_order"] = [api_error(AuthenticationError, status=401)]
    work(executor, run_id)
    assert state(ledger) == ("waiting", "authentication")
    (pause,) = rows(ledger, pauses)
    assert (pause.system, pause.kind) == ("learningcart", "authentication")
    assert step_of_row(ledger) == 0
    assert executor.claim(run_id, "learningcart") is None


def step_of_row(ledger: Ledger) -> int:
    (row,) = rows(ledger, steps, steps.c.name == "add_comped_order")
    return int(row.counted)


# Taken back by the source


def cancel(ledger: Ledger, clock: Clock) -> None:
    record(ledger, an_order(payment=Payment.CANCELLED), now=clock(), fetched_at=clock.advance(seconds=1))


def test_run_is_cancelled_when_it_is_claimed_with_a_cancellation(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    held = claimed(executor, run_id)
    cancel(ledger, clock)
    held.cancel_reason = "cancelled_by_source"  # as one who claims it after the worker vanished
    assert not perform(executor, held)
    assert state(ledger) == ("cancelled", "cancelled_by_source")
    assert learningcart.asked == []


def test_run_waits_when_the_source_took_its_cancellation_back_since_the_claim(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str
) -> None:
    held = claimed(executor, run_id)
    held.cancel_reason = "cancelled_by_source"  # what the claim read; the ledger says no such thing any more
    assert not perform(executor, held)
    assert state(ledger) == ("waiting", None)
    assert learningcart.asked == []


def test_run_is_cancelled_when_the_source_took_the_order_back_before_the_intent(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    held = before_the_order(executor, run_id)
    cancel(ledger, clock)
    assert not perform(executor, held)
    assert state(ledger) == ("cancelled", "cancelled_by_source")
    assert learningcart.made == []


@pytest.mark.parametrize("made", [True, False])
def test_lookup_decides_when_the_source_takes_back_an_open_order(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock, *, made: bool
) -> None:
    (learningcart.after if made else learningcart.before)["add_comp_order"] = [api_error(ApiTimeoutError, unknown=True)]
    work(executor, run_id)
    cancel(ledger, clock)
    if not made:
        ask_and_settle(executor, run_id, clock)
    settle(clock)
    work(executor, run_id)
    assert state(ledger) == (("succeeded", None) if made else ("cancelled", "cancelled_by_source"))
    revocations = rows(ledger, runs, runs.c.workflow == "revocation")
    assert [row.reason for row in revocations] == (["cancelled_after_provisioning"] if made else [])
