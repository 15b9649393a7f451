"""An unknown outcome settles by prompt answers alone: a server that stalls carries out what had queued."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.workflows.fakes.learningcart import (
    KEY,
    PATIENCE,
    FakeLearningCart,
    api_error,
    ask_and_settle,
    outcomes,
    state,
    work,
)
from tests.unit.workflows.fakes.storefront import Clock, run_of
from worker.clients.learningcart.models import ListedOrder
from worker.errors import ApiTimeoutError, ServerError
from worker.ledger import keys
from worker.ledger.runs.held import PROMPT_ANSWER_SECONDS
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import runs
from workflows.execution.executor import Executor


def test_run_asks_every_minute_when_it_gets_no_answer(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    learningcart.before["add_comp_order"] = [api_error(ApiTimeoutError, unknown=True)]
    learningcart.before["get_orders_by_date"] = [api_error(ServerError)] * 2
    work(executor, run_id)
    clock.advance(seconds=PATIENCE.base_seconds)
    for _ in range(2):
        work(executor, run_id)
        assert run_of(ledger, KEY).next_attempt_at == clock() + timedelta(seconds=PATIENCE.probe_seconds)
        assert run_of(ledger, KEY).lane_shut_until > run_of(ledger, KEY).next_attempt_at
        clock.advance(seconds=PATIENCE.probe_seconds)
    work(executor, run_id)
    assert run_of(ledger, KEY).next_attempt_at == clock() + timedelta(seconds=PATIENCE.settle_seconds)
    assert run_of(ledger, KEY).lane_shut_until == run_of(ledger, KEY).next_attempt_at


def test_settle_time_counts_from_the_first_prompt_answer_when_those_before_were_slow(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    """A stalled server carries out what had queued: an answer that sat in the stall says nothing of it."""
    learningcart.before["add_comp_order"] = [api_error(ApiTimeoutError, unknown=True)]
    work(executor, run_id)
    learningcart.answer_seconds = PROMPT_ANSWER_SECONDS + 0.1
    clock.advance(seconds=PATIENCE.settle_seconds)
    for _ in range(5):
        work(executor, run_id)
        clock.advance(seconds=PATIENCE.probe_seconds)
    learningcart.answer_seconds = PROMPT_ANSWER_SECONDS
    work(executor, run_id)
    clock.advance(seconds=PATIENCE.settle_seconds - 1)
    assert executor.claim(run_id, "learningcart") is None
    assert learningcart.asked.count("add_comp_order") == 1
    clock.advance(seconds=1)
    work(executor, run_id)
    assert outcomes(ledger) == [("call", "unknown"), *[("lookup", "unknown")] * 6, ("lookup", "absent"), ("call", "ok")]


def test_slow_answer_is_no_proof_when_the_settle_time_is_over(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    learningcart.before["add_comp_order"] = [api_error(ApiTimeoutError, unknown=True)]
    work(executor, run_id)
    ask_and_settle(executor, run_id, clock)
    learningcart.answer_seconds = PROMPT_ANSWER_SECONDS + 0.1
    work(executor, run_id)
    assert state(ledger) == ("waiting", "settling")
    learningcart.answer_seconds = 0.1
    clock.advance(seconds=PATIENCE.probe_seconds)
    work(executor, run_id)
    assert outcomes(ledger)[-2:] == [("lookup", "absent"), ("call", "ok")]


def test_match_is_adopted_at_once_when_a_slow_answer_shows_it(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    learningcart.after["add_comp_order"] = [api_error(ApiTimeoutError, unknown=True)]
    work(executor, run_id)
    learningcart.answer_seconds = 29.0
    clock.advance(seconds=PATIENCE.base_seconds)
    work(executor, run_id)
    assert state(ledger) == ("succeeded", None)
    assert len(learningcart.made) == 1


@pytest.mark.parametrize("error", [api_error(ServerError), None], ids=["fails", "is slow"])
def test_a_person_is_asked_when_no_lookup_has_a_prompt_answer_for_a_day(
    executor: Executor,
    learningcart: FakeLearningCart,
    ledger: Ledger,
    run_id: str,
    clock: Clock,
    *,
    error: Exception | None,
) -> None:
    learningcart.before["add_comp_order"] = [api_error(ApiTimeoutError, unknown=True)]
    learningcart.before["get_orders_by_date"] = [] if error is None else [error] * 2000
    learningcart.answer_seconds = PROMPT_ANSWER_SECONDS + 0.1
    work(executor, run_id)
    for _ in range(24):
        clock.advance(hours=1)
        work(executor, run_id)
        assert state(ledger) == ("waiting", "settling")
    clock.advance(hours=1)
    work(executor, run_id)
    assert state(ledger) == ("review", "outcome_unknown")
    assert learningcart.asked.count("add_comp_order") == 1


def test_clock_that_was_ahead_settles_nothing_when_it_is_set_right(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    learningcart.before["add_comp_order"] = [api_error(ApiTimeoutError, unknown=True)]
    work(executor, run_id)
    clock.advance(hours=5)
    work(executor, run_id)
    clock.advance(hours=-4)
    with ledger.write() as connection:
        connection.execute(runs.update().values(next_attempt_at=clock()))
    work(executor, run_id)
    assert run_of(ledger, KEY).next_attempt_at == clock() + timedelta(seconds=PATIENCE.settle_seconds)


@pytest.mark.parametrize("comments", [None, "typed in"])
def test_absence_is_not_proven_when_a_record_cannot_be_read(
    executor: Executor,
    learningcart: FakeLearningCart,
    ledger: Ledger,
    run_id: str,
    clock: Clock,
    *,
    comments: str | None,
) -> None:
    learningcart.unreadable = [ListedOrder.model_validate({"Customer Comments": comments})]
    learningcart.before["add_comp_order"] = [api_error(ApiTimeoutError, unknown=True)]
    work(executor, run_id)
    ask_and_settle(executor, run_id, clock)
    work(executor, run_id)
    assert state(ledger) == ("review", "outcome_unprovable")
    assert "cannot be read" in run_of(ledger, KEY).note


@pytest.mark.parametrize(
    "row",
    [
        {"Customer": {"Customer ID": 5002}},
        {"Customer": {"Customer ID": 0, "Email": "somebody-else@example.test"}},
        {"Customer Comments": f"{keys.reference('another run', 'add_comped_order', 0)} studiocart order 1"},
    ],
)
def test_absence_is_proven_when_what_cannot_be_read_is_not_this_customers(
    executor: Executor,
    learningcart: FakeLearningCart,
    ledger: Ledger,
    run_id: str,
    clock: Clock,
    *,
    row: dict[str, Any],
) -> None:
    learningcart.unreadable = [ListedOrder.model_validate(row)]
    learningcart.before["add_comp_order"] = [api_error(ApiTimeoutError, unknown=True)]
    work(executor, run_id)
    ask_and_settle(executor, run_id, clock)
    work(executor, run_id)
    assert state(ledger) == ("succeeded", None)
