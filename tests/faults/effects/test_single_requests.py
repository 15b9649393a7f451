"""What one request is refused or fails for is its run's own trouble: others go on, and nothing is called down."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.faults.harness.product import MAX_ATTEMPTS, ON_SQLITE, Rig
from tests.faults.outages.outages import enrol_many, kinds_of_breaker_events, let_probe_come, state_of
from worker.ledger.runs.breaker import BreakerState
from worker.sandbox import Fault

pytestmark = [pytest.mark.faults, ON_SQLITE]

POISONED = (7002, 7005, 7008)


def fail_each(rig: Rig, operation: str = "addCustomer", *, status: int = 500) -> None:
    """The server fails, for ever, for what is in the requests of three learners."""
    for number in POISONED:
        match = {"Email": f"learner-{number}@example.test"}
        rig.sandbox.inject(
            Fault("learningcart", operation, kind="status", status=status, times=None, when="before", match=match)
        )


@pytest.mark.parametrize("status", [500, 503, 400])
def test_three_learners_are_in_review_and_nothing_is_down_when_validation_stops_their_names(
    rig: Rig, status: int
) -> None:
    run_ids = enrol_many(rig, 12)
    fail_each(rig, status=status)
    rig.finish()
    poisoned = [run_id for run_id in run_ids if rig.run(run_id)["state"] != "succeeded"]
    assert [rig.state(run_id) for run_id in poisoned] == [("review", "request_refused")] * 3
    assert len(rig.comped_orders) == 9
    tries = [row for row in rig.rows("attempts") if row["run_id"] in poisoned]
    # The first 503 of each may be a gateway's word for everybody, and costs nothing.
    assert len(tries) == 3 * (MAX_ATTEMPTS + (status == 503))
    assert kinds_of_breaker_events(rig) == []


def test_runs_that_looked_like_an_outage_end_when_others_are_answered_later(rig: Rig) -> None:
    """Three alone fail in a row and are taken for an outage; whoever comes next is the probe, and is answered."""
    fail_each(rig)
    poisoned = [rig.enrol(number, email=f"learner-{number}@example.test") for number in POISONED]
    for _ in range(5):
        rig.go_on()
        rig.clock.move(10)
    assert state_of(rig) is BreakerState.OPEN
    good = rig.enrol(7100, email="good@example.test")
    let_probe_come(rig)
    rig.finish()
    assert rig.state(good) == ("succeeded", None)
    assert [rig.state(run_id) for run_id in poisoned] == [("review", "request_refused")] * 3
    assert kinds_of_breaker_events(rig) == ["breaker_opened", "breaker_closed"]


def test_probe_ends_in_review_by_its_cap_when_others_succeeded_since_it_first_failed(rig: Rig) -> None:
    fail_each(rig)
    poison = rig.enrol(POISONED[0], email=f"learner-{POISONED[0]}@example.test")
    rig.go_on()
    rig.enrol(7100, email="good@example.test")
    rig.go_on()
    others = enrol_many(rig, 5, first=8001)
    rig.sandbox.inject(Fault("learningcart", "*", kind="status", status=503, times=None, when="before"))
    rig.go_on()
    assert state_of(rig) is BreakerState.OPEN
    for run_id in others:
        rig.runtime.operations.cancel(run_id, actor="operator:test")
    for _ in range(2 * MAX_ATTEMPTS):
        let_probe_come(rig)
        rig.go_on()
    assert rig.state(poison) == ("review", "request_refused")


def test_no_probe_pays_when_nobody_is_answered(rig: Rig) -> None:
    run_ids = enrol_many(rig, 4)
    rig.sandbox.inject(Fault("learningcart", "addCustomer", kind="status", times=None, when="before"))
    for _ in range(4 * MAX_ATTEMPTS * 4):
        rig.go_on()
        rig.clock.move(60)
    assert {rig.run(run_id)["state"] for run_id in run_ids} == {"waiting"}


def lose_order(rig: Rig) -> str:
    """A run whose order was made, and whose answer was lost."""
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut"))
    run_id = rig.enrol()
    rig.work(run_id)
    assert rig.state(run_id) == ("waiting", "settling")
    return run_id


@pytest.mark.parametrize("status", [400, 500])
def test_a_person_is_asked_when_a_lookup_is_never_answered_and_others_are(rig: Rig, status: int) -> None:
    run_id = lose_order(rig)
    rig.sandbox.inject(Fault("learningcart", "getOrdersByDate", kind="status", status=status, times=None))
    for number in range(20):
        rig.enrol(8001 + number, email=f"other-{number}@example.test")
        rig.go_on()
        rig.clock.move(60)
    assert rig.state(run_id) == ("review", "outcome_unknown")
    assert rig.outcomes(run_id) == [("call", "unknown"), *[("lookup", "retryable")] * MAX_ATTEMPTS]
    (step,) = [row for row in rig.rows("steps") if row["run_id"] == run_id and row["name"] == "add_comped_order"]
    assert step["counted"] == 1


def test_a_person_is_asked_when_lookups_fail_for_a_day_and_nobody_else_calls(rig: Rig) -> None:
    run_id = lose_order(rig)
    rig.sandbox.inject(Fault("learningcart", "getOrdersByDate", kind="status", status=500, times=None))
    lost_at = rig.clock()
    while rig.run(run_id)["state"] == "waiting" and rig.clock() - lost_at < timedelta(days=2):
        rig.clock.move(1800)
        rig.go_on()
    assert rig.state(run_id) == ("review", "outcome_unknown")
    assert timedelta(hours=24) <= rig.clock() - lost_at <= timedelta(hours=25)
    rig.sandbox.clear_faults()
    rig.runtime.operations.replay(run_id, actor="operator:test")
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)
    assert len(rig.comped_orders) == 1
