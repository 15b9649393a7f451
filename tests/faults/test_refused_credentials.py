"""Refused credentials: the destination is paused, runs wait, nothing fails, and `resume` lets everything through."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.faults.rig import MAX_ATTEMPTS, NewRig, Rig
from worker.sandbox import Fault

pytestmark = pytest.mark.faults

ON_SQLITE = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
EVERY_FORM = pytest.mark.parametrize("refusal", ["401", "403", "200"])


def rotate_password(rig: Rig) -> None:
    """Somebody changed the password at LearningCart and told nobody."""
    rig.sandbox.config.learningcart.password = "sandbox-password-rotated"
    rig.sandbox.learningcart.revoke_tokens()


def restore_password(rig: Rig) -> None:
    rig.sandbox.config.learningcart.password = rig.settings.learningcart.password.get_secret_value()  # type: ignore[union-attr]


@EVERY_FORM
def test_every_run_waits_and_none_fails_when_the_password_was_rotated(rig: Rig, refusal: Any) -> None:
    rig.sandbox.config.learningcart.refusal = refusal
    run_ids = [rig.enrol(7001 + number, email=f"learner-{number}@example.test") for number in range(4)]
    rotate_password(rig)
    for _ in range(5):
        rig.go_on()
        rig.clock.move(3600)
    assert {row["state"] for row in rig.rows("runs")} <= {"waiting", "pending"}
    (pause,) = rig.rows("pauses")
    assert (pause["system"], pause["kind"], pause["actor"]) == ("learningcart", "authentication", "engine")
    assert rig.count("requestToken") <= 2
    restore_password(rig)
    rig.runtime.operations.resume("learningcart", actor="operator:test")
    rig.finish()
    assert [rig.state(run_id) for run_id in run_ids] == [("succeeded", None)] * 4
    assert len(rig.comped_orders) == 4
    assert all(row["counted"] == (row["name"] == "add_comped_order") for row in rig.rows("steps"))


@ON_SQLITE
def test_no_run_fails_when_a_rotated_password_is_refused_by_the_servers_own_500_page(rig: Rig) -> None:
    """WCF's page hides the refusal in a 500; a rotated password must not fail every order in this form either."""
    rig.sandbox.config.learningcart.refusal = "500"
    run_id = rig.enrol()
    rotate_password(rig)
    for _ in range(3 * MAX_ATTEMPTS):
        rig.go_on()
        rig.clock.move(3600)
    assert rig.state(run_id) == ("waiting", "retrying")
    restore_password(rig)
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)


@ON_SQLITE
def test_destination_is_paused_again_when_it_is_resumed_too_early(rig: Rig) -> None:
    run_id = rig.enrol()
    rotate_password(rig)
    rig.finish()
    rig.runtime.operations.resume("learningcart", actor="operator:test")
    rig.finish()
    assert len(rig.rows("pauses")) == 1
    assert rig.run(run_id)["state"] == "waiting"
    kinds = [row["kind"] for row in rig.rows("events") if row["system"] == "learningcart"]
    assert kinds == ["system_paused", "system_resumed", "system_paused"]


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("operation", ["addCustomer", "addCustomerToGroup", "addCompOrder"])
def test_run_waits_when_a_call_is_refused_also_with_a_fresh_token(rig: Rig, operation: str, status: int) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(
        Fault(
            "learningcart",
            operation,
            kind="status",
            status=status,
            times=None,
            body='{"Message": "You may not do that"}',
        )
    )
    rig.go_on()
    assert rig.state(run_id) == ("waiting", "authentication")
    assert rig.count(operation) == 2
    assert rig.count("requestToken") == 2
    assert len(rig.rows("pauses")) == 1
    assert rig.sweep() == []
    assert rig.executor.claim(run_id, "learningcart") is None
    rig.sandbox.clear_faults()
    rig.runtime.operations.resume("learningcart", actor="operator:test")
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)
    assert len(rig.comped_orders) == 1
    assert rig.count("getOrdersByDate") == 0


@ON_SQLITE
def test_outcome_stays_open_when_the_lookup_is_refused(rig: Rig) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut"))
    rig.go_on()
    rotate_password(rig)
    rig.finish()
    assert rig.state(run_id) == ("waiting", "authentication")
    restore_password(rig)
    rig.runtime.operations.resume("learningcart", actor="operator:test")
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)
    assert len(rig.comped_orders) == 1
    assert rig.outcomes(run_id)[-1] == ("lookup", "adopted")


def test_destination_is_paused_once_when_many_workers_find_out_at_the_same_moment(rig: Rig, new_rig: NewRig) -> None:
    run_ids = [rig.enrol(7001 + number, email=f"learner-{number}@example.test") for number in range(8)]
    workers = [rig, new_rig(clock=rig.clock)]
    rotate_password(rig)
    together = threading.Barrier(8)
    for worker in workers:
        ready = worker.runtime.clients["learningcart"].ready

        def all_find_out(*arguments: object, _ready: Any = ready, **options: object) -> None:
            try:
                _ready(*arguments, **options)
            finally:
                together.wait(60)

        worker.runtime.clients["learningcart"].ready = all_find_out
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: workers[number % 2].work(run_ids[number]), range(8)))
    assert [rig.state(run_id) for run_id in run_ids] == [("waiting", "authentication")] * 8
    assert len(rig.rows("pauses")) == 1
    assert [row["kind"] for row in rig.rows("events")].count("system_paused") == 1


@ON_SQLITE
def test_run_ends_and_none_begins_when_an_operator_pauses(rig: Rig) -> None:
    first, second = rig.enrol(7001), rig.enrol(7002, email="other@example.test")
    rig.after_call("add_customer", lambda: rig.runtime.operations.pause("learningcart", actor="operator:test"))
    rig.work(first)
    rig.work(second)
    assert rig.state(first) == ("succeeded", None)
    assert rig.state(second) == ("pending", None)
    rig.runtime.operations.resume("learningcart", actor="operator:test")
    rig.finish()
    assert rig.state(second) == ("succeeded", None)
