"""Workers that are killed: at any point, again and again, and the processes that take over from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy.exc import OperationalError

from tests.faults.harness.deployment import LEASE_SECONDS, SETTLE_SECONDS
from tests.faults.harness.product import (
    MAX_ATTEMPTS,
    ON_SQLITE,
    Killed,
    Rig,
    assert_succeeded_once,
    die,
    let_lease_end,
    let_outcome_settle,
)
from worker.ledger.runs import due
from worker.sandbox import Fault

pytestmark = pytest.mark.faults


POINTS = ["claimed", "add_customer", "add_customer_to_group", "intent", "last_check", "made"]


def die_at(rig: Rig, run_id: str, point: str) -> None:
    match point:
        case "claimed":
            rig.claim(run_id)
            return
        case "add_customer" | "add_customer_to_group":
            rig.after_call(point, die)
        case "intent":
            rig.before_call("add_comp_order", die)
        case "last_check":
            rig.after_last_check("add_comp_order", die)
        case "made":
            rig.after_call("add_comp_order", die)
    with pytest.raises(Killed):
        rig.work(run_id)


@pytest.mark.parametrize("point", POINTS)
def test_run_is_finished_by_another_when_its_worker_is_killed(rig: Rig, other: Rig, point: str) -> None:
    run_id = rig.enrol()
    die_at(rig, run_id, point)
    assert rig.run(run_id)["state"] == "running"
    other.finish()
    assert_succeeded_once(other, run_id)
    assert "run_recovered" in other.kinds_of_events(run_id)
    if point == "made":
        assert other.outcomes(run_id) == [("call", "unknown"), ("lookup", "adopted")]
    elif point in {"intent", "last_check"}:
        assert other.outcomes(run_id) == [("call", "unknown"), ("lookup", "absent"), ("call", "ok")]
    else:
        assert other.outcomes(run_id)[-1] == ("call", "ok")


@ON_SQLITE
def test_nobody_touches_the_run_when_its_lease_has_not_ended(rig: Rig, other: Rig) -> None:
    run_id = rig.enrol()
    die_at(rig, run_id, "made")
    rig.enrol(7002, email="other@example.test")  # a sweep that finds nothing due looks no further
    rig.clock.move(LEASE_SECONDS - 0.001)
    other.go_on()
    other.work(run_id)
    assert other.run(run_id)["state"] == "running"


@ON_SQLITE
def test_lane_is_shut_from_the_leases_end_and_asking_begins_when_the_holder_vanished(rig: Rig, other: Rig) -> None:
    run_id = rig.enrol()
    die_at(rig, run_id, "made")
    lease_until = rig.run(run_id)["lease_until"]
    rig.clock.move(LEASE_SECONDS + 20)  # nobody looked for a while
    assert other.sweep() == [run_id]
    row = other.run(run_id)
    assert (row["state"], row["next_attempt_at"]) == ("waiting", rig.clock())
    assert row["lane_shut_until"] == lease_until + timedelta(seconds=SETTLE_SECONDS)
    other.work(run_id)
    assert_succeeded_once(other, run_id)


@ON_SQLITE
def test_nothing_is_sent_before_the_settle_time_when_the_holder_vanished(rig: Rig, other: Rig) -> None:
    run_id = rig.enrol()
    die_at(rig, run_id, "last_check")
    rig.clock.move(LEASE_SECONDS + 20)
    other.go_on()
    asked_at = rig.clock()
    row = other.run(run_id)
    settled_at = asked_at + timedelta(seconds=SETTLE_SECONDS)
    assert (row["state"], row["next_attempt_at"], row["lane_shut_until"]) == ("waiting", settled_at, settled_at)
    other.finish()
    assert_succeeded_once(other, run_id)


@ON_SQLITE
def test_run_ends_failed_at_the_cap_when_it_kills_every_worker(rig: Rig) -> None:
    run_id = rig.enrol()
    deaths = 0
    while rig.run(run_id)["state"] not in {"failed", "review", "succeeded"}:
        if rig.executor.claim(run_id, "learningcart") is not None:
            deaths += 1
            assert deaths <= MAX_ATTEMPTS
        rig.clock.move(LEASE_SECONDS + 60)
        rig.sweep()
    assert deaths == MAX_ATTEMPTS
    assert rig.state(run_id) == ("failed", "attempts_spent")
    assert rig.comped_orders == []


@ON_SQLITE
@pytest.mark.parametrize("point", ["last_check", "made"])
def test_run_is_in_review_or_done_when_every_call_kills_its_worker(rig: Rig, point: str) -> None:
    run_id = rig.enrol()
    for _ in range(MAX_ATTEMPTS + 3):
        if rig.run(run_id)["state"] not in {"pending", "waiting"}:
            break
        if point == "last_check":
            rig.after_last_check("add_comp_order", die)
        else:
            rig.after_call("add_comp_order", die)
        try:
            rig.work(run_id)
        except Killed:
            let_lease_end(rig)
            rig.sweep()
            if rig.run(run_id)["state"] == "waiting":
                rig.work(run_id)  # the first lookup
        let_outcome_settle(rig)
    assert len(rig.comped_orders) == (0 if point == "last_check" else 1)
    expected = ("review", "outcome_unknown") if point == "last_check" else ("succeeded", None)
    assert rig.state(run_id) == expected


@ON_SQLITE
def test_run_is_in_review_at_the_cap_when_every_lookup_kills_its_worker(rig: Rig) -> None:
    """An order may have been made, so it is a question to a person; and it must not go on killing for ever."""
    run_id = rig.enrol()
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut"))
    rig.work(run_id)
    let_outcome_settle(rig)
    for _ in range(3 * MAX_ATTEMPTS):
        if rig.run(run_id)["state"] not in {"pending", "waiting"}:
            break
        rig.before_call("get_orders_by_date", die)
        with pytest.raises(Killed):
            rig.work(run_id)
        rig.clock.move(LEASE_SECONDS + SETTLE_SECONDS + 60)
        rig.sweep()
        rig.clock.move(60)
    assert rig.state(run_id) == ("review", "outcome_unknown")
    assert len(rig.comped_orders) == 1


@ON_SQLITE
def test_replay_looks_first_when_deaths_put_the_run_into_review(rig: Rig) -> None:
    test_run_is_in_review_at_the_cap_when_every_lookup_kills_its_worker(rig)
    (run_id,) = [row["id"] for row in rig.rows("runs")]
    del rig.runtime.clients["learningcart"].get_orders_by_date
    assert rig.runtime.operations.replay(run_id, actor="operator:test").result == "replayed"
    rig.finish()
    assert_succeeded_once(rig, run_id)
    assert rig.outcomes(run_id)[-1] == ("lookup", "adopted")


# A process that is alone on its ledger


@ON_SQLITE
def test_everything_is_due_again_at_once_when_a_process_finds_itself_alone(rig: Rig, other: Rig) -> None:
    """`up` after a crash: neither the leases nor the messages of the dead hold anything up."""
    held, sent = rig.enrol(7001), rig.enrol(7002, email="other@example.test")
    die_at(rig, held, "made")
    assert rig.sweep() == [sent]
    with other.ledger.write() as connection:
        assert due.break_leases(connection, now=other.clock()) == 1
    assert sorted(other.sweep()) == sorted([held, sent])
    assert other.state(held) == ("waiting", "worker_vanished")
    assert other.run(held)["lane_shut_until"] == other.clock() + timedelta(seconds=SETTLE_SECONDS)
    other.finish()
    assert [other.state(run_id) for run_id in (held, sent)] == [("succeeded", None)] * 2
    assert len(other.comped_orders) == 2


# A ledger that goes away


@ON_SQLITE
def test_ledger_failure_during_a_call_leaves_the_run_to_be_recovered(
    rig: Rig, other: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = rig.enrol()

    @contextmanager
    def away(**_options: bool) -> Iterator[None]:
        raise OperationalError("COMMIT", {}, Exception("the ledger is away"))
        yield

    rig.after_call("add_comp_order", lambda: monkeypatch.setattr(rig.ledger, "write", away))
    with pytest.raises(OperationalError):
        rig.work(run_id)
    assert other.run(run_id)["state"] == "running"
    other.finish()
    assert_succeeded_once(other, run_id)
    assert other.outcomes(run_id) == [("call", "unknown"), ("lookup", "adopted")]
