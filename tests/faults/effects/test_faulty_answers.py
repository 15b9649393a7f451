"""Whatever goes wrong with an answer, on either side of the effect: one comped order, and the ledger knows which."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

import pytest

from tests.faults.harness.deployment import SETTLE_SECONDS
from tests.faults.harness.impatience import LONG_SECONDS
from tests.faults.harness.product import MAX_ATTEMPTS, ON_SQLITE, Rig
from tests.faults.harness.waiting import wait_until
from worker.sandbox import Fault

pytestmark = pytest.mark.faults

BROKEN_ANSWERS: dict[str, dict[str, Any]] = {
    "hang": {"kind": "hang"},
    "cut": {"kind": "cut"},
    "closed": {"kind": "cut", "reset": False},
    "half_answer": {"kind": "half_answer"},
    "html": {"kind": "html"},
    "empty": {"kind": "empty"},
    "dribble": {"kind": "dribble", "seconds": 0.05},
    "slow": {"kind": "slow", "seconds": 2 * LONG_SECONDS},
    "500": {"kind": "status", "status": 500},
    "502": {"kind": "status", "status": 502},
    "503": {"kind": "status", "status": 503, "headers": {"Retry-After": "2"}},
    "408": {"kind": "status", "status": 408},
    "302": {"kind": "status", "status": 302, "headers": {"Location": "/elsewhere"}},
    "425_page": {"kind": "status", "status": 425},
    "429_page": {"kind": "status", "status": 429, "headers": {"Retry-After": "3"}},
}
NEEDS_THE_ANSWER = {"dribble", "slow", "half_answer"}
"""These are carried out by their nature."""
REFUSALS: dict[str, dict[str, Any]] = {
    "429": {"kind": "status", "status": 429, "body": '{"Message": "Too many requests"}'},
    "425": {"kind": "status", "status": 425, "body": '{"Message": "Too early"}'},
}
SIDES: tuple[tuple[str, Literal["before", "after"]], ...] = tuple(
    (name, "after") for name in sorted(BROKEN_ANSWERS)
) + tuple((name, "before") for name in ("cut", "html", "500", "503", *sorted(REFUSALS)))
SAFE_OPERATIONS = ("requestToken", "addCustomer", "addCustomerToGroup")


def fault(name: str, operation: str, when: Literal["before", "after"], **more: Any) -> Fault:
    options = (BROKEN_ANSWERS | REFUSALS)[name] | more
    side = None if name in NEEDS_THE_ANSWER else when
    return Fault(system="learningcart", operation=operation, when=side, **options)


def assert_provisioned_once(rig: Rig, run_id: str) -> None:
    assert rig.state(run_id) == ("succeeded", None)
    (effect,) = rig.comped_orders
    assert rig.run(run_id)["result_id"] == str(effect.facts["order_id"])
    assert len(rig.sandbox.learningcart.customers) == 1
    assert list(rig.sandbox.learningcart.groups) == [12]
    assert rig.reviews() == []
    assert all(row["outcome"] is not None for row in rig.rows("attempts"))


def test_order_is_provisioned_when_nothing_goes_wrong(rig: Rig) -> None:
    run_id = rig.enrol()
    rig.finish()
    assert_provisioned_once(rig, run_id)
    assert rig.count("getOrdersByDate") == 0


@pytest.mark.parametrize("name", BROKEN_ANSWERS)
def test_order_is_adopted_when_it_was_made_and_its_answer_was_lost(rig: Rig, name: str) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(fault(name, "addCompOrder", "after"))
    rig.finish()
    assert_provisioned_once(rig, run_id)
    assert rig.outcomes(run_id) == [("call", "unknown"), ("lookup", "adopted")]
    assert rig.count("addCompOrder") == 1


@ON_SQLITE
@pytest.mark.parametrize("name", sorted(BROKEN_ANSWERS.keys() - NEEDS_THE_ANSWER))
def test_order_is_sent_again_when_its_absence_was_proven(rig: Rig, name: str) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(fault(name, "addCompOrder", "before"))
    rig.finish()
    assert_provisioned_once(rig, run_id)
    assert rig.outcomes(run_id) == [("call", "unknown"), ("lookup", "absent"), ("call", "ok")]


@ON_SQLITE
@pytest.mark.parametrize("name", REFUSALS)
def test_order_is_sent_again_unasked_when_it_was_refused_for_its_rate(rig: Rig, name: str) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(fault(name, "addCompOrder", "before"))
    rig.finish()
    assert_provisioned_once(rig, run_id)
    assert rig.outcomes(run_id) == [("call", "retryable"), ("call", "ok")]
    assert rig.count("getOrdersByDate") == 0


@ON_SQLITE
@pytest.mark.parametrize("operation", SAFE_OPERATIONS)
@pytest.mark.parametrize(("name", "when"), SIDES)
def test_safe_call_is_repeated_when_its_answer_is_broken(
    rig: Rig, name: str, when: Literal["before", "after"], operation: str
) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(fault(name, operation, when))
    rig.finish()
    assert_provisioned_once(rig, run_id)
    assert rig.sandbox.faults_hit == 1
    assert rig.count("addCompOrder") == 1


@ON_SQLITE
@pytest.mark.parametrize("name", ["hang", "half_answer", "html", "empty", "500", "302", "429_page"])
def test_lookup_is_repeated_and_not_counted_when_its_answer_is_broken(rig: Rig, name: str) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(
        fault("cut", "addCompOrder", "after"), fault(name, "getOrdersByDate", "after", times=MAX_ATTEMPTS + 1)
    )
    rig.finish()
    assert_provisioned_once(rig, run_id)
    outcomes = rig.outcomes(run_id)
    assert outcomes == [
        ("call", "unknown"),
        *[("lookup", "retryable")] * (MAX_ATTEMPTS + 1),
        ("lookup", "adopted"),
    ]
    (step,) = [row for row in rig.rows("steps") if row["name"] == "add_comped_order"]
    assert step["counted"] == 1


@ON_SQLITE
@pytest.mark.parametrize("operation", [*SAFE_OPERATIONS, "addCompOrder"])
def test_server_is_left_alone_when_it_says_for_how_long(rig: Rig, operation: str) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(fault("429_page", operation, "before", headers={"Retry-After": "600"}))
    rig.go_on()
    state = rig.run(run_id)
    # A page that may come from anywhere does not prove that no order was made.
    reason = "settling" if operation == "addCompOrder" else "retrying"
    assert (state["state"], state["reason"]) == ("waiting", reason)
    assert state["next_attempt_at"] == rig.clock() + timedelta(seconds=600)
    rig.finish()
    assert_provisioned_once(rig, run_id)


def test_order_waits_the_longer_of_settle_time_and_wish_when_503_says_when(rig: Rig) -> None:
    """The server's own wish does not shorten the settle time, and where it is longer it is honoured."""
    run_id = rig.enrol()
    rig.sandbox.inject(fault("503", "addCompOrder", "before", headers={"Retry-After": "600"}))
    rig.go_on()
    assert rig.run(run_id)["next_attempt_at"] >= rig.clock() + timedelta(seconds=600)
    rig.finish()
    assert_provisioned_once(rig, run_id)


