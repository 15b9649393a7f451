"""The circuit breaker: while LearningCart is down runs wait and cost nothing; when it answers, all go on."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update

from tests.faults.harness.product import (
    MAX_ATTEMPTS,
    ON_SQLITE,
    NewRig,
    Rig,
    assert_succeeded_once,
)
from tests.faults.outages.outages import (
    break_down,
    breaker_of,
    enrol_many,
    kinds_of_breaker_events,
    let_probe_come,
    opened,
    state_of,
    states,
)
from worker.ledger.runs.breaker import FAILURES_TO_OPEN, PROBE_SECONDS, BreakerState
from worker.ledger.tables.runs import breakers, runs

pytestmark = pytest.mark.faults

SWEEP_SECONDS = 10
HOUR_SECONDS = 3600


def sent_by_each_sweep(rigs: list[Rig]) -> Iterator[int]:
    """Sweep after sweep, each worked off by the processes in turn; how many runs each sent."""
    while True:
        sent = rigs[0].sweep()
        for place, run_id in enumerate(sent):
            rigs[place % len(rigs)].work(run_id)
        rigs.append(rigs.pop(0))
        yield len(sent)


def test_runs_wait_without_burning_attempts_when_a_destination_is_down_for_an_hour(
    rig: Rig, new_rig: NewRig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="worker.ledger.runs.breaker")
    processes = [rig, new_rig(clock=rig.clock)]
    enrol_many(rig, 20)
    rig.go_on()
    waiting = enrol_many(rig, 180, first=8001)
    break_down(rig, status=503)
    before = rig.sandbox.requests("learningcart")
    sweeps = sent_by_each_sweep(processes)
    sent = []
    for _ in range(HOUR_SECONDS // SWEEP_SECONDS):
        sent.append(next(sweeps))
        rig.clock.move(SWEEP_SECONDS)
    asked = rig.sandbox.requests("learningcart") - before
    assert 55 <= asked - FAILURES_TO_OPEN <= 60
    assert sum(sent[1:]) == asked - FAILURES_TO_OPEN  # no message but the probes'
    found = states(rig)
    assert found["succeeded"] == 20
    assert found["pending"] + found["waiting"] == 180
    counted = Counter(row["counted"] for row in rig.rows("steps") if row["counted"])
    assert set(counted) == {1}
    assert counted[1] <= 20 + FAILURES_TO_OPEN

    rig.sandbox.clear_faults()
    let_probe_come(rig)
    assert [next(sweeps) for _ in range(2)] == [1, 179]
    assert state_of(rig) is None
    rig.finish()
    assert states(rig) == {"succeeded": 200}
    assert len(rig.comped_orders) == 200
    assert {rig.state(run_id) for run_id in waiting} == {("succeeded", None)}
    assert kinds_of_breaker_events(rig) == ["breaker_opened", "breaker_closed"]
    reported = [
        (record.levelname, record.message) for record in caplog.records if record.name == "worker.ledger.runs.breaker"
    ]
    assert [level for level, _ in reported] == ["ERROR", "INFO"]
    assert reported[0][1].startswith("learningcart is down, its runs wait and it is probed every 60 s: ServerError:")
    assert reported[1][1] == "learningcart answers again: all of its runs go on"


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 503, "headers": {"Retry-After": "600"}},
        {"kind": "cut"},
        {"kind": "html", "when": "after"},
        {"kind": "half_answer", "when": "after"},
        {"kind": "empty", "when": "after"},
        {"kind": "hang"},
        {"operation": "requestToken"},
        {"operation": "addCompOrder"},
    ],
    ids=repr,
)
@ON_SQLITE
def test_breaker_opens_and_nothing_is_lost_whatever_form_the_outage_takes(rig: Rig, fault: dict[str, Any]) -> None:
    run_ids = opened(rig, **fault)
    asked = rig.sandbox.requests("learningcart")
    for _ in range(5):
        rig.go_on()
        rig.clock.move(1)
    assert rig.sandbox.requests("learningcart") == asked
    rig.sandbox.clear_faults()
    rig.finish()
    assert [rig.state(run_id) for run_id in run_ids] == [("succeeded", None)] * 8
    assert len(rig.comped_orders) == 8
    assert state_of(rig) is None


@ON_SQLITE
def test_breaker_opens_when_nobody_listens_any_more(rig: Rig, new_rig: NewRig) -> None:
    away = new_rig(clock=rig.clock, CARTBRIDGE_LEARNINGCART__BASE_URL="http://127.0.0.1:9/nobody")
    run_ids = enrol_many(rig, 6)
    away.go_on()
    found = breaker_of(rig)
    assert found is not None
    assert found.state is BreakerState.OPEN
    assert "not sent" in (found.last_error or "")
    for _ in range(3 * MAX_ATTEMPTS):
        let_probe_come(rig)
        away.go_on()
    assert not {row["state"] for row in rig.rows("runs")} & {"failed", "review"}
    rig.finish()
    assert [rig.state(run_id) for run_id in run_ids] == [("succeeded", None)] * 6


@pytest.mark.parametrize(("status", "ends_as"), [(400, "failed"), (429, "waiting")])
@ON_SQLITE
def test_breaker_stays_closed_when_a_destination_refuses_what_it_is_asked(rig: Rig, status: int, ends_as: str) -> None:
    run_ids = enrol_many(rig, 8)
    headers = {"Retry-After": "300"} if status == 429 else {}
    break_down(rig, "addCustomer", status=status, headers=headers, body='{"Message": "no"}')
    rig.go_on()
    assert {rig.run(run_id)["state"] for run_id in run_ids} == {ends_as}
    assert breaker_of(rig) is None


@pytest.mark.parametrize(
    ("operation", "end"),
    [("addCustomer", ("review", "request_refused")), ("addCompOrder", ("review", "outcome_unknown"))],
)
@pytest.mark.parametrize("after_an_outage", [False, True])
@ON_SQLITE
def test_poison_run_ends_by_its_own_cap_and_blocks_nobody(
    rig: Rig, operation: str, end: tuple[str, str], *, after_an_outage: bool
) -> None:
    customer = rig.sandbox.learningcart.add_customer("poison@example.test")
    poison = rig.enrol(6999, email="poison@example.test")
    others = enrol_many(rig, 50)
    if after_an_outage:
        break_down(rig)
        rig.go_on()
        assert state_of(rig) is BreakerState.OPEN
        rig.sandbox.clear_faults()
    match = {"addCustomer": {"Email": customer.email}, "addCompOrder": {"CustomerID": str(customer.id)}}[operation]
    break_down(rig, operation, match=match)
    started_at = rig.clock()
    rig.finish()
    assert [rig.state(run_id) for run_id in others] == [("succeeded", None)] * 50
    assert rig.state(poison) == end
    last = max(rig.run(run_id)["finished_at"] for run_id in others)
    assert (last - started_at).total_seconds() < 3 * PROBE_SECONDS
    counted = {row["name"]: row["counted"] for row in rig.rows("steps") if row["run_id"] == poison}
    assert max(counted.values()) == MAX_ATTEMPTS
    assert state_of(rig) in {None, BreakerState.CLOSED}


@ON_SQLITE
def test_poison_run_alone_never_opens_the_breaker(rig: Rig) -> None:
    poison = rig.enrol()
    break_down(rig, "addCustomer")
    rig.finish()
    assert rig.state(poison) == ("failed", "attempts_spent")
    assert kinds_of_breaker_events(rig) == []
    rig.sandbox.clear_faults()
    rig.enrol(7002, email="other@example.test")
    rig.finish()
    assert breaker_of(rig) is None


@ON_SQLITE
def test_breaker_opens_again_when_the_destination_fails_after_its_probe(rig: Rig) -> None:
    run_ids = opened(rig)
    rig.sandbox.clear_faults()
    let_probe_come(rig)
    (probe,) = rig.sweep()
    rig.work(probe)
    break_down(rig)
    rig.clock.move(PROBE_SECONDS)
    rig.go_on()
    assert state_of(rig) is BreakerState.OPEN
    assert kinds_of_breaker_events(rig) == ["breaker_opened", "breaker_closed", "breaker_opened"]
    rig.sandbox.clear_faults()
    rig.finish()
    assert [rig.state(run_id) for run_id in run_ids] == [("succeeded", None)] * 8


@ON_SQLITE
def test_run_succeeds_when_the_version_before_had_claimed_it(rig: Rig) -> None:
    """A run that was claimed before the migration has no `system` of its own."""
    run_id = rig.enrol()
    held = rig.claim(run_id)
    with rig.ledger.write() as connection:
        connection.execute(update(runs).values(system=None))
        connection.execute(breakers.delete())
    while rig.perform(held):
        pass
    assert_succeeded_once(rig, run_id)
