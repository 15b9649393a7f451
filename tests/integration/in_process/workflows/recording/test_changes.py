from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.workflows.fakes.storefront import (
    JANE,
    JOHN,
    NOW,
    START,
    Clock,
    a_line,
    an_order,
    offers,
    open_effect,
    put_run,
    record,
    rows,
    run_of,
    states,
)
from worker.errors import IllegalTransitionError
from worker.ledger.session import Ledger
from worker.ledger.states import OrderState, RunState, StepState
from worker.ledger.tables.runs import events, learners, orders, runs, steps
from worker.reasons import Reason
from worker.sources.order import Payment, Seat
from workflows.planning import planner
from workflows.planning.model import Cancel, Plan, RequestCancel, Revive, Situation
from workflows.recording.order_recording import Look, record_order

SEAT = "1109/1107/buyer/501"
GROUPS = '[[offer]]\nsource = "studiocart"\nproduct_id = "1107"\ngrants = [{ price_id = 501, group_ids = [13, 14] }]\n'


def test_run_is_provisioned_once_when_the_order_is_cancelled_and_paid_again(ledger: Ledger, clock: Clock) -> None:
    first = record(ledger, an_order())
    record(ledger, an_order(payment=Payment.CANCELLED), now=clock.advance(minutes=1))
    row = run_of(ledger, SEAT)
    assert (row.state, row.reason, row.cancelled_by) == ("cancelled", "cancelled_by_source", "source")
    assert (row.finished_at, row.next_attempt_at) == (clock.now, None)
    again = record(ledger, an_order(), now=clock.advance(minutes=1))
    row = run_of(ledger, SEAT)
    assert again.ready == first.ready == [row.id]
    assert (row.state, row.reason, row.cancelled_by, row.finished_at) == ("pending", None, None, None)
    assert row.next_attempt_at == clock.now


def test_attempts_are_counted_anew_when_a_cancelled_run_is_revived(ledger: Ledger, clock: Clock) -> None:
    record(ledger, an_order())
    put_run(ledger, SEAT, RunState.FAILED)
    with ledger.write() as connection:
        connection.execute(steps.update().where(steps.c.position == 0).values(counted=12))
        connection.execute(steps.update().where(steps.c.position == 1).values(state=StepState.DONE, counted=1))
    record(ledger, an_order(payment=Payment.CANCELLED), now=clock.advance(minutes=1))
    record(ledger, an_order(), now=clock.advance(minutes=1))
    assert [(step.state, step.counted) for step in rows(ledger, steps)][:2] == [("pending", 0), ("done", 1)]


def test_cancellation_is_only_asked_for_when_the_effect_is_open(ledger: Ledger, clock: Clock) -> None:
    record(ledger, an_order())
    open_effect(ledger, SEAT, outcome="unknown")
    put_run(ledger, SEAT, RunState.WAITING)
    record(ledger, an_order(payment=Payment.REFUNDED), now=clock.advance(minutes=1))
    row = run_of(ledger, SEAT)
    assert (row.state, row.cancel_reason) == ("waiting", "refunded_by_source")
    record(ledger, an_order(), now=clock.advance(minutes=1))
    row = run_of(ledger, SEAT)
    assert (row.state, row.cancel_reason) == ("waiting", None)
    assert [row.kind for row in rows(ledger, events, events.c.run_id == row.id)] == [
        "run_planned",
        "cancel_requested",
        "cancel_withdrawn",
    ]


def test_succeeded_run_is_untouched_when_the_order_is_refunded(ledger: Ledger, clock: Clock) -> None:
    record(ledger, an_order())
    put_run(ledger, SEAT, RunState.SUCCEEDED, result_id="7001")
    before = run_of(ledger, SEAT)
    refunded = an_order(payment=Payment.REFUNDED)
    record(ledger, refunded, now=clock.advance(minutes=1))
    assert run_of(ledger, SEAT) == before
    revocation = run_of(ledger, f"{SEAT}/revoke")
    assert (revocation.state, revocation.workflow, revocation.parent_id) == ("review", "revocation", before.id)
    record(ledger, an_order(), now=clock.advance(minutes=1))
    assert states(ledger)[f"{SEAT}/revoke"] == ("cancelled", "settled_by_source")
    record(ledger, refunded, now=clock.advance(minutes=1))
    assert states(ledger)[f"{SEAT}/revoke"] == ("review", "refunded_after_provisioning")


