"""What the log says of an order's way: every outcome by its run, step, attempt and order; nobody's data."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.unit.workflows.fakes.learningcart import KEY, FakeLearningCart, a_run, an_executor, api_error, work
from tests.unit.workflows.fakes.storefront import Clock, an_order, put_run, record, run_of
from worker.errors import ServerError
from worker.ledger.events import record_event
from worker.ledger.session import Ledger
from worker.ledger.states import Actor, RunState
from worker.sources.order import Payment

Lines = list[dict[str, Any]]


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def lines_of(caplog: pytest.LogCaptureFixture) -> Lines:
    return [
        {"event": record.getMessage(), "log_level": record.levelname.lower(), **record.__dict__.get("about", {})}
        for record in caplog.records
    ]


def test_each_outcome_is_one_line_when_an_order_goes_through(
    ledger: Ledger, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    a_run(ledger)
    run_id = run_of(ledger, KEY).id
    work(an_executor(ledger, FakeLearningCart(), clock), run_id)
    lines = lines_of(caplog)
    reported = [
        {name: line.get(name) for name in ("event", "run_id", "step", "attempt", "order", "outcome")} for line in lines
    ]
    outcomes = [
        {"event": "call ended", "run_id": run_id, "step": step, "attempt": 1, "order": "studiocart/1109"}
        | {"outcome": "ok"}
        for step in ("add_customer", "add_customer_to_group", "add_comped_order")
    ]
    nothing = {"step": None, "attempt": None, "outcome": None}
    assert reported == [
        {"event": "order planned", "run_id": None, "order": "studiocart/1109"} | nothing,
        *outcomes,
        {"event": "run succeeded", "run_id": run_id, "order": "studiocart/1109"} | nothing,
    ]
    assert "janedoe" not in str(lines)


def test_failure_is_a_warning_with_its_names_when_a_call_fails(
    ledger: Ledger, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    a_run(ledger)
    run_id = run_of(ledger, KEY).id
    learningcart = FakeLearningCart(before={"add_customer": [api_error(ServerError, status=503)]})
    work(an_executor(ledger, learningcart, clock), run_id)
    (ended,) = [line for line in lines_of(caplog) if line["event"] == "call ended"]
    names = ("log_level", "run_id", "step", "attempt", "order", "outcome", "http_status")
    assert tuple(ended[name] for name in names) == (
        "warning",
        run_id,
        "add_customer",
        1,
        "studiocart/1109",
        "retryable",
        503,
    )


def test_review_is_one_line_with_its_reason_when_planning_asks(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    record(ledger, an_order())
    put_run(ledger, "1109/1107/buyer/501", RunState.SUCCEEDED)
    caplog.clear()
    record(ledger, an_order(payment=Payment.REFUNDED))
    lines = lines_of(caplog)
    (planned,) = [line for line in lines if line["event"] == "order planned"]
    (review,) = [line for line in lines if line["event"] == "run review"]
    assert (planned["state"], planned["order"]) == ("cancelled", "studiocart/1109")
    assert (review["reason"], review["order"]) == ("refunded_after_provisioning", "studiocart/1109")


def test_nothing_is_logged_when_the_transaction_is_rolled_back(
    ledger: Ledger, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        with ledger.write() as connection:
            record_event(connection, at=clock.now, kind="run_failed", actor=Actor.ENGINE, run_id="r1", reason="refused")
            raise RuntimeError("on the way to the commit")

    with pytest.raises(RuntimeError):
        fail()
    assert lines_of(caplog) == []


def test_what_an_operator_typed_is_in_no_log(ledger: Ledger, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with ledger.write() as connection:
        record_event(
            connection, at=clock.now, kind="run_resolved", actor="operator:ann", run_id="r1", reason="Jane Doe called"
        )
    (line,) = lines_of(caplog)
    assert line["event"] == "run resolved"
    assert "Jane" not in str(line)