@ON_SQLITE
@pytest.mark.parametrize("form", ["json", "xml"])
@pytest.mark.parametrize("wrap", ["d", "result", "bare"])
@pytest.mark.parametrize("keys", ["spaced", "joined"])
def test_order_is_adopted_when_answers_have_another_shape(rig: Rig, form: Any, wrap: Any, keys: Any) -> None:
    config = rig.sandbox.config.learningcart
    config.form, config.wrap, config.keys = form, wrap, keys
    config.dates = "iso" if keys == "joined" else "wcf_offset"
    run_id = rig.enrol()
    rig.sandbox.inject(fault("cut", "addCompOrder", "after"))
    rig.finish()
    assert_provisioned_once(rig, run_id)
    assert rig.outcomes(run_id)[-1] == ("lookup", "adopted")


@ON_SQLITE
@pytest.mark.parametrize("offset_minutes", [-720, 0, 840])
def test_order_is_adopted_when_the_site_is_in_another_time_zone(rig: Rig, offset_minutes: int) -> None:
    rig.sandbox.config.learningcart.utc_offset_minutes = offset_minutes
    run_id = rig.enrol()
    rig.sandbox.inject(fault("cut", "addCompOrder", "after"))
    rig.finish()
    assert_provisioned_once(rig, run_id)
    assert rig.outcomes(run_id)[-1] == ("lookup", "adopted")


@ON_SQLITE
@pytest.mark.parametrize("refusal", ["401", "403", "200", "500"])
@pytest.mark.parametrize("operation", ["addCustomer", "addCustomerToGroup", "addCompOrder", "getOrdersByDate"])
def test_order_is_made_once_when_a_token_is_refused(rig: Rig, operation: str, refusal: Any) -> None:
    """A refused token is renewed once, in the call where its refusal can be told from a failure, else in the next."""
    rig.sandbox.config.learningcart.refusal = refusal
    run_id = rig.enrol()
    if operation == "getOrdersByDate":
        rig.sandbox.inject(fault("cut", "addCompOrder", "after"))
        rig.go_on()
        rig.sandbox.learningcart.revoke_tokens()
    else:
        held = rig.claim(run_id)
        while (step := held.next_step) is not None:
            if (
                step.name
                == {
                    "addCustomer": "add_customer",
                    "addCustomerToGroup": "add_customer_to_group",
                    "addCompOrder": "add_comped_order",
                }[operation]
            ):
                rig.sandbox.learningcart.revoke_tokens()
            if not rig.perform(held):
                break
    rig.finish()
    assert_provisioned_once(rig, run_id)
    assert rig.rows("pauses") == []