def test_learner_lane_and_steps_are_new_when_the_email_is_corrected(ledger: Ledger, clock: Clock) -> None:
    record(ledger, an_order())
    with ledger.write() as connection:
        done = {"state": StepState.DONE, "output": {"customer_id": 1}, "counted": 3}
        connection.execute(steps.update().where(steps.c.position == 0).values(**done))
    before = run_of(ledger, SEAT)
    record(ledger, an_order(learner=JOHN), now=clock.advance(minutes=1))
    row = run_of(ledger, SEAT)
    assert (row.email, row.email_key, row.learner["first_name"]) == (JOHN.email, JOHN.email, "John")
    assert row.lane != before.lane
    assert [(step.state, step.output, step.counted) for step in rows(ledger, steps)] == [("pending", None, 0)] * 3


def test_failed_run_starts_over_when_the_source_corrects_its_learner(ledger: Ledger, clock: Clock) -> None:
    record(ledger, an_order())
    put_run(ledger, SEAT, RunState.FAILED, reason="refused", note="refused", finished_at=NOW)
    recorded = record(ledger, an_order(learner=JOHN), now=clock.advance(minutes=1))
    row = run_of(ledger, SEAT)
    assert (row.state, row.reason, row.email) == ("pending", None, JOHN.email)
    assert (row.finished_at, row.next_attempt_at) == (None, clock.now)
    assert recorded.ready == [row.id]


def test_held_run_stays_in_review_when_the_source_corrects_its_learner(ledger: Ledger, clock: Clock) -> None:
    record(ledger, an_order(created_at=START - timedelta(days=3)))
    corrected = an_order(created_at=START - timedelta(days=3), learner=JOHN)
    assert record(ledger, corrected, now=clock.advance(minutes=1)).ready == []
    row = run_of(ledger, SEAT)
    assert (row.state, row.reason, row.email) == ("review", "older_than_start", JOHN.email)


def test_revived_run_follows_the_learner_when_the_order_came_back_with_another(ledger: Ledger, clock: Clock) -> None:
    record(ledger, an_order())
    record(ledger, an_order(payment=Payment.CANCELLED), now=clock.advance(minutes=1))
    record(ledger, an_order(learner=JOHN), now=clock.advance(minutes=1))
    row = run_of(ledger, SEAT)
    assert (row.state, row.email) == ("pending", JOHN.email)


def test_steps_follow_the_groups_when_a_replan_changes_them(ledger: Ledger, clock: Clock) -> None:
    record(ledger, an_order())
    record(ledger, an_order(), rules=offers(GROUPS), now=clock.advance(minutes=1))
    assert run_of(ledger, SEAT).grant["group_ids"] == [12]
    record(ledger, an_order(), rules=offers(GROUPS), now=clock.advance(minutes=1), replan=True)
    assert run_of(ledger, SEAT).grant["group_ids"] == [13, 14]
    assert [step.name for step in rows(ledger, steps)] == [
        "add_customer",
        "add_customer_to_group",
        "add_customer_to_group_2",
        "add_comped_order",
    ]


def test_groups_follow_when_a_replan_revives_a_run(ledger: Ledger, clock: Clock) -> None:
    record(ledger, an_order())
    put_run(ledger, SEAT, RunState.CANCELLED, cancelled_by="operator")
    recorded = record(ledger, an_order(), rules=offers(GROUPS), now=clock.advance(minutes=1), replan=True)
    row = run_of(ledger, SEAT)
    assert (row.state, row.grant["group_ids"], recorded.ready) == ("pending", [13, 14], [row.id])
    assert len(rows(ledger, steps)) == 4


def test_failed_run_starts_over_when_a_replan_changes_learner_and_groups(ledger: Ledger, clock: Clock) -> None:
    record(ledger, an_order())
    put_run(ledger, SEAT, RunState.FAILED, reason="refused", finished_at=NOW)
    recorded = record(ledger, an_order(learner=JOHN), rules=offers(GROUPS), now=clock.advance(minutes=1), replan=True)
    row = run_of(ledger, SEAT)
    assert (row.state, row.email, row.grant["group_ids"]) == ("pending", JOHN.email, [13, 14])
    assert (recorded.refused, recorded.ready) == ([], [row.id])


