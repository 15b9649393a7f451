"""Lanes: one learner's runs never overlap; other learners do not wait for them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from tests.faults.harness.deployment import LEASE_SECONDS, SETTLE_SECONDS
from tests.faults.harness.product import ON_SQLITE, NewRig, Rig
from tests.faults.harness.waiting import wait_until
from worker.ledger.runs import claims
from worker.sandbox import Fault

pytestmark = pytest.mark.faults

BUNDLE = "1130"


def sell_bundle(rig: Rig, order_id: int = 7001) -> list[str]:
    rig.sell(order_id, product_id=BUNDLE)
    return rig.ingest(order_id)


def test_bundle_is_two_runs_of_one_lane_when_an_offer_has_two_grants(rig: Rig) -> None:
    first, second = sell_bundle(rig)
    assert rig.run(first)["lane"] == rig.run(second)["lane"]
    rig.finish()
    assert [rig.state(run_id) for run_id in (first, second)] == [("succeeded", None)] * 2
    assert sorted(effect.facts["price_id"] for effect in rig.comped_orders) == [601, 602]
    assert sorted(rig.sandbox.learningcart.groups) == [21, 22]


@pytest.mark.parametrize("email", ["jane@example.test", "JANE@Example.test", " jane@example.test"])
@ON_SQLITE
def test_lane_is_the_same_when_an_email_is_spelled_otherwise(rig: Rig, email: str) -> None:
    lanes = {rig.run(rig.enrol(7001))["lane"], rig.run(rig.enrol(7002, email=email))["lane"]}
    assert len(lanes) == 1
    assert "jane" not in lanes.pop()


@pytest.mark.parametrize(
    ("one", "other"), [("straße@example.test", "strasse@example.test"), ("josé@a.no", "jose@a.no")]
)
@ON_SQLITE
def test_lanes_and_customers_are_two_when_addresses_merely_fold_alike(rig: Rig, one: str, other: str) -> None:
    lanes = {rig.run(rig.enrol(7001, email=one))["lane"], rig.run(rig.enrol(7002, email=other))["lane"]}
    assert len(lanes) == 2
    rig.finish()
    assert {customer.email for customer in rig.sandbox.learningcart.customers} >= {one, other}


def test_second_run_is_not_claimed_when_the_first_is_under_way(rig: Rig) -> None:
    first, second = sell_bundle(rig)
    held = rig.claim(first)
    assert rig.executor.claim(second, "learningcart") is None
    assert rig.sweep() == []
    while rig.perform(held):
        assert rig.executor.claim(second, "learningcart") is None
    assert rig.executor.claim(second, "learningcart") is not None


@ON_SQLITE
def test_second_run_is_sent_at_once_when_the_first_has_ended(rig: Rig) -> None:
    first, second = sell_bundle(rig)
    rig.dispatcher.sent.clear()
    rig.work(first)
    assert rig.dispatcher.sent == [second]


@pytest.mark.parametrize("made", [True, False])
def test_lane_stays_shut_when_an_outcome_is_unknown(rig: Rig, *, made: bool) -> None:
    first, second = sell_bundle(rig)
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut", when="after" if made else "before"))
    rig.work(first)
    assert rig.state(first) == ("waiting", "settling")
    rig.clock.move(SETTLE_SECONDS - 0.001)
    assert second not in rig.sweep()
    assert rig.executor.claim(second, "learningcart") is None
    rig.clock.move(0.001)
    assert rig.executor.claim(second, "learningcart") is not None


@ON_SQLITE
def test_lane_stays_shut_until_the_outcome_has_settled_when_it_is_asked_about(rig: Rig) -> None:
    """The settle time counts from the first prompt answer, and so does the lane."""
    first, second = sell_bundle(rig)
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut", when="before"))
    rig.sandbox.inject(Fault("learningcart", "getOrdersByDate", kind="status", status=500, times=2))
    rig.work(first)
    for _ in range(3):
        rig.clock.move_to(rig.run(first)["next_attempt_at"])
        assert rig.executor.claim(second, "learningcart") is None
        assert second not in rig.sweep()
        rig.work(first)
    rig.clock.move(SETTLE_SECONDS - 0.001)
    assert rig.executor.claim(second, "learningcart") is None
    rig.finish()
    assert [rig.state(run_id) for run_id in (first, second)] == [("succeeded", None)] * 2


@ON_SQLITE
def test_lane_stays_shut_when_a_holder_vanished_during_a_call(rig: Rig) -> None:
    first, second = sell_bundle(rig)
    held = rig.claim_before_order(first)
    rig.executor._recorder.commit_intent(held, held.steps[-1], "cb-" + "a" * 20)
    rig.clock.move(LEASE_SECONDS)
    assert rig.sweep() == [first]
    rig.clock.move(SETTLE_SECONDS - 0.001)
    assert rig.executor.claim(second, "learningcart") is None
    rig.clock.move(0.001)
    assert rig.executor.claim(second, "learningcart") is not None


@ON_SQLITE
def test_lane_is_open_when_the_first_run_only_waits_for_its_retry(rig: Rig) -> None:
    first, second = sell_bundle(rig)
    rig.sandbox.inject(Fault("learningcart", "addCustomer", kind="status", status=429, headers={"Retry-After": "900"}))
    rig.work(first)
    assert rig.state(first) == ("waiting", "retrying")
    rig.work(second)
    assert rig.state(second) == ("succeeded", None)


@ON_SQLITE
def test_lane_is_open_when_the_first_run_is_in_review(rig: Rig) -> None:
    rig.sandbox.config.learningcart.echo_comments = False
    first, second = sell_bundle(rig)
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut"))
    rig.finish()
    assert rig.state(first) == ("review", "outcome_unprovable")
    assert rig.state(second) == ("succeeded", None)
    assert len(rig.comped_orders) == 2


def test_one_customer_is_made_when_many_workers_take_one_learners_runs_at_once(rig: Rig, new_rig: NewRig) -> None:
    """Two `addCustomer` for one new email at the same time would make two customers."""
    rig.sandbox.config.learningcart.customer_gap_seconds = 0.05
    run_ids = [rig.enrol(7001 + number) for number in range(6)]
    workers = [rig, new_rig(clock=rig.clock)]
    start = threading.Barrier(len(run_ids))

    def work(number: int) -> None:
        start.wait(60)
        workers[number % 2].work(run_ids[number])

    with ThreadPoolExecutor(len(run_ids)) as pool:
        list(pool.map(work, range(len(run_ids))))
    rig.finish()
    assert [rig.state(run_id) for run_id in run_ids] == [("succeeded", None)] * 6
    assert len(rig.sandbox.learningcart.customers) == 1
    assert len(rig.comped_orders) == 6


@pytest.mark.integration
@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_index_decides_when_two_claims_each_see_the_lane_free(rig: Rig) -> None:
    first, second = sell_bundle(rig)

    def waits_for_a_lock() -> bool:
        with rig.ledger.read() as connection:
            return bool(connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    with ThreadPoolExecutor(1) as pool:
        with rig.ledger.write() as connection:
            claims.claim_run(
                connection, first, system="learningcart", holder="one", now=rig.clock(), lease_seconds=LEASE_SECONDS
            )
            claimed = pool.submit(rig.executor.claim, second, "learningcart")
            wait_until(lambda: claimed.done() or waits_for_a_lock())
        assert claimed.result(20) is None
    assert [rig.run(run_id)["state"] for run_id in (first, second)] == ["running", "pending"]


def test_run_is_worked_once_when_many_messages_about_it_arrive_at_once(rig: Rig, new_rig: NewRig) -> None:
    run_id = rig.enrol()
    workers = [rig, new_rig(clock=rig.clock)]
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait(60)
        workers[number % 2].work(run_id)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert rig.state(run_id) == ("succeeded", None)
    assert rig.run(run_id)["fence"] == 1
    assert rig.count("addCompOrder") == rig.count("addCustomer") == 1


def test_ten_learners_are_served_at_once_when_each_has_a_worker(new_rig: NewRig) -> None:
    rig = new_rig(CARTBRIDGE_LEARNINGCART__READ_TIMEOUT_SECONDS="20")
    run_ids = [rig.enrol(7001 + number, email=f"learner-{number}@example.test") for number in range(10)]
    together = threading.Barrier(10)
    client = rig.runtime.clients["learningcart"]
    real = client.add_customer

    def all_are_here(*arguments: object, **options: object) -> object:
        together.wait(60)  # breaks unless all ten are under way at the same time
        return real(*arguments, **options)

    client.add_customer = all_are_here
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(rig.work, run_ids))
    assert [rig.state(run_id) for run_id in run_ids] == [("succeeded", None)] * 10
    assert rig.count("requestToken") == 1


def test_sweep_sends_each_run_once_when_beats_are_doubled(rig: Rig, new_rig: NewRig) -> None:
    run_ids = [rig.enrol(7001 + number, email=f"learner-{number}@example.test") for number in range(10)]
    beats = [rig, new_rig(clock=rig.clock)]
    for each in beats:
        each.dispatcher.sent.clear()
    start = threading.Barrier(2)

    def beat(number: int) -> None:
        start.wait(60)
        beats[number].sweep()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(beat, range(2)))
    assert sorted(beats[0].dispatcher.sent + beats[1].dispatcher.sent) == sorted(run_ids)
