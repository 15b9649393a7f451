"""Leases: a holder that is slow, frozen or overtaken never makes a second order that nobody hears of."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.faults.harness.deployment import LEASE_SECONDS
from tests.faults.harness.product import (
    ON_SQLITE,
    HandClock,
    NewRig,
    Rig,
    assert_succeeded_once,
    let_lease_end,
    let_outcome_be_asked,
    let_outcome_settle,
)
from worker.sandbox import Fault

pytestmark = pytest.mark.faults


def test_answer_is_adopted_when_it_comes_after_the_lease_ended(rig: Rig, other: Rig) -> None:
    run_id = rig.enrol()

    def overtaken() -> None:
        let_lease_end(rig)
        other.sweep()
        assert other.state(run_id) == ("waiting", "worker_vanished")

    rig.after_call("add_comp_order", overtaken)
    rig.work(run_id)
    assert_succeeded_once(rig, run_id)
    assert "late_answer" in rig.kinds_of_events(run_id)
    other.finish()
    assert_succeeded_once(other, run_id)
    assert other.count("getOrdersByDate") == 0


def test_nothing_is_doubled_when_the_answer_comes_after_another_adopted_it(rig: Rig, other: Rig) -> None:
    run_id = rig.enrol()

    def overtaken() -> None:
        let_lease_end(rig)
        other.finish()
        assert_succeeded_once(other, run_id)

    rig.after_call("add_comp_order", overtaken)
    rig.work(run_id)
    assert_succeeded_once(rig, run_id)
    assert "late_answer" in rig.kinds_of_events(run_id)


def patient(new_rig: NewRig, clock: HandClock) -> Rig:
    """A process whose calls may take long, so that a freeze does not end them."""
    return new_rig(clock=clock, CARTBRIDGE_LEARNINGCART__READ_TIMEOUT_SECONDS="60")


_LONGEST_SECONDS = 300.0
"""Only so that a test that is wrong ends at all: what is waited for always comes."""


class HeldUp:
    """A worker in a thread of its own that stops at a point of a call until it is let go."""

    def __init__(self, stop_at: Callable[[str, Callable[[], object]], None], method: str) -> None:
        self._at_point = threading.Event()
        self._let_go = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._work: Future[None] | None = None
        stop_at(method, self._stop)

    def _stop(self) -> None:
        self._at_point.set()
        assert self._let_go.wait(_LONGEST_SECONDS)

    def start(self, rig: Rig, run_id: str) -> None:
        """Let the worker work until it is held up."""
        self._work = self._pool.submit(rig.work, run_id)
        assert self._at_point.wait(_LONGEST_SECONDS), self._work

    def end(self) -> None:
        """Let it go, and wait until it has ended."""
        self._let_go.set()
        assert self._work is not None
        self._work.result(_LONGEST_SECONDS)
        self._pool.shutdown()


def assert_double_is_reported(rig: Rig, run_id: str) -> None:
    first, second = (str(effect.facts["order_id"]) for effect in rig.comped_orders)
    assert rig.state(run_id) == ("succeeded", None)
    (review,) = rig.reviews(about=run_id)
    assert (review["state"], review["reason"]) == ("review", "duplicate_effect")
    assert {rig.run(run_id)["result_id"], review["result_id"]} == {first, second}


def test_double_is_reported_when_a_frozen_process_thaws_after_absence_was_proven(
    new_rig: NewRig, rig: Rig, other: Rig
) -> None:
    """The one double that no client can prevent: it must be loud."""
    run_id = rig.enrol()
    slow = patient(new_rig, rig.clock)

    def frozen() -> None:
        let_lease_end(rig)
        other.finish()
        assert_succeeded_once(other, run_id)

    slow.after_last_check("add_comp_order", frozen)
    slow.work(run_id)
    assert_double_is_reported(rig, run_id)


def test_double_is_reported_when_the_late_answer_comes_while_the_second_call_is_under_way(
    new_rig: NewRig, rig: Rig, other: Rig
) -> None:
    run_id = rig.enrol()
    slow = patient(new_rig, rig.clock)
    held_up = HeldUp(slow.after_last_check, "add_comp_order")
    held_up.start(slow, run_id)
    let_lease_end(rig)
    other.sweep()
    let_outcome_be_asked(other, run_id)
    other.after_call("add_comp_order", held_up.end)
    other.work(run_id)
    assert_double_is_reported(rig, run_id)


def test_late_answer_is_the_effect_when_the_second_call_fails(new_rig: NewRig, rig: Rig, other: Rig) -> None:
    run_id = rig.enrol()
    slow = patient(new_rig, rig.clock)
    held_up = HeldUp(slow.after_last_check, "add_comp_order")
    held_up.start(slow, run_id)
    let_lease_end(rig)
    other.sweep()
    let_outcome_be_asked(other, run_id)
    other.sandbox.inject(Fault("learningcart", "addCompOrder", kind="status", status=429))
    other.after_call("add_comp_order", held_up.end)
    other.work(run_id)
    other.finish()
    assert_succeeded_once(other, run_id)


@pytest.mark.parametrize("echo", [True, False])
def test_late_answer_is_the_effect_when_it_comes_during_the_lookup(
    new_rig: NewRig, rig: Rig, other: Rig, *, echo: bool
) -> None:
    rig.sandbox.config.learningcart.echo_comments = echo
    run_id = rig.enrol()
    slow = patient(new_rig, rig.clock)
    held_up = HeldUp(slow.after_call, "add_comp_order")
    held_up.start(slow, run_id)
    let_lease_end(rig)
    other.sweep()
    let_outcome_settle(rig)
    other.after_call("get_orders_by_date", held_up.end)
    other.work(run_id)
    other.finish()
    assert_succeeded_once(other, run_id)


def test_late_answer_is_the_effect_when_it_comes_between_lookup_and_intent(
    new_rig: NewRig, rig: Rig, other: Rig
) -> None:
    """Its own order, once it is known, must not count as one that is accounted for: that would prove absence."""
    rig.sandbox.config.learningcart.echo_comments = False
    run_id = rig.enrol()
    slow = patient(new_rig, rig.clock)
    held_up = HeldUp(slow.after_call, "add_comp_order")
    held_up.start(slow, run_id)
    let_lease_end(rig)
    other.sweep()
    real = other.sandbox.learningcart.orders
    assert len(real) == 1
    client = other.runtime.clients["learningcart"]
    client.get_orders_by_date = lambda *_, **__: []  # a list that lags behind
    let_outcome_be_asked(other, run_id)
    other.before_call("ready", lambda: other.before_call("ready", held_up.end))
    other.work(run_id)
    other.finish()
    assert_succeeded_once(other, run_id)


@pytest.mark.parametrize("echo", [True, False])
def test_late_answer_is_the_effect_when_the_run_was_replayed_meanwhile(rig: Rig, other: Rig, *, echo: bool) -> None:
    rig.sandbox.config.learningcart.echo_comments = echo
    run_id = rig.enrol()

    def replayed() -> None:
        let_lease_end(rig)
        other.sweep()
        let_outcome_settle(rig)
        assert other.runtime.operations.replay(run_id, actor="operator:test").result == "replayed"
        assert other.state(run_id) == ("pending", None)

    rig.after_call("add_comp_order", replayed)
    rig.work(run_id)
    other.finish()
    assert_succeeded_once(other, run_id)


def test_late_answer_is_the_effect_when_the_run_is_in_review(rig: Rig, other: Rig) -> None:
    rig.sandbox.config.learningcart.echo_comments = False
    run_id = rig.enrol()

    def reviewed() -> None:
        let_lease_end(rig)
        other.finish()
        assert other.state(run_id) == ("review", "outcome_unprovable")

    rig.after_call("add_comp_order", reviewed)
    rig.work(run_id)
    assert_succeeded_once(other, run_id)


@ON_SQLITE
def test_double_is_reported_when_an_operator_repeated_meanwhile(rig: Rig, other: Rig) -> None:
    rig.sandbox.config.learningcart.echo_comments = False
    run_id = rig.enrol()

    def repeated() -> None:
        let_lease_end(rig)
        other.finish()
        assert other.state(run_id) == ("review", "outcome_unprovable")
        other.runtime.operations.replay(
            run_id, actor="operator:test", from_step="add_comped_order", again=True, reason="nothing there"
        )
        other.finish()
        assert len(other.comped_orders) == 2

    rig.after_call("add_comp_order", repeated)
    rig.work(run_id)
    assert_double_is_reported(rig, run_id)


@ON_SQLITE
def test_what_it_learned_is_appended_when_an_overtaken_call_failed(rig: Rig, other: Rig) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut"))

    def overtaken() -> None:
        let_lease_end(rig)
        other.sweep()

    rig.after_call("add_comp_order", overtaken)
    rig.work(run_id)
    (late,) = [row for row in rig.rows("events") if row["kind"] == "late_answer"]
    assert late["detail"]["outcome"] == "unknown"
    other.finish()
    assert_succeeded_once(other, run_id)


@ON_SQLITE
@pytest.mark.parametrize("method", ["add_customer", "add_customer_to_group"])
def test_nothing_more_is_sent_when_the_lease_was_lost_during_a_safe_call(rig: Rig, other: Rig, method: str) -> None:
    run_id = rig.enrol()

    def overtaken() -> None:
        let_lease_end(rig)
        other.finish()
        assert_succeeded_once(other, run_id)

    rig.after_call(method, overtaken)
    rig.work(run_id)
    assert_succeeded_once(rig, run_id)
    assert rig.count("addCompOrder") == 1


@ON_SQLITE
@pytest.mark.parametrize("method", ["add_customer", "add_customer_to_group", "add_comp_order"])
def test_holder_goes_on_when_its_lease_ended_and_nobody_took_the_run(rig: Rig, method: str) -> None:
    run_id = rig.enrol()
    rig.after_call(method, lambda: let_lease_end(rig))
    rig.work(run_id)
    assert_succeeded_once(rig, run_id)


@ON_SQLITE
def test_nothing_is_sent_when_the_lease_was_lost_while_waiting_for_a_slot(rig: Rig, other: Rig) -> None:
    run_id = rig.enrol()
    held = rig.claim_before_order(run_id)

    def overtaken() -> None:
        let_lease_end(rig)
        other.finish()

    rig.before_call("ready", overtaken)
    assert not rig.perform(held)
    assert_succeeded_once(rig, run_id)
    assert rig.count("addCompOrder") == 1


# The last check


@ON_SQLITE
@pytest.mark.parametrize("frozen_seconds", [LEASE_SECONDS + 1, LEASE_SECONDS - 0.1])
def test_nothing_is_sent_when_the_lease_would_not_outlast_the_call(rig: Rig, frozen_seconds: float) -> None:
    run_id = rig.enrol()
    rig.before_call("add_comp_order", lambda: rig.clock.move(frozen_seconds))
    rig.work(run_id)
    assert rig.count("addCompOrder") == 0
    assert rig.state(run_id) == ("waiting", "lease_short")
    assert rig.outcomes(run_id) == [("call", "retryable")]
    (step,) = [row for row in rig.rows("steps") if row["name"] == "add_comped_order"]
    assert step["counted"] == 0
    rig.finish()
    assert_succeeded_once(rig, run_id)
    assert rig.count("getOrdersByDate") == 0


@ON_SQLITE
def test_nothing_is_sent_when_the_lease_was_lost_before_the_last_check(rig: Rig, other: Rig) -> None:
    run_id = rig.enrol()

    def overtaken() -> None:
        let_lease_end(rig)
        other.finish()

    rig.before_call("add_comp_order", overtaken)
    rig.work(run_id)
    assert_succeeded_once(rig, run_id)
    assert rig.count("addCompOrder") == 1


@ON_SQLITE
def test_lease_is_renewed_when_steps_take_long(rig: Rig) -> None:
    run_id = rig.enrol(product_id="1107")
    rig.before_call("add_customer_to_group", lambda: rig.clock.move(LEASE_SECONDS * 0.9))
    held = rig.claim(run_id)
    first_end = held.lease_until
    while rig.perform(held):
        pass
    assert held.lease_until > first_end
    assert_succeeded_once(rig, run_id)


@ON_SQLITE
def test_calls_are_shorter_than_the_lease_when_the_lease_is_short(new_rig: NewRig) -> None:
    rig = new_rig(CARTBRIDGE_LEASE_SECONDS="0.2")
    assert rig.executor._timing.deadline_seconds("learningcart") == pytest.approx(0.16)
    run_id = rig.enrol()
    rig.finish()
    assert_succeeded_once(rig, run_id)
