from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.unit.workflows.fakes.reconciled_world import (
    SEAT,
    SINCE,
    STEP,
    FakeCart,
    Find,
    intend,
    only,
    plan,
    provide,
    sentences,
    succeed,
)
from tests.unit.workflows.fakes.storefront import (
    JANE,
    JOHN,
    NOW,
    FakeSource,
    an_order,
    put_run,
    record,
    rows,
    run_of,
)
from worker.errors import ApiTimeoutError
from worker.ledger import keys
from worker.ledger.runs import recoveries
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.runs import attempts, events, runs, steps
from workflows.reconcile.reconciler import Reconciler


def test_an_effect_is_gone_only_when_learningcart_says_so(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    run_id = provide(ledger, source, cart)
    cart.hidden.add(90001)
    assert find().findings == []
    cart.lookups_broken = ApiTimeoutError("too slow")
    assert only(find()).kind == "unchecked"
    cart.lookups_broken = None
    del cart.orders[90001]
    finding = only(find())
    assert (finding.kind, finding.cause, finding.effect_ids) == ("missing", "effect_gone", ("90001",))
    reason = '"order 90001 was deleted"'
    assert finding.command == f"cartbridge replay {run_id} --from-step {STEP} --again --reason {reason}"


@pytest.mark.parametrize("claimed", ["90077", "0", "A-1", "٣"])
def test_an_effect_was_never_made_when_learningcart_never_told_of_it(
    ledger: Ledger, source: FakeSource, find: Find, claimed: str
) -> None:
    plan(ledger, source)
    succeed(ledger, claimed)
    finding = only(find())
    assert (finding.cause, finding.effect_ids) == ("effect_never_made", (claimed,))


def test_lookups_stop_when_they_fail_one_after_the_other(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    for number in range(1, 7):
        order = an_order(str(number))
        source.put(order)
        record(ledger, order)
        succeed(ledger, str(90000 + number), f"{number}/1107/buyer/501")
    cart.lookups_broken = ApiTimeoutError("too slow")
    found = find()
    assert sentences(found) == [("unchecked", "not_checked")] * 4
    assert found.findings[-1].sentence.startswith("3 further runs could not be checked")
    assert len(cart.asked) == 3


def test_an_effect_is_unknown_when_no_run_has_its_reference(cart: FakeCart, source: FakeSource, find: Find) -> None:
    lost, nameless = keys.reference("a", STEP, 0), keys.reference("b", STEP, 0)
    cart.make(90001, f"{lost} studiocart order 1109")
    source.put(an_order())
    found = find()
    assert sentences(found) == [("extra", "unknown_reference"), ("missing", "order_not_ingested")]
    assert (found.findings[0].order_id, found.findings[0].command) == ("1109", "cartbridge why studiocart/1109")
    assert (found.findings[1].is_safe_to_fix, found.findings[1].command) == (
        False,
        "cartbridge recover --since TIME_OF_THE_COPY",
    )
    source.put(an_order("1110"))
    cart.orders.clear()
    cart.make(90002, nameless)
    found = find()
    assert (found.findings[0].order_id, found.findings[0].source) == (None, None)
    assert found.findings[0].command == "cartbridge reconcile --since 2026-02-18T12:00Z"
    assert [finding.is_safe_to_fix for finding in found.findings] == [False, False, False]


def recover(ledger: Ledger, *, copied_at: datetime, recovered_at: datetime) -> None:
    with ledger.write() as connection:
        recoveries.add(
            connection,
            copied_at=copied_at,
            recovered_at=recovered_at,
            settled_at=recovered_at,
            steps_asked=[STEP],
            actor="operator:ann",
            reason=None,
        )


@pytest.mark.parametrize(
    ("made_at", "is_explained"),
    [
        (NOW - timedelta(days=8), False),
        (NOW - timedelta(days=6), True),
        (NOW - timedelta(days=3), True),
        (NOW - timedelta(hours=1), False),
        (None, True),
    ],
)
def test_an_unknown_effect_is_no_sign_of_a_restore_when_a_recovery_explains_it(
    ledger: Ledger, cart: FakeCart, find: Find, made_at: datetime | None, *, is_explained: bool
) -> None:
    recover(ledger, copied_at=NOW - timedelta(days=6), recovered_at=NOW - timedelta(days=3))
    made = cart.make(90001, keys.reference("a", STEP, 0), at=made_at or NOW)
    cart.orders[90001] = made.model_copy(update={"ordered_at": made_at})
    assert only(find()).is_sign_of_restore is not is_explained


def test_an_unknown_effect_is_accounted_for_when_a_run_was_resolved_with_it(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    plan(ledger, source)
    cart.make(90001, keys.reference("lost", STEP, 0))
    succeed(ledger, "90001")
    assert find().findings == []


@pytest.mark.parametrize(
    "case",
    [
        (RunState.REVIEW, "unknown", ["landed_effect"]),
        (RunState.FAILED, "unknown", ["landed_effect"]),
        (RunState.CANCELLED, "retryable", ["landed_effect"]),
        (RunState.WAITING, "retryable", ["landed_effect"]),
        (RunState.WAITING, "unknown", []),  # it asks by itself
        (RunState.PENDING, "unknown", []),
        (RunState.RUNNING, "unknown", []),
    ],
)
def test_a_landed_effect_is_told_when_its_run_does_not_find_it_itself(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find, case: tuple[RunState, str, list[str]]
) -> None:
    state, outcome, expected = case
    plan(ledger, source)
    cart.make(90001, intend(ledger, outcome=outcome))
    put_run(ledger, SEAT, state)
    assert [finding.cause for finding in find().findings] == expected


def test_the_older_is_the_effect_when_two_orders_carry_one_reference(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find, reconciler: Reconciler
) -> None:
    run_id = plan(ledger, source)
    reference = intend(ledger, outcome="unknown")
    put_run(ledger, SEAT, RunState.REVIEW, reason="outcome_unknown")
    for order_id in (90002, 90001):
        cart.make(order_id, f"{reference} studiocart order 1109")
    found = find()
    assert [(each.cause, each.effect_ids) for each in found.findings] == [
        ("landed_effect", ("90001",)),
        ("second_effect", ("90002",)),
    ]
    reconciler.fix(found, actor="operator:ann", reason="phone call")
    assert [each.is_settled for each in found.findings] == [True, False]
    run = run_of(ledger, SEAT)
    assert (run.state, run.result_id) == ("succeeded", "90001")
    (review,) = rows(ledger, runs, runs.c.workflow == "revocation")
    assert (review.reason, review.result_id, review.parent_id) == ("duplicate_effect", "90002", run_id)
    fixed = rows(ledger, events, events.c.kind == "reconcile_fixed")
    assert [(row.actor, row.reason, row.run_id) for row in fixed] == [("operator:ann", "phone call", run_id)] * 2
    again = find()
    assert sentences(again) == [("duplicate", "duplicate_open")]
    reconciler.fix(again, actor="operator:ann")
    assert len(rows(ledger, runs)) == 2
    put_run(ledger, f"{SEAT}/duplicate/90002", RunState.SUCCEEDED)
    assert find().findings == []


def test_an_effect_of_an_earlier_generation_is_a_second_one_when_it_landed_late(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find, reconciler: Reconciler
) -> None:
    plan(ledger, source)
    cart.make(90001, intend(ledger, outcome="unknown"))
    put_run(ledger, SEAT, RunState.WAITING, generation=1)
    found = find()
    assert sentences(found) == [("duplicate", "second_effect")]
    reconciler.fix(found, actor="operator:ann")
    assert run_of(ledger, f"{SEAT}/duplicate/90001").state == "review"
    assert run_of(ledger, SEAT).state == "waiting"


def test_a_cancelled_run_keeps_its_effect_when_a_second_is_found(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find, reconciler: Reconciler
) -> None:
    plan(ledger, source)
    cart.make(90001, intend(ledger, outcome="retryable"))
    put_run(ledger, SEAT, RunState.CANCELLED, reason="refunded_by_source", cancelled_by="source", result_id="90000")
    reconciler.fix(find(), actor="operator:ann")
    assert run_of(ledger, SEAT).result_id == "90000"
    assert run_of(ledger, f"{SEAT}/duplicate/90001").state == "review"


def test_a_cancelled_run_asks_for_its_access_back_when_its_effect_landed(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find, reconciler: Reconciler
) -> None:
    plan(ledger, source)
    cart.make(90001, intend(ledger, outcome="retryable"))
    put_run(ledger, SEAT, RunState.CANCELLED, reason="refunded_by_source", cancelled_by="source")
    found = find()
    reconciler.fix(found, actor="operator:ann")
    assert (only(found).is_settled, run_of(ledger, SEAT).result_id) == (False, "90001")
    assert run_of(ledger, f"{SEAT}/revoke").reason == "refunded_after_provisioning"


def test_the_run_is_left_as_it_is_when_it_has_learned_of_the_effect_meanwhile(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find, reconciler: Reconciler
) -> None:
    plan(ledger, source)
    cart.make(90001, intend(ledger, outcome="unknown"))
    put_run(ledger, SEAT, RunState.REVIEW)
    found = find()
    succeed(ledger, "90001")
    reconciler.fix(found, actor="operator:ann")
    assert only(found).is_settled
    assert rows(ledger, events, events.c.kind == "late_answer") == []


def test_a_running_run_is_told_of_the_effect_when_it_was_taken_meanwhile(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find, reconciler: Reconciler
) -> None:
    plan(ledger, source)
    cart.make(90001, intend(ledger, outcome="unknown"))
    put_run(ledger, SEAT, RunState.REVIEW)
    found = find()
    put_run(ledger, SEAT, RunState.RUNNING)
    reconciler.fix(found, actor="operator:ann")
    assert (only(found).is_settled, only(found).done) == (
        True,
        "noted: the run adopts it when it goes on, and sends nothing",
    )
    (event,) = rows(ledger, events, events.c.kind == "late_answer")
    assert (event.detail["result_id"], event.detail["generation"]) == ("90001", 0)


def test_it_is_said_so_when_the_run_of_an_effect_is_gone(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find, reconciler: Reconciler
) -> None:
    plan(ledger, source)
    cart.make(90001, intend(ledger, outcome="unknown"))
    put_run(ledger, SEAT, RunState.REVIEW)
    found = find()
    with ledger.write() as connection:
        for table in (attempts, steps, runs):
            connection.execute(table.delete())
    reconciler.fix(found, actor="operator:ann")
    assert (only(found).is_settled, only(found).done) == (False, "its run is not in the ledger any more")


def test_a_reference_is_recognised_when_its_request_is_older_than_the_window(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    plan(ledger, source)
    reference = intend(ledger, outcome="unknown")
    put_run(ledger, SEAT, RunState.REVIEW)
    with ledger.write() as connection:
        connection.execute(attempts.update().values(started_at=SINCE - timedelta(days=40)))
    cart.make(90001, reference)
    assert [finding.cause for finding in find().findings] == ["landed_effect"]


def test_a_gift_given_twice_is_a_question_when_one_was_made_by_hand(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    run_id = provide(ledger, source, cart)
    cart.make(90002, "by phone", email="JANE@example.test")
    finding = only(find())
    assert (finding.kind, finding.cause, finding.effect_ids) == ("duplicate", "handmade_twin", ("90001", "90002"))
    assert (finding.run_id, finding.order_id) == (run_id, "1109")
    assert "orders 90001 and 90002 give one customer the same thing, and 90002 was made by hand" in finding.sentence
    assert "jane" not in str(finding.shape()).lower()


@pytest.mark.parametrize(
    "other",
    [{"email": "john@example.test"}, {"product": "Another"}, {"total": 10.0}, {"email": None}, {"product": ""}],
)
def test_nothing_is_asked_when_two_gifts_differ(cart: FakeCart, find: Find, other: dict[str, Any]) -> None:
    cart.make(90001)
    cart.make(90002, **other)
    assert find().findings == []


def test_nothing_is_asked_when_the_ledger_accounts_for_both(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    provide(ledger, source, cart)
    plan(ledger, source, an_order("1110"))
    succeed(ledger, "90002", "1110/1107/buyer/501")
    cart.make(90002)
    assert find().findings == []


def test_a_list_without_customers_is_filled_up_when_the_order_tells_more(
    cart: FakeCart, find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = cart.make(90001, email=None)
    cart.make(90002)
    whole = cart.make(90001, email="jane@example.test")
    monkeypatch.setattr(cart, "get_orders_by_date", lambda *_: [bare, cart.orders[90002]])
    assert only(find()).cause == "handmade_twin"
    assert cart.asked == [whole.order_id] * len(cart.asked)


def test_an_unnamed_email_is_no_match_when_the_customers_are_known_by_id(cart: FakeCart, find: Find) -> None:
    cart.make(90001, email="")
    cart.make(90002, email="")
    cart.make(90003, email="")
    finding = only(find())
    assert "90001, 90002 and 90003 were made by hand" in finding.sentence
    assert finding.command.startswith("cartbridge reconcile --since ")


def test_learners_are_told_apart_when_two_bought_the_same(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    for number, learner in (("1", JANE), ("2", JOHN)):
        plan(ledger, source, an_order(number, learner=learner))
        cart.make(90000 + int(number), email=learner.email)
        succeed(ledger, str(90000 + int(number)), f"{number}/1107/buyer/501")
    assert find().findings == []
