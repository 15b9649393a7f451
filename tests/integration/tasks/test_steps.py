"""A step's task: it works a run in place from where the ledger says it stands, and ends the chain."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from tasks.runtime import Runtime
from tests.unit.workflows.fakes.learningcart import KEY, Academy, a_run, api_error, before_the_order, claimed
from tests.unit.workflows.fakes.storefront import Clock, an_order, record, run_of
from worker.errors import ApiTimeoutError
from workflows.enrolment.steps import ENROLMENT

Published = list[tuple[str, tuple[str, ...]]]
NAMES = [f"cartbridge.enrolment.{definition.kind}" for definition in ENROLMENT.definitions]


def task(runtime: Runtime, name: str = "add_customer") -> Any:
    return runtime.app.tasks[f"cartbridge.enrolment.{name}"]


def test_every_step_has_a_task_of_its_own_name(runtime: Runtime) -> None:
    runtime.app.finalize()
    assert sorted(name for name in runtime.app.tasks if name.startswith("cartbridge.enrolment.")) == sorted(NAMES)
    for definition in ENROLMENT.definitions:
        assert task(runtime, definition.kind).definition is definition


@pytest.mark.parametrize("name", ["add_customer", "add_customer_to_group", "add_comped_order"])
def test_run_is_worked_from_its_position_when_any_of_its_messages_arrives(
    runtime: Runtime, academy: Academy, name: str
) -> None:
    task(runtime, name).apply(args=(a_run(runtime.ledger),), throw=True)
    assert run_of(runtime.ledger, KEY).state == "succeeded"
    assert [asked for asked in academy.asked if asked != "ready"] == [
        "add_customer",
        "add_customer_to_group",
        "add_comp_order",
    ]


def test_done_steps_are_not_repeated_when_a_run_is_taken_up_again(runtime: Runtime, academy: Academy) -> None:
    run_id = a_run(runtime.ledger)
    runtime.executor.let_go(before_the_order(runtime.executor, run_id))
    academy.asked.clear()
    task(runtime).apply(args=(run_id,), throw=True)
    assert academy.asked == ["ready", "add_comp_order"]


@pytest.mark.parametrize("case", ["held", "gone", "done"])
def test_message_does_nothing_when_its_run_is_not_to_be_had(
    runtime: Runtime, academy: Academy, published: Published, case: str
) -> None:
    run_id = a_run(runtime.ledger)
    if case == "held":
        claimed(runtime.executor, run_id)
    elif case == "done":
        task(runtime).apply(args=(run_id,), throw=True)
    academy.asked.clear()
    task(runtime).apply(args=("no-such-run" if case == "gone" else run_id,), throw=True)
    assert academy.asked == []
    assert published == []


def test_rest_of_the_chain_is_dropped_when_the_run_was_worked_in_place(runtime: Runtime) -> None:
    add_customer = task(runtime)
    for run_id in (a_run(runtime.ledger), "no-such-run"):
        add_customer.push_request(id="x", chain=[{"task": NAMES[1]}, {"task": NAMES[2]}], args=(run_id,))
        try:
            add_customer.work(run_id)
            assert add_customer.request.chain is None
        finally:
            add_customer.pop_request()


def test_next_run_of_the_lane_is_sent_when_one_has_ended(runtime: Runtime, published: Published) -> None:
    first = a_run(runtime.ledger)
    record(runtime.ledger, an_order("1110"))
    second = run_of(runtime.ledger, "1110/1107/buyer/501").id
    task(runtime).apply(args=(first,), throw=True)
    assert published == [("cartbridge.enrolment.add_customer", (second,))]


def test_run_waits_in_the_ledger_and_not_in_the_broker_when_it_is_to_be_tried_again(
    runtime: Runtime, academy: Academy, published: Published, clock: Clock
) -> None:
    academy.after["add_comp_order"] = [api_error(ApiTimeoutError, unknown=True)]
    task(runtime).apply(args=(a_run(runtime.ledger),), throw=True)
    run = run_of(runtime.ledger, KEY)
    assert (run.state, run.next_attempt_at > clock()) == ("waiting", True)
    assert published == []


def test_run_is_let_go_between_two_steps_when_the_process_is_to_end(runtime: Runtime, academy: Academy) -> None:
    academy.during = lambda method: runtime.stopping.set() if method == "add_customer" else None
    run_id = a_run(runtime.ledger)
    task(runtime).apply(args=(run_id,), throw=True)
    run = run_of(runtime.ledger, KEY)
    assert (run.state, run.lease_until) == ("waiting", None)
    assert academy.asked == ["ready", "add_customer"]
    runtime.stopping.clear()
    academy.asked.clear()
    task(runtime).apply(args=(run_id,), throw=True)
    assert run_of(runtime.ledger, KEY).state == "succeeded"
    assert "add_customer" not in academy.asked


def test_call_under_way_ends_when_the_process_is_to_end(runtime: Runtime, academy: Academy) -> None:
    academy.during = lambda method: runtime.stopping.set() if method == "add_comp_order" else None
    task(runtime).apply(args=(a_run(runtime.ledger),), throw=True)
    assert run_of(runtime.ledger, KEY).state == "succeeded"


def test_lines_name_run_step_attempt_and_order_when_a_call_is_made(runtime: Runtime, academy: Academy) -> None:
    seen: list[dict[str, Any]] = []
    add = academy.add_customer

    def note(*arguments: Any, **options: Any) -> Any:
        seen.append(structlog.contextvars.get_contextvars())
        return add(*arguments, **options)

    academy.add_customer = note  # type: ignore[method-assign]
    run_id = a_run(runtime.ledger)
    task(runtime).apply(args=(run_id,), throw=True)
    assert seen == [{"run_id": run_id, "order": "studiocart/1109", "step": "add_customer", "attempt": 1}]
