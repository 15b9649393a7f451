"""A step's task: it works a run in place from where the ledger says it stands, and ends the chain."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from celery.app.trace import build_tracer
from celery.exceptions import OperationalError

from tasks.runtime import Runtime
from tests.unit.workflows.fakes.learningcart import KEY, FakeLearningCart, a_run, api_error, before_the_order, claimed
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
    runtime: Runtime, learningcart: FakeLearningCart, name: str
) -> None:
    task(runtime, name).apply(args=(a_run(runtime.ledger),), throw=True)
    assert run_of(runtime.ledger, KEY).state == "succeeded"
    assert [asked for asked in learningcart.asked if asked != "ready"] == [
        "add_customer",
        "add_customer_to_group",
        "add_comp_order",
    ]


def test_done_steps_are_not_repeated_when_a_run_is_taken_up_again(
    runtime: Runtime, learningcart: FakeLearningCart
) -> None:
    run_id = a_run(runtime.ledger)
    runtime.executor.let_go(before_the_order(runtime.executor, run_id))
    learningcart.asked.clear()
    task(runtime).apply(args=(run_id,), throw=True)
    assert learningcart.asked == ["ready", "add_comp_order"]


@pytest.mark.parametrize("case", ["held", "gone", "done"])
def test_message_does_nothing_when_its_run_is_not_to_be_had(
    runtime: Runtime, learningcart: FakeLearningCart, published: Published, case: str
) -> None:
    run_id = a_run(runtime.ledger)
    if case == "held":
        claimed(runtime.executor, run_id)
    elif case == "done":
        task(runtime).apply(args=(run_id,), throw=True)
    learningcart.asked.clear()
    task(runtime).apply(args=("no-such-run" if case == "gone" else run_id,), throw=True)
    assert learningcart.asked == []
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


class Handover:
    """A worker that is to end after a run's first step, with a message that holds the whole chain."""

    def __init__(self, runtime: Runtime, learningcart: FakeLearningCart) -> None:
        self.runtime = runtime
        learningcart.during = lambda method: runtime.stopping.set() if method == "add_customer" else None
        self.run_id = a_run(runtime.ledger)

    def work(self, *links: str) -> list[str] | None:
        """Work a message with these further links; those that Celery is to send next."""
        add_customer = task(self.runtime)
        chain = [{"task": name} for name in reversed(links)]
        add_customer.push_request(id="x", chain=chain, args=(self.run_id,))
        try:
            add_customer.work(self.run_id)
            left = add_customer.request.chain
        finally:
            add_customer.pop_request()
        return None if left is None else [link["task"] for link in reversed(left)]


@pytest.fixture
def handover(runtime: Runtime, learningcart: FakeLearningCart) -> Handover:
    return Handover(runtime, learningcart)


def test_rest_of_the_chain_goes_on_when_another_worker_is_to_do_it(handover: Handover, published: Published) -> None:
    assert handover.work(*NAMES[1:]) == NAMES[1:]
    assert published == []  # Celery sends the next link, not we
    assert run_of(handover.runtime.ledger, KEY).dispatched_at is not None


@pytest.mark.parametrize("links", [[], NAMES[2:], [NAMES[1]]])
def test_new_chain_is_sent_when_the_message_has_other_links_than_the_run(
    handover: Handover, published: Published, links: list[str]
) -> None:
    assert handover.work(*links) is None
    assert published == [(NAMES[1], (handover.run_id,))]


def test_chain_ends_when_the_next_system_was_paused_meanwhile(
    handover: Handover, learningcart: FakeLearningCart, published: Published
) -> None:
    def during(_: str) -> None:
        handover.runtime.stopping.set()
        handover.runtime.operations.pause("learningcart", actor="operator:x")

    learningcart.during = during
    assert handover.work(*NAMES[1:]) is None
    assert published == []


def test_one_line_is_logged_and_the_run_is_due_when_the_broker_is_away_at_the_handover(
    handover: Handover, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("redis://:secret@broker.example/0")

    app = handover.runtime.app
    links = [app.signature(name, args=(handover.run_id,), immutable=True, retry=False) for name in reversed(NAMES[1:])]
    monkeypatch.setattr(app.amqp, "send_task_message", refuse)
    work = build_tracer(NAMES[0], task(handover.runtime), app=app)
    work("x", (handover.run_id,), {}, {"chain": links, "delivery_info": {}, "id": "x"})
    assert "the broker cannot be reached (OperationalError)" in caplog.text
    assert "Traceback" not in caplog.text
    run = run_of(handover.runtime.ledger, KEY)
    assert (run.state, run.dispatches) == ("waiting", 1)


def test_next_run_of_the_lane_is_sent_when_one_has_ended(runtime: Runtime, published: Published) -> None:
    first = a_run(runtime.ledger)
    record(runtime.ledger, an_order("1110"))
    second = run_of(runtime.ledger, "1110/1107/buyer/501").id
    task(runtime).apply(args=(first,), throw=True)
    assert published == [("cartbridge.enrolment.add_customer", (second,))]


def test_run_waits_in_the_ledger_and_not_in_the_broker_when_it_is_to_be_tried_again(
    runtime: Runtime, learningcart: FakeLearningCart, published: Published, clock: Clock
) -> None:
    learningcart.after["add_comp_order"] = [api_error(ApiTimeoutError, unknown=True)]
    task(runtime).apply(args=(a_run(runtime.ledger),), throw=True)
    run = run_of(runtime.ledger, KEY)
    assert (run.state, run.next_attempt_at > clock()) == ("waiting", True)
    assert published == []


def test_run_is_let_go_between_two_steps_when_the_process_is_to_end(
    runtime: Runtime, learningcart: FakeLearningCart
) -> None:
    learningcart.during = lambda method: runtime.stopping.set() if method == "add_customer" else None
    run_id = a_run(runtime.ledger)
    task(runtime).apply(args=(run_id,), throw=True)
    run = run_of(runtime.ledger, KEY)
    assert (run.state, run.lease_until) == ("waiting", None)
    assert learningcart.asked == ["ready", "add_customer"]
    runtime.stopping.clear()
    learningcart.asked.clear()
    task(runtime).apply(args=(run_id,), throw=True)
    assert run_of(runtime.ledger, KEY).state == "succeeded"
    assert "add_customer" not in learningcart.asked


def test_call_under_way_ends_when_the_process_is_to_end(runtime: Runtime, learningcart: FakeLearningCart) -> None:
    learningcart.during = lambda method: runtime.stopping.set() if method == "add_comp_order" else None
    task(runtime).apply(args=(a_run(runtime.ledger),), throw=True)
    assert run_of(runtime.ledger, KEY).state == "succeeded"


def test_lines_name_run_step_attempt_and_order_when_a_call_is_made(
    runtime: Runtime, learningcart: FakeLearningCart
) -> None:
    seen: list[dict[str, Any]] = []
    add = learningcart.add_customer

    def note(*arguments: Any, **options: Any) -> Any:
        seen.append(structlog.contextvars.get_contextvars())
        return add(*arguments, **options)

    learningcart.add_customer = note  # type: ignore[method-assign]
    run_id = a_run(runtime.ledger)
    task(runtime).apply(args=(run_id,), throw=True)
    assert seen == [{"run_id": run_id, "order": "studiocart/1109", "step": "add_customer", "attempt": 1}]
