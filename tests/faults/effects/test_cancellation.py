"""Cancelled, failed or refunded at the source: before the effect it ends the run, after it a person is asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.harness.deployment import LEASE_SECONDS, SETTLE_SECONDS
from tests.faults.harness.product import ON_SQLITE, Killed, NewRig, Rig, die
from worker.errors import IllegalTransitionError
from worker.sandbox import Fault

pytestmark = pytest.mark.faults

STATUSES = [
    ("canceled", "cancelled_by_source", "cancelled_after_provisioning"),
    ("failed", "cancelled_by_source", "cancelled_after_provisioning"),
    ("refunded", "refunded_by_source", "refunded_after_provisioning"),
]
EVERY_STATUS = pytest.mark.parametrize(
    ("ledger_url", "status", "before", "after"),
    [
        *(("sqlite", *status) for status in STATUSES),
        pytest.param("postgresql", *STATUSES[-1], marks=pytest.mark.integration),
    ],
    indirect=["ledger_url"],
)


def cancel(rig: Rig, status: str = "canceled") -> Callable[[], None]:
    """The source takes order 7001 back, and we hear of it."""

    def take_back() -> None:
        rig.sell(7001, status=status)
        rig.ingest(7001)

    return take_back


def pay_again(rig: Rig) -> None:
    rig.sell(7001, status="paid")
    rig.ingest(7001)


def assert_cancelled(rig: Rig, run_id: str, reason: str) -> None:
    assert rig.state(run_id) == ("cancelled", reason)
    assert rig.run(run_id)["cancelled_by"] == "source"
    assert rig.comped_orders == []
    assert rig.reviews() == []


def assert_asked(rig: Rig, run_id: str, reason: str) -> None:
    assert rig.state(run_id) == ("succeeded", None)
    (effect,) = rig.comped_orders
    (review,) = rig.reviews(about=run_id)
    assert (review["state"], review["reason"]) == ("review", reason)
    assert review["key"] == f"{rig.run(run_id)['key']}/revoke"
    assert rig.run(run_id)["result_id"] == str(effect.facts["order_id"])


@EVERY_STATUS
def test_run_is_cancelled_when_it_has_not_begun(rig: Rig, status: str, before: str, after: str) -> None:
    run_id = rig.enrol()
    cancel(rig, status)()
    rig.finish()
    assert_cancelled(rig, run_id, before)
    assert rig.count("addCustomer") == 0


@EVERY_STATUS
@pytest.mark.parametrize("method", ["add_customer", "add_customer_to_group"])
def test_run_is_cancelled_when_its_order_call_has_not_begun(
    rig: Rig, status: str, before: str, after: str, method: str
) -> None:
    run_id = rig.enrol()
    rig.after_call(method, cancel(rig, status))
    rig.work(run_id)
    assert_cancelled(rig, run_id, before)
    rig.finish()
    assert_cancelled(rig, run_id, before)


@EVERY_STATUS
def test_person_is_asked_when_it_is_taken_back_during_the_call(rig: Rig, status: str, before: str, after: str) -> None:
    run_id = rig.enrol()
    rig.after_call("add_comp_order", cancel(rig, status))
    rig.work(run_id)
    assert_asked(rig, run_id, after)
    cancel(rig, status)()
    rig.finish()
    assert_asked(rig, run_id, after)


@EVERY_STATUS
def test_person_is_asked_when_it_is_taken_back_afterwards(rig: Rig, status: str, before: str, after: str) -> None:
    run_id = rig.enrol()
    rig.finish()
    for _ in range(2):
        cancel(rig, status)()
    assert_asked(rig, run_id, after)


@EVERY_STATUS
@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("moment", ["during the call", "before it has settled"])
def test_lookup_decides_when_it_is_taken_back_while_the_outcome_is_unknown(
    rig: Rig, status: str, before: str, after: str, moment: str, *, made: bool
) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut", when="after" if made else "before"))
    if moment == "during the call":
        rig.after_call("add_comp_order", cancel(rig, status))
        rig.work(run_id)
    else:
        rig.work(run_id)
        cancel(rig, status)()
    assert rig.state(run_id) == ("waiting", "settling")
    rig.finish()
    assert rig.count("getOrdersByDate") == (1 if made else 2)
    assert rig.count("addCompOrder") == 1
    if made:
        assert_asked(rig, run_id, after)
    else:
        assert_cancelled(rig, run_id, before)


@ON_SQLITE
@pytest.mark.parametrize("made", [True, False])
def test_lookup_decides_when_it_is_taken_back_and_the_holder_vanished(rig: Rig, *, made: bool) -> None:
    run_id = rig.enrol()
    (rig.after_call if made else rig.before_call)("add_comp_order", die)
    with pytest.raises(Killed):
        rig.work(run_id)
    cancel(rig)()
    rig.finish()
    if made:
        assert_asked(rig, run_id, "cancelled_after_provisioning")
    else:
        assert_cancelled(rig, run_id, "cancelled_by_source")


@ON_SQLITE
def test_run_is_cancelled_when_the_holder_vanished_before_the_call(rig: Rig) -> None:
    run_id = rig.enrol()
    rig.claim(run_id)
    cancel(rig)()
    rig.finish()
    assert_cancelled(rig, run_id, "cancelled_by_source")
    assert rig.count("addCustomer") == 0


@ON_SQLITE
def test_person_is_asked_when_the_answer_comes_after_it_was_cancelled(rig: Rig, new_rig: NewRig) -> None:
    """Absence seemed proven, the run was cancelled, and then a frozen process thaws."""
    run_id = rig.enrol()
    slow = new_rig(clock=rig.clock, CARTBRIDGE_LEARNINGCART__READ_TIMEOUT_SECONDS="20")

    def overtaken() -> None:
        rig.clock.move(LEASE_SECONDS + SETTLE_SECONDS + 1)
        cancel(rig)()
        rig.finish()
        assert_cancelled(rig, run_id, "cancelled_by_source")

    slow.after_last_check("add_comp_order", overtaken)
    slow.work(run_id)
    assert rig.state(run_id) == ("cancelled", "cancelled_by_source")
    (review,) = rig.reviews(about=run_id)
    (effect,) = rig.comped_orders
    assert (review["state"], review["reason"]) == ("review", "cancelled_after_provisioning")
    assert review["result_id"] == str(effect.facts["order_id"])


@ON_SQLITE
def test_nothing_is_sent_again_when_it_is_paid_after_a_late_answer(rig: Rig, new_rig: NewRig) -> None:
    test_person_is_asked_when_the_answer_comes_after_it_was_cancelled(rig, new_rig)
    pay_again(rig)
    rig.finish()
    assert len(rig.comped_orders) == 1


@ON_SQLITE
def test_run_is_cancelled_when_the_call_under_way_is_refused(rig: Rig) -> None:
    rig.sandbox.config.learningcart.prices = frozenset({1})
    run_id = rig.enrol()
    rig.after_call("add_comp_order", cancel(rig))
    rig.work(run_id)
    assert_cancelled(rig, run_id, "cancelled_by_source")


@ON_SQLITE
@pytest.mark.parametrize("method", ["add_customer", "add_comp_order"])
def test_run_is_cancelled_when_the_call_under_way_must_be_tried_again(rig: Rig, method: str) -> None:
    operation = {"add_customer": "addCustomer", "add_comp_order": "addCompOrder"}[method]
    rig.sandbox.inject(Fault("learningcart", operation, kind="status", status=429, body="Too many requests"))
    run_id = rig.enrol()
    rig.after_call(method, cancel(rig))
    rig.work(run_id)
    assert_cancelled(rig, run_id, "cancelled_by_source")


def test_order_is_provisioned_once_when_it_is_paid_after_it_was_cancelled(rig: Rig) -> None:
    run_id = rig.enrol()
    cancel(rig)()
    rig.finish()
    assert_cancelled(rig, run_id, "cancelled_by_source")
    pay_again(rig)
    assert rig.state(run_id) == ("pending", None)
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)
    assert len(rig.comped_orders) == 1


@pytest.mark.parametrize("made", [True, False])
def test_order_is_provisioned_once_when_it_is_paid_again_before_the_lookup(rig: Rig, *, made: bool) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut", when="after" if made else "before"))
    rig.work(run_id)
    cancel(rig)()
    pay_again(rig)
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)
    assert len(rig.comped_orders) == 1
    assert rig.reviews() == []


@ON_SQLITE
def test_question_is_settled_when_it_is_paid_again_after_provisioning(rig: Rig) -> None:
    run_id = rig.enrol()
    rig.finish()
    cancel(rig)()
    pay_again(rig)
    rig.finish()
    (review,) = rig.reviews(about=run_id)
    assert (review["state"], review["reason"]) == ("cancelled", "settled_by_source")
    cancel(rig)()
    (review,) = rig.reviews(about=run_id)
    assert review["state"] == "review"
    assert len(rig.comped_orders) == 1


@ON_SQLITE
def test_run_stays_in_review_when_it_is_taken_back_and_nothing_can_be_proven(rig: Rig) -> None:
    rig.sandbox.config.learningcart.echo_comments = False
    run_id = rig.enrol()
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut"))
    rig.work(run_id)
    cancel(rig)()
    rig.finish()
    assert rig.state(run_id) == ("review", "outcome_unprovable")
    (effect,) = rig.comped_orders
    rig.runtime.operations.resolve(
        run_id, actor="operator:test", note="it is there", result_id=str(effect.facts["order_id"])
    )
    (review,) = rig.reviews(about=run_id)
    assert (review["state"], review["reason"]) == ("review", "cancelled_after_provisioning")


@ON_SQLITE
def test_cancellation_waits_when_an_unknown_outcome_is_in_review(rig: Rig) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut", when="after"))
    rig.sandbox.config.learningcart.echo_comments = False
    rig.finish()
    assert rig.state(run_id) == ("review", "outcome_unprovable")
    cancel(rig)()
    assert rig.state(run_id) == ("review", "outcome_unprovable")
    assert rig.run(run_id)["cancel_reason"] == "cancelled_by_source"


@ON_SQLITE
def test_person_is_asked_when_it_is_taken_back_and_two_effects_are_found(rig: Rig) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut"))
    rig.work(run_id)
    (effect,) = rig.comped_orders
    rig.sandbox.learningcart.add_order(effect.facts["customer_id"], 501, effect.facts["comments"])
    cancel(rig)()
    rig.finish()
    reasons = sorted(review["reason"] for review in rig.reviews(about=run_id))
    assert reasons == ["cancelled_after_provisioning", "duplicate_effect"]


@ON_SQLITE
def test_seat_is_cancelled_when_it_leaves_the_order_before_its_call(rig: Rig) -> None:
    run_id = rig.enrol()

    def other_product() -> None:
        rig.sell(7001, product_id="1130")
        rig.ingest(7001)

    rig.after_call("add_customer", other_product)
    rig.work(run_id)
    assert rig.state(run_id) == ("cancelled", "removed_from_order")


def test_order_is_provisioned_once_when_it_is_paid_again_during_the_lookup(rig: Rig) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut", when="before"))
    rig.work(run_id)
    cancel(rig)()
    rig.after_call("get_orders_by_date", lambda: pay_again(rig))
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)
    assert len(rig.comped_orders) == 1
    assert rig.reviews() == []


def repeat(rig: Rig) -> tuple[str, str]:
    """A run that gave access, and that an operator has repeated; with the order it made."""
    run_id = rig.enrol()
    rig.finish()
    (effect,) = rig.comped_orders
    repeated = rig.runtime.operations.replay(run_id, actor="operator:test", again=True, reason="she cannot see it")
    assert repeated.result == "replayed"
    return run_id, str(effect.facts["order_id"])


@EVERY_STATUS
@pytest.mark.parametrize("when", ["before the call", "during the call", "in review"])
def test_person_is_asked_of_what_was_given_before_when_a_repeated_run_is_taken_back(
    rig: Rig, status: str, before: str, after: str, when: str
) -> None:
    """No order was made the second time; the first one has not gone with it."""
    run_id, order_id = repeat(rig)
    if when != "before the call":
        rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="status", status=409, body='{"Message": "no"}'))
    if when == "during the call":
        rig.before_call("add_comp_order", cancel(rig, status))
        rig.finish()
    else:
        if when == "in review":
            rig.finish()
            assert rig.run(run_id)["state"] == "failed"
        cancel(rig, status)()
    assert rig.state(run_id) == ("cancelled", before)
    (review,) = rig.reviews(about=run_id)
    assert (review["state"], review["reason"], review["result_id"]) == ("review", after, order_id)
    assert len(rig.comped_orders) == 1


@ON_SQLITE
def test_a_repeated_run_is_not_cancelled_by_an_operator_but_left_at_what_it_gave(rig: Rig) -> None:
    run_id, order_id = repeat(rig)
    operations = rig.runtime.operations
    with pytest.raises(IllegalTransitionError, match=f"runs resolve {run_id} --order-id {order_id}"):
        operations.cancel(run_id, actor="operator:test")
    operations.resolve(run_id, actor="operator:test", note="she found it", result_id=order_id)
    cancel(rig, "refunded")()
    (review,) = rig.reviews(about=run_id)
    assert (review["reason"], review["result_id"]) == ("refunded_after_provisioning", None)
