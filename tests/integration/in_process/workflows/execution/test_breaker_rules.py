"""What an outcome says of a destination as a whole, and what of it is written."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import pytest

from tests.unit.workflows.fakes.learningcart import (
    PATIENCE,
    FakeLearningCart,
    a_run,
    an_executor,
    api_error,
    claimed,
    work,
)
from tests.unit.workflows.fakes.storefront import JOHN, NOW, Clock, an_order, record, rows
from worker.errors import (
    ApiConnectionError,
    ApiTimeoutError,
    AuthenticationError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnexpectedResponseError,
)
from worker.ledger.runs import breaker
from worker.ledger.runs.breaker import PROBE_SECONDS, Breaker, BreakerState
from worker.ledger.session import Ledger
from worker.ledger.states import Outcome, RunState
from worker.ledger.tables.runs import breakers, events, runs, steps
from workflows.execution.breaker_rules import Evidence, evidence_of
from workflows.execution.retry_policy import LeaseShortError, RetryPolicy
from workflows.execution.steps import Repeat


def put_breaker(ledger: Ledger, state: str, **values: Any) -> None:
    row = {"system": "learningcart", "state": state, "allowance": 0, "failures": 5, "failing_run_ids": []}
    with ledger.write() as connection:
        connection.execute(breakers.delete())
        connection.execute(breakers.insert().values(**(row | {"opened_at": NOW} | values)))


def found(ledger: Ledger) -> Breaker | None:
    with ledger.read() as connection:
        return breaker.read(connection, "learningcart")


@pytest.mark.parametrize("kind", [ApiConnectionError, ApiTimeoutError, ServerError, UnexpectedResponseError])
def test_destination_counts_as_down_when_no_working_system_answers_so(kind: Any) -> None:
    assert evidence_of(api_error(kind, status=500)) is Evidence.DOWN
    assert evidence_of(api_error(kind, unknown=True, retryable=False)) is Evidence.DOWN


@pytest.mark.parametrize("kind", [InvalidRequestError, NotFoundError])
def test_destination_works_when_it_refuses_one_request_in_its_own_words(kind: Any) -> None:
    assert evidence_of(api_error(kind, status=400)) is Evidence.ANSWERED
    assert evidence_of(api_error(kind)) is Evidence.NOTHING  # not sent at all


@pytest.mark.parametrize(
    "error",
    [
        api_error(RateLimitedError, status=429),
        api_error(AuthenticationError, status=401),
        api_error(PermissionDeniedError, status=403),
        LeaseShortError("short"),
        ValueError("ours"),
    ],
    ids=repr,
)
def test_nothing_is_said_of_a_destination_when_the_cause_is_another(error: Exception) -> None:
    assert evidence_of(error) is Evidence.NOTHING


@pytest.mark.parametrize("error", [api_error(ServerError), api_error(ApiConnectionError, retryable=False)], ids=repr)
def test_probe_costs_no_attempt_and_is_due_again_soon_when_the_destination_is_still_down(error: Exception) -> None:
    verdict = RetryPolicy(PATIENCE, Random(1)).judge(
        error, repeat=Repeat.SAFE, failures=PATIENCE.max_attempts, now=NOW, probing=True
    )
    assert (verdict.outcome, verdict.state, verdict.counted) == (Outcome.RETRYABLE, RunState.WAITING, False)
    assert verdict.next_attempt_at is not None
    assert verdict.next_attempt_at <= NOW + timedelta(seconds=PROBE_SECONDS)


def test_no_row_is_written_when_nothing_goes_wrong(ledger: Ledger, clock: Clock) -> None:
    work(an_executor(ledger, FakeLearningCart(), clock), a_run(ledger))
    assert rows(ledger, breakers) == []


def test_failures_are_forgotten_when_a_run_succeeds(ledger: Ledger, clock: Clock) -> None:
    learningcart = FakeLearningCart(before={"add_customer": [api_error(ServerError)]})
    executor, run_id = an_executor(ledger, learningcart, clock), a_run(ledger)
    work(executor, run_id)
    row = found(ledger)
    assert row is not None
    assert (row.state, row.failures, row.failing_run_ids) == (BreakerState.CLOSED, 1, (run_id,))
    clock.advance(seconds=10)
    work(executor, run_id)
    assert found(ledger) is None
    assert not [row for row in rows(ledger, events) if row.kind.startswith("breaker")]


def test_run_is_not_claimed_when_the_destination_is_down_but_for_the_probe(ledger: Ledger, clock: Clock) -> None:
    run_id = a_run(ledger)
    record(ledger, an_order("1110", learner=JOHN))
    executor = an_executor(ledger, FakeLearningCart(), clock)
    put_breaker(ledger, BreakerState.OPEN, probe_at=NOW, probe_run_id=run_id)
    (other,) = [row.id for row in rows(ledger, runs) if row.id != run_id]
    assert executor.claim(other, "learningcart") is None
    held = claimed(executor, run_id)
    assert held.probing
    assert rows(ledger, runs, runs.c.id == run_id)[0].system == "learningcart"


def test_probe_counts_nothing_and_the_breaker_stays_open_when_it_fails(ledger: Ledger, clock: Clock) -> None:
    run_id = a_run(ledger)
    put_breaker(ledger, BreakerState.OPEN, probe_at=NOW, probe_run_id=run_id)
    work(an_executor(ledger, FakeLearningCart(before={"add_customer": [api_error(ServerError)]}), clock), run_id)
    row = found(ledger)
    assert row is not None
    assert (row.state, row.failures, row.probe_run_id) == (BreakerState.OPEN, 6, None)
    assert {step.counted for step in rows(ledger, steps)} == {0}


def test_destination_recovers_when_its_probe_is_properly_refused(ledger: Ledger, clock: Clock) -> None:
    run_id = a_run(ledger)
    put_breaker(ledger, BreakerState.OPEN, probe_at=NOW, probe_run_id=run_id)
    refused = api_error(InvalidRequestError, status=400)
    work(an_executor(ledger, FakeLearningCart(before={"add_customer": [refused]}), clock), run_id)
    assert found(ledger) is None
    assert rows(ledger, runs, runs.c.id == run_id)[0].state == "failed"
    assert [row.kind for row in rows(ledger, events) if row.system] == ["breaker_closed"]


def test_breaker_is_closed_once_when_two_find_it_well(ledger: Ledger) -> None:
    put_breaker(ledger, BreakerState.OPEN)
    with ledger.write() as connection:
        breaker.note_answer(connection, "learningcart", now=NOW + timedelta(minutes=5))
        breaker.note_answer(connection, "learningcart", now=NOW + timedelta(minutes=5))
    closed = [row for row in rows(ledger, events) if row.kind == "breaker_closed"]
    assert [row.detail for row in closed] == [{"down_seconds": 300}]


def test_run_is_claimed_and_an_answer_removes_the_row_when_an_older_version_let_runs_back_slowly(
    ledger: Ledger, clock: Clock
) -> None:
    run_id = a_run(ledger)
    put_breaker(ledger, "ramping", allowance=0)
    work(an_executor(ledger, FakeLearningCart(), clock), run_id)
    assert rows(ledger, runs, runs.c.id == run_id)[0].state == "succeeded"
    assert rows(ledger, breakers) == []


def test_probe_is_given_out_once_when_two_sweeps_have_seen_that_it_is_due(ledger: Ledger) -> None:
    put_breaker(ledger, BreakerState.OPEN, probe_at=NOW)
    seen = found(ledger)
    assert seen is not None
    with ledger.write() as connection:
        assert breaker.take_probe(connection, seen, "first", now=NOW, probe_seconds=60)
        assert not breaker.take_probe(connection, seen, "second", now=NOW, probe_seconds=60)
    after = found(ledger)
    assert after is not None
    assert (after.probe_run_id, after.probe_at) == ("first", NOW + timedelta(seconds=60))
