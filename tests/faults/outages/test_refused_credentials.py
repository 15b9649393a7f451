"""Refused credentials: the destination is paused, runs wait, nothing fails, and `resume` lets everything through."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.faults.harness.product import MAX_ATTEMPTS, ON_SQLITE, NewRig, Rig
from worker.sandbox import Fault

pytestmark = pytest.mark.faults

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
def test_run_waits_when_everybody_is_refused_also_with_a_fresh_token(rig: Rig, operation: str, status: int) -> None:
    run_id = rig.enrol()
    for refused in (operation, "getOrdersByDate"):
        rig.sandbox.inject(
            Fault(
                "learningcart",
                refused,
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
    assert rig.count("getOrdersByDate") == 1


FIREWALL_PAGE = "<html><head><title>403</title></head><body>Blocked</body></html>"


@pytest.mark.parametrize("body", ['{"Message": "no"}', FIREWALL_PAGE], ids=["word", "page"])
@ON_SQLITE
def test_one_learner_is_in_review_and_the_others_go_on_when_a_firewall_stops_her_name(rig: Rig, body: str) -> None:
    run_ids = [rig.enrol(7001 + number, email=f"learner-{number}@example.test") for number in range(11)]
    match = {"Email": "learner-3@example.test"}
    rig.sandbox.inject(
        Fault("learningcart", "addCustomer", kind="status", status=403, times=None, body=body, match=match)
    )
    rig.finish()
    refused = run_ids.pop(3)
    assert rig.state(refused) == ("review", "request_refused")
    assert [rig.state(run_id) for run_id in run_ids] == [("succeeded", None)] * 10
    assert rig.rows("pauses") == []
    assert rig.count("addCustomer") == 12


@ON_SQLITE
def test_run_waits_and_nobody_is_paused_when_it_cannot_be_told_whose_refusal_it_is(rig: Rig) -> None:
    run_id = rig.enrol()
    no = '{"Message": "no"}'
    rig.sandbox.inject(Fault("learningcart", "addCustomer", kind="status", status=403, times=None, body=no))
    rig.sandbox.inject(Fault("learningcart", "getOrdersByDate", kind="status", status=503, times=None))
    for _ in range(3 * MAX_ATTEMPTS):
        rig.go_on()
        rig.clock.move(3600)
    assert rig.run(run_id)["state"] == "waiting"
    assert rig.rows("pauses") == []
    rig.sandbox.clear_faults()
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)


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


@pytest.mark.parametrize("operation", ["addCustomer", "addCustomerToGroup", "addCompOrder"])
@ON_SQLITE
def test_order_is_made_once_when_a_spent_token_without_lifetime_is_refused_by_an_error_page(
    rig: Rig, operation: str
) -> None:
    rig.sandbox.config.learningcart.token_dates = False
    rig.sandbox.config.learningcart.refusal = "400"
    method = {
        "addCustomer": "add_customer",
        "addCustomerToGroup": "add_customer_to_group",
        "addCompOrder": "add_comp_order",
    }[operation]
    run_id = rig.enrol()
    rig.before_call(method, rig.sandbox.learningcart.revoke_tokens)
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)
    assert len(rig.comped_orders) == 1
    assert rig.rows("pauses") == []


@ON_SQLITE
def test_run_waits_and_nothing_is_paused_when_an_error_page_answers_the_token_request(rig: Rig) -> None:
    rig.sandbox.config.learningcart.refusal = "400"
    run_id = rig.enrol()
    rotate_password(rig)
    for _ in range(3 * MAX_ATTEMPTS):
        rig.go_on()
        rig.clock.move(3600)
    assert rig.state(run_id) == ("waiting", "retrying")
    assert rig.rows("pauses") == []
    restore_password(rig)
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)