def test_lane_is_shared_when_two_orders_are_for_one_learner(ledger: Ledger) -> None:
    record(ledger, an_order())
    record(ledger, an_order("1110", learner=JANE.model_copy(update={"email": " JANE@Example.test"})))
    assert len({row.lane for row in rows(ledger, runs)}) == 1
    assert "@" not in rows(ledger, runs)[0].lane


def test_learners_are_one_each_when_an_order_names_several(ledger: Ledger) -> None:
    people = [JOHN, JANE, JOHN, JANE.model_copy(update={"email": "JANE@example.test"})]
    seats = [Seat(id=f"participant-{number}", learner=learner) for number, learner in enumerate(people)]
    record(ledger, an_order(lines=[a_line(seats=seats)]))
    assert {row.email_key for row in rows(ledger, learners)} == {JANE.email, JOHN.email}
    assert len({row.lane for row in rows(ledger, runs)}) == 2


def test_lane_is_its_own_when_a_seat_is_nameless(ledger: Ledger) -> None:
    record(ledger, an_order(quantity=3))
    assert len({row.lane for row in rows(ledger, runs)}) == 3


def test_change_is_looked_at_again_when_the_run_is_being_worked_on(ledger: Ledger, clock: Clock) -> None:
    record(ledger, an_order())
    put_run(ledger, SEAT, RunState.RUNNING, fence=1)
    record(ledger, an_order(learner=JOHN), now=clock.advance(minutes=1))
    assert rows(ledger, orders)[0].replan_at == clock.now + timedelta(seconds=15)
    assert run_of(ledger, SEAT).email == JANE.email
    put_run(ledger, SEAT, RunState.WAITING, fence=1)
    record(ledger, an_order(learner=JOHN), now=clock.advance(minutes=1))
    assert rows(ledger, orders)[0].replan_at is None
    assert run_of(ledger, SEAT).email == JOHN.email


MOVES: dict[str, tuple[RunState, Cancel | Revive | RequestCancel]] = {
    "cancel": (RunState.PENDING, Cancel("", Reason.CANCELLED_BY_SOURCE)),
    "revive": (RunState.CANCELLED, Revive("")),
    "ask": (RunState.RUNNING, RequestCancel("", Reason.CANCELLED_BY_SOURCE)),
}


@pytest.mark.parametrize("move", list(MOVES))
@pytest.mark.parametrize("new", [{"state": RunState.WAITING, "fence": 7}, {"state": RunState.REVIEW}])
def test_move_is_refused_and_looked_at_again_when_the_run_changed_meanwhile(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, move: str, new: dict[str, object]
) -> None:
    record(ledger, an_order())
    state, action = MOVES[move]
    put_run(ledger, SEAT, state, cancelled_by="source" if state is RunState.CANCELLED else None)
    found = Plan(OrderState.CANCELLED, None, (replace(action, run_id=run_of(ledger, SEAT).id),))

    def plan_while_the_engine_works(*_given: object) -> Plan:
        connection.execute(runs.update().values(**new))
        return found

    monkeypatch.setattr(planner, "plan", plan_while_the_engine_works)
    later = NOW + timedelta(minutes=1)
    cancelled = an_order(payment=Payment.CANCELLED)
    with ledger.write() as connection:
        recorded = record_order(connection, cancelled, offers(), Look(fetched_at=later), now=later, start_at=START)
    assert recorded.refused == [run_of(ledger, SEAT).id]
    assert run_of(ledger, SEAT).state == new["state"]
    assert rows(ledger, orders)[0].replan_at == later + timedelta(seconds=15)


def test_run_is_left_when_another_made_it_meanwhile(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    record(ledger, an_order())
    found = planner.plan(an_order(), offers(), [], Situation())
    monkeypatch.setattr(planner, "plan", lambda *_: found)
    again = record(ledger, an_order(status="completed"), now=NOW + timedelta(minutes=1))
    assert (again.created, again.ready, len(rows(ledger, runs))) == ([], [], 1)


def test_transition_table_is_asked_when_a_plan_is_carried_out(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    record(ledger, an_order())
    put_run(ledger, SEAT, RunState.SUCCEEDED)
    wrong = Plan(OrderState.CANCELLED, None, (Cancel(run_of(ledger, SEAT).id, Reason.SUPERSEDED),))
    monkeypatch.setattr(planner, "plan", lambda *_: wrong)
    with pytest.raises(IllegalTransitionError):
        record(ledger, an_order(payment=Payment.CANCELLED), now=NOW + timedelta(minutes=1))
    assert rows(ledger, orders)[0].payment == "paid"
