"""The probe of a destination that is down: one at a time, at nobody's cost, and never for want of one."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.harness.deployment import LEASE_SECONDS
from tests.faults.harness.product import ON_SQLITE, HandClock, Killed, NewRig, Rig, die
from tests.faults.outages.outages import (
    breaker_of,
    let_probe_come,
    opened,
    state_of,
    states,
)
from worker.ledger.runs.breaker import FAILURES_TO_OPEN, BreakerState
from worker.sandbox import Fault

pytestmark = pytest.mark.faults

HOUR_SECONDS = 3600


def test_one_probe_is_made_when_eight_workers_want_to(rig: Rig, new_rig: NewRig) -> None:
    run_ids = opened(rig)
    let_probe_come(rig)
    processes = [rig, new_rig(clock=rig.clock)]
    asked = rig.sandbox.requests("learningcart")
    together = threading.Barrier(8)

    def sweep_and_work(number: int) -> None:
        process = processes[number % 2]
        together.wait(60)
        process.sweep_quietly()
        for run_id in run_ids:
            process.work(run_id)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(sweep_and_work, range(8)))
    assert rig.sandbox.requests("learningcart") == asked + 1
    found = breaker_of(rig)
    assert found is not None
    assert found.failures == FAILURES_TO_OPEN + 1


def test_next_interval_probes_again_when_the_probe_vanished(rig: Rig) -> None:
    run_ids = opened(rig)
    rig.sandbox.clear_faults()
    let_probe_come(rig)
    (probe,) = rig.sweep()
    rig.after_call("add_customer", die)
    with pytest.raises(Killed):
        rig.perform(rig.claim(probe))
    assert rig.sweep() == []
    let_probe_come(rig)
    (other,) = rig.sweep()
    assert other != probe
    rig.work(other)
    assert state_of(rig) is None
    rig.clock.move(LEASE_SECONDS)
    rig.finish()
    assert [rig.state(run_id) for run_id in run_ids] == [("succeeded", None)] * 8


@ON_SQLITE
def test_next_interval_probes_again_when_the_probes_message_was_lost(rig: Rig) -> None:
    opened(rig)
    rig.sandbox.clear_faults()
    let_probe_come(rig)
    assert len(rig.sweep()) == 1
    assert rig.sweep() == []
    let_probe_come(rig)
    assert len(rig.sweep()) == 1


@ON_SQLITE
def test_each_run_is_probed_with_in_turn_and_none_pays_for_it(rig: Rig) -> None:
    run_ids = opened(rig, operation="addCustomer")
    probes = []
    for _ in range(2 * len(run_ids)):
        let_probe_come(rig)
        (probe,) = rig.sweep()
        rig.work(probe)
        probes.append(probe)
    assert Counter(probes) == dict.fromkeys(run_ids, 2)
    assert sum(row["counted"] for row in rig.rows("steps")) == FAILURES_TO_OPEN


@ON_SQLITE
def test_run_that_would_make_an_order_is_not_the_probe_when_another_can_be(rig: Rig) -> None:
    risky = rig.enrol(6999, email="risky@example.test")
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", status=429, body="Too many requests"))
    rig.work(risky)
    others = opened(rig)
    probes = []
    for _ in range(len(others) - FAILURES_TO_OPEN + 1):
        let_probe_come(rig)
        (probe,) = rig.sweep()
        rig.work(probe)
        probes.append(probe)
    assert probes == [*sorted(others)[FAILURES_TO_OPEN:], risky]


@ON_SQLITE
def test_intent_stays_open_and_is_asked_about_when_a_probe_may_have_made_the_order(rig: Rig) -> None:
    run_ids = opened(rig)
    rig.sandbox.clear_faults()
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut"))
    let_probe_come(rig)
    (probe,) = rig.sweep()
    rig.work(probe)
    assert rig.state(probe) == ("waiting", "settling")
    assert state_of(rig) is BreakerState.OPEN
    rig.finish()
    assert rig.outcomes(probe) == [("call", "unknown"), ("lookup", "adopted")]
    assert [rig.state(run_id) for run_id in run_ids] == [("succeeded", None)] * 8
    assert len(rig.comped_orders) == 8


@ON_SQLITE
def test_nothing_is_probed_when_a_destination_that_is_down_is_paused(rig: Rig) -> None:
    opened(rig)
    rig.sandbox.clear_faults()
    rig.runtime.operations.pause("learningcart", actor="operator:test")
    for _ in range(3):
        let_probe_come(rig)
        assert rig.sweep() == []
    rig.clock.move(1)
    said = rig.runtime.operations.resume("learningcart", actor="operator:test")
    assert said.startswith("resumed learningcart. learningcart is down since ")
    assert said.endswith("the next of them that is due asks it again.")
    rig.finish()
    assert states(rig) == {"succeeded": 8}


@ON_SQLITE
def test_destination_is_probed_at_once_when_the_operator_resumes_it(rig: Rig) -> None:
    opened(rig)
    assert rig.sweep() == []
    rig.runtime.operations.resume("learningcart", actor="operator:test")
    assert len(rig.sweep()) == 1
    assert rig.sweep() == []


@ON_SQLITE
def test_refused_credentials_pause_when_a_probe_meets_them(rig: Rig) -> None:
    opened(rig)
    rig.sandbox.clear_faults()
    rig.sandbox.config.learningcart.password = "sandbox-password-rotated"
    rig.sandbox.learningcart.revoke_tokens()
    let_probe_come(rig)
    rig.go_on()
    assert [row["kind"] for row in rig.rows("pauses")] == ["authentication"]
    assert state_of(rig) is BreakerState.OPEN


def jump(rig: Rig, seconds: float) -> HandClock:
    """A second process's clock, which is so much ahead."""
    ahead = HandClock()
    ahead.move_to(rig.clock())
    ahead.move(seconds)
    return ahead


def test_next_probe_is_not_put_off_when_a_clock_was_an_hour_ahead(rig: Rig, new_rig: NewRig) -> None:
    run_ids = opened(rig)
    fast = new_rig(clock=jump(rig, HOUR_SECONDS))
    (probe,) = fast.sweep()
    fast.work(probe)
    found = breaker_of(rig)
    assert found is not None
    assert found.probe_at is not None
    assert (found.probe_at - rig.clock()).total_seconds() > HOUR_SECONDS
    rig.sandbox.clear_faults()
    (next_probe,) = rig.sweep()
    rig.work(next_probe)
    assert state_of(rig) is None
    rig.finish()
    assert [rig.state(run_id) for run_id in run_ids] == [("succeeded", None)] * 8