@ON_SQLITE
def test_every_order_is_made_once_when_tokens_expire_all_the_time(rig: Rig) -> None:
    """Before each call, the unsafe one too: it is refused, asks for a token, and is sent once more."""
    expire = rig.sandbox.learningcart.revoke_tokens
    run_ids = [rig.enrol(7001 + number, email=f"learner-{number}@example.test") for number in range(5)]
    for run_id in run_ids:
        expire()
        rig.after_call("add_customer", expire)
        rig.after_call("add_customer_to_group", expire)
        rig.work(run_id)
    rig.finish()
    assert [rig.state(run_id) for run_id in run_ids] == [("succeeded", None)] * 5
    assert len(rig.comped_orders) == 5


def test_run_fails_when_the_call_is_refused(rig: Rig) -> None:
    rig.sandbox.config.learningcart.prices = frozenset({1})
    run_id = rig.enrol()
    rig.finish()
    assert rig.state(run_id) == ("failed", "refused")
    assert "PriceID 501 is not valid" in rig.run(run_id)["note"]
    assert rig.outcomes(run_id) == [("call", "final")]
    assert rig.count("addCompOrder") == 1


@ON_SQLITE
def test_run_fails_when_the_group_says_false(rig: Rig) -> None:
    rig.sandbox.config.learningcart.groups = frozenset({99})
    run_id = rig.enrol()
    rig.finish()
    assert rig.state(run_id) == ("failed", "refused")
    assert rig.comped_orders == []


@ON_SQLITE
def test_failed_run_goes_on_where_it_stood_when_it_is_replayed(rig: Rig) -> None:
    rig.sandbox.config.learningcart.prices = frozenset({1})
    run_id = rig.enrol()
    rig.finish()
    rig.sandbox.config.learningcart.prices = None
    assert rig.runtime.operations.replay(run_id, actor="operator:test").result == "replayed"
    rig.finish()
    assert_provisioned_once(rig, run_id)
    assert rig.count("addCustomer") == 1


@ON_SQLITE
@pytest.mark.parametrize("operation", [each for each in SAFE_OPERATIONS if each != "requestToken"])
def test_run_fails_at_the_cap_when_a_safe_call_never_works(rig: Rig, operation: str) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(fault("500", operation, "before", times=None))
    rig.finish()
    assert rig.state(run_id) == ("failed", "attempts_spent")
    assert rig.comped_orders == []
    (failing,) = (step for step in rig.rows("steps") if step["counted"] == MAX_ATTEMPTS)
    # Of this step: on a crowded machine another may have been too slow once.
    spent = [row for row in rig.rows("attempts") if (row["step"], row["outcome"]) == (failing["name"], "retryable")]
    assert len(spent) == MAX_ATTEMPTS


@ON_SQLITE
def test_settle_time_passes_before_absence_is_proven_when_an_outcome_is_unknown(rig: Rig) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(fault("cut", "addCompOrder", "before"))
    rig.go_on()
    assert rig.state(run_id) == ("waiting", "settling")
    rig.clock.move_to(rig.run(run_id)["next_attempt_at"])
    rig.go_on()
    asked_at = rig.clock()
    assert rig.run(run_id)["next_attempt_at"] == asked_at + timedelta(seconds=SETTLE_SECONDS)
    rig.clock.move(SETTLE_SECONDS - 0.001)
    rig.go_on()
    rig.work(run_id)  # a message that comes too early does nothing
    assert (rig.count("getOrdersByDate"), rig.count("addCompOrder")) == (1, 1)
    rig.clock.move(0.001)
    rig.go_on()
    assert (rig.count("getOrdersByDate"), rig.count("addCompOrder")) == (2, 2)
    assert_provisioned_once(rig, run_id)


@ON_SQLITE
def test_order_is_adopted_when_it_was_made_late_but_within_the_settle_time(rig: Rig) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="late", seconds=0.05))
    rig.go_on()
    wait_until(lambda: len(rig.comped_orders) == 1)
    rig.finish()
    assert_provisioned_once(rig, run_id)
    assert rig.outcomes(run_id)[-1] == ("lookup", "adopted")


@pytest.mark.parametrize("status", [401, 403, 404])
@ON_SQLITE
def test_order_is_made_once_when_a_page_for_people_hides_that_it_was_made(rig: Rig, status: int) -> None:
    """Something between us and LearningCart may put its own page in place of the answer, whatever its status."""
    run_id = rig.enrol()
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="status", status=status, when="after"))
    rig.go_on()
    rig.runtime.operations.resume("learningcart", actor="operator:test")
    rig.finish()
    if rig.run(run_id)["state"] == "failed":
        rig.runtime.operations.replay(run_id, actor="operator:test")
        rig.finish()
    assert len(rig.comped_orders) == 1
