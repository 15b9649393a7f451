from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.unit.workflows.fakes.storefront import (
    JANE,
    NOW,
    START,
    a_line,
    a_seat,
    an_order,
    offers,
    record,
    rows,
    run_of,
    states,
)
from worker.ledger.orders import order_rows
from worker.ledger.session import Ledger
from worker.ledger.states import Actor, DeliveryState, RunState, Via
from worker.ledger.tables.runs import cursors, deliveries, events, learners, order_versions, orders, runs, steps
from worker.sources.order import Payment, Seat
from workflows.planning.offers import Offers
from workflows.recording.order_recording import Look, preview, record_order
from workflows.recording.source_start import DEFAULT_START_BEFORE_CONTACT, note_contact

SEAT = "1109/1107/buyer/501"
GROUPS = '[[offer]]\nsource = "studiocart"\nproduct_id = "1107"\ngrants = [{ price_id = 501, group_ids = [13, 14] }]\n'


def a_delivery(ledger: Ledger, *, order_id: str = "1109", via: Via = Via.WEBHOOK) -> str:
    with ledger.write() as connection:
        return order_rows.insert_delivery(
            connection, source="studiocart", order_id=order_id, via=via, actor=Actor.SOURCE, now=NOW
        )


def test_run_is_ready_with_its_steps_when_an_order_is_paid(ledger: Ledger) -> None:
    recorded = record(ledger, an_order())
    run = run_of(ledger, SEAT)
    assert recorded.ready == recorded.created == [run.id]
    assert (run.state, run.workflow, run.email, run.generation) == (RunState.PENDING, "enrolment", JANE.email, 0)
    assert run.next_attempt_at == NOW
    assert run.grant == {"price_id": 501, "group_ids": [12]}
    assert [(step.position, step.name, step.state) for step in rows(ledger, steps)] == [
        (0, "add_customer", "pending"),
        (1, "add_customer_to_group", "pending"),
        (2, "add_comped_order", "pending"),
    ]


def test_placeholder_has_no_steps_and_is_not_ready_when_it_is_made(ledger: Ledger) -> None:
    recorded = record(ledger, an_order(), rules=Offers())
    assert (len(recorded.created), recorded.ready) == (1, [])
    assert rows(ledger, steps) == []
    assert run_of(ledger, "1109/1107/buyer/unmapped").next_attempt_at is None


def test_order_is_written_whole_when_it_is_new(ledger: Ledger) -> None:
    order = an_order()
    record(ledger, order, fetched_at=NOW - timedelta(seconds=2))
    (row,) = rows(ledger, orders)
    assert (row.state, row.reason, row.version, row.payment) == ("planned", None, 1, "paid")
    assert (row.total_minor_units, row.currency, row.buyer_email_key) == (500, "INR", JANE.email)
    assert (row.created_at, row.first_seen_at, row.fetched_at) == (order.created_at, NOW, NOW - timedelta(seconds=2))
    with ledger.read() as connection:
        assert order_rows.load_order(connection, "studiocart", "1109") == order.model_copy(update={"raw": {}})
    (version,) = rows(ledger, order_versions)
    assert version.raw == {"id": 1109}


def test_nothing_is_done_twice_when_the_same_order_comes_again(ledger: Ledger) -> None:
    record(ledger, an_order())
    trail = len(rows(ledger, events))
    again = record(ledger, an_order(), now=NOW + timedelta(seconds=5))
    assert (again.changed, again.created, again.ready, again.plan.actions) == (False, [], [], ())
    assert len(rows(ledger, runs)) == len(rows(ledger, order_versions)) == 1
    assert len(rows(ledger, events)) == trail


def test_run_is_one_when_the_order_arrives_twenty_times_at_once(ledger: Ledger) -> None:
    ids = [a_delivery(ledger) for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda delivery_id: record(ledger, an_order(), delivery_ids=(delivery_id,)), ids))
    assert [len(each.created) for each in found].count(1) == 1
    assert len(rows(ledger, runs)) == len(rows(ledger, orders)) == len(rows(ledger, learners)) == 1
    arrived = rows(ledger, deliveries)
    assert {row.state for row in arrived} == {DeliveryState.PLANNED}
    assert [row.duplicate for row in arrived].count(False) == 1


def test_trail_names_the_delivery_and_the_actor_when_a_run_is_made(ledger: Ledger) -> None:
    delivery_id = a_delivery(ledger)
    record(ledger, an_order(), delivery_ids=(delivery_id,), actor="operator:ann")
    kinds = {row.kind: (row.actor, row.delivery_id) for row in rows(ledger, events)}
    assert kinds == {"run_planned": ("operator:ann", delivery_id), "order_planned": ("operator:ann", delivery_id)}
    assert run_of(ledger, SEAT).delivery_id == delivery_id


# Versions and older news


def test_version_is_added_when_the_content_changes(ledger: Ledger) -> None:
    record(ledger, an_order(payment=Payment.WAITING))
    recorded = record(ledger, an_order(), now=NOW + timedelta(minutes=1))
    assert recorded.changed
    assert [row.number for row in rows(ledger, order_versions)] == [1, 2]
    assert states(ledger) == {SEAT: ("pending", None)}


def test_answer_is_older_news_when_a_later_request_was_answered_first(ledger: Ledger) -> None:
    record(ledger, an_order(), fetched_at=NOW)
    delivery_id = a_delivery(ledger)
    earlier = NOW - timedelta(seconds=1)
    late = record(ledger, an_order(payment=Payment.CANCELLED), fetched_at=earlier, delivery_ids=(delivery_id,))
    assert (late.stale, late.changed, late.plan.actions) == (True, False, ())
    (order,) = rows(ledger, orders)
    assert (order.payment, order.version, order.fetched_at) == ("paid", 1, NOW)
    assert states(ledger) == {SEAT: ("pending", None)}
    (delivery,) = rows(ledger, deliveries)
    assert (delivery.state, delivery.duplicate) == (DeliveryState.PLANNED, True)


def test_answer_counts_when_it_confirms_what_is_recorded(ledger: Ledger) -> None:
    record(ledger, an_order(), fetched_at=NOW)
    same = record(ledger, an_order(), fetched_at=NOW - timedelta(seconds=1))
    assert (same.stale, same.changed) == (False, False)
    record(ledger, an_order(), fetched_at=NOW + timedelta(seconds=9))
    assert rows(ledger, orders)[0].fetched_at == NOW + timedelta(seconds=9)


def test_answer_is_older_news_when_the_same_content_was_confirmed_since(ledger: Ledger) -> None:
    record(ledger, an_order(), fetched_at=NOW)
    record(ledger, an_order(), fetched_at=NOW + timedelta(seconds=9))
    late = record(ledger, an_order(payment=Payment.REFUNDED), fetched_at=NOW + timedelta(seconds=5))
    assert late.stale


def test_answer_is_news_when_what_is_recorded_is_from_a_clock_that_was_ahead(ledger: Ledger) -> None:
    record(ledger, an_order(payment=Payment.WAITING), now=NOW + timedelta(days=400))
    paid = record(ledger, an_order(), now=NOW + timedelta(minutes=5))
    assert (paid.stale, states(ledger)) == (False, {SEAT: ("pending", None)})
    refunded = an_order(payment=Payment.REFUNDED)
    assert record(ledger, refunded, now=NOW + timedelta(minutes=9), fetched_at=NOW + timedelta(minutes=4)).stale


def test_polled_hash_is_kept_only_when_a_poll_saw_the_order(ledger: Ledger) -> None:
    record(ledger, an_order())
    assert rows(ledger, orders)[0].polled_hash is None
    record(ledger, an_order(), polled=True)
    assert rows(ledger, orders)[0].polled_hash == order_rows.content_hash(an_order())


def test_order_is_news_to_the_next_poll_when_a_hint_brought_other_content_than_the_last_poll_saw(
    ledger: Ledger,
) -> None:
    record(ledger, an_order(), polled=True)
    record(ledger, an_order(payment=Payment.REFUNDED), now=NOW + timedelta(minutes=1))
    assert rows(ledger, orders)[0].polled_hash is None  # paid again, it would look to a poll as it did before
    record(ledger, an_order(payment=Payment.REFUNDED), now=NOW + timedelta(minutes=2), polled=True)
    assert rows(ledger, orders)[0].polled_hash == order_rows.content_hash(an_order(payment=Payment.REFUNDED))


def test_renewal_is_kept_when_only_a_later_look_can_tell(ledger: Ledger) -> None:
    record(ledger, an_order(), rules=Offers())
    record(ledger, an_order(renewal=True, subscription_id="1108"), rules=Offers())
    with ledger.read() as connection:
        stored = order_rows.load_order(connection, "studiocart", "1109")
    assert stored is not None
    assert (stored.renewal, stored.subscription_id) == (True, "1108")
    assert rows(ledger, orders)[0].renewal
    assert len(rows(ledger, order_versions)) == 1
    record(ledger, an_order())
    assert rows(ledger, orders)[0].renewal


# The source's start


def test_start_is_a_day_before_the_first_contact_when_none_is_configured(ledger: Ledger) -> None:
    record(ledger, an_order(created_at=NOW - timedelta(hours=23)), start_at=None)
    record(ledger, an_order("1110", created_at=NOW - timedelta(hours=25)), start_at=None, now=NOW + timedelta(days=2))
    (cursor,) = rows(ledger, cursors)
    assert (cursor.first_contact_at, cursor.start_at) == (NOW, NOW - DEFAULT_START_BEFORE_CONTACT)
    assert states(ledger) == {
        SEAT: ("pending", None),
        "1110/1107/buyer/501": ("review", "older_than_start"),
    }


def test_configured_start_takes_the_place_of_the_one_before_when_it_comes_later(ledger: Ledger) -> None:
    with ledger.write() as connection:
        note_contact(connection, "studiocart", now=NOW, start_at=None)
        row = note_contact(connection, "studiocart", now=NOW + timedelta(days=1), start_at=START - timedelta(days=9))
        assert (row.start_at, row.first_contact_at) == (START - timedelta(days=9), NOW)
        row = note_contact(connection, "studiocart", now=NOW + timedelta(days=2), start_at=None)
        assert row.start_at == START - timedelta(days=9)


def test_mark_of_before_the_start_is_kept_when_the_first_sweep_ignores_an_order(ledger: Ledger) -> None:
    old = an_order(created_at=START - timedelta(days=3))
    recorded = record(ledger, old, baseline=True)
    assert recorded.created == []
    (row,) = rows(ledger, orders)
    assert (row.state, row.reason, row.before_start) == ("ignored", "before_start", True)
    record(ledger, old.model_copy(update={"status": "completed"}), now=NOW + timedelta(days=1))
    assert rows(ledger, runs) == []
    record(ledger, old, now=NOW + timedelta(days=2), manual=True)
    assert states(ledger) == {SEAT: ("review", "older_than_start")}


def test_older_order_is_provisioned_when_the_operator_sets_a_start_of_his_own(ledger: Ledger) -> None:
    old = START - timedelta(days=3)
    record(ledger, an_order(created_at=old), baseline=True)
    record(ledger, an_order(created_at=old), manual=True, start_at=START, now=NOW + timedelta(minutes=1))
    assert states(ledger) == {SEAT: ("review", "older_than_start")}
    backfilled = an_order("1110", created_at=old)
    record(ledger, backfilled, baseline=True)
    with ledger.write() as connection:
        since = Look(fetched_at=NOW, manual=True, start_at=old)
        record_order(connection, backfilled, offers(), since, now=NOW, start_at=START)
    assert states(ledger)["1110/1107/buyer/501"] == ("pending", None)


# Deliveries


def test_deliveries_are_finished_and_the_first_is_the_news_when_one_look_answers_several(ledger: Ledger) -> None:
    ids = tuple(a_delivery(ledger) for _ in range(3))
    record(ledger, an_order(), delivery_ids=ids)
    found = {row.id: (row.state, row.duplicate, row.finished_at) for row in rows(ledger, deliveries)}
    assert found == {
        ids[0]: ("planned", False, NOW),
        ids[1]: ("planned", True, NOW),
        ids[2]: ("planned", True, NOW),
    }


def test_delivery_in_review_is_settled_when_the_order_is_found_after_all(ledger: Ledger) -> None:
    stuck = a_delivery(ledger)
    with ledger.write() as connection:
        order_rows.release_deliveries(
            connection, [stuck], state=DeliveryState.REVIEW, reason="order_not_found", now=NOW
        )
    other = a_delivery(ledger, order_id="1110")
    record(ledger, an_order())
    found = {row.id: (row.state, row.reason) for row in rows(ledger, deliveries)}
    assert found == {stuck: ("planned", "settled_by_source"), other: ("received", None)}


# Preview


def test_preview_tells_the_plan_and_writes_nothing(ledger: Ledger) -> None:
    look = Look(fetched_at=NOW, manual=True)
    with ledger.read() as connection:
        found = preview(connection, an_order(), offers(), look, start_at=START)
    assert len(found.actions) == 1
    assert rows(ledger, orders) == rows(ledger, cursors) == []
    assert found.actions == record(ledger, an_order(), manual=True).plan.actions
    with ledger.read() as connection:
        assert preview(connection, an_order(), offers(), look, start_at=START).actions == ()


def test_one_seat_in_two_orders_is_two_runs_when_the_learner_is_the_same(ledger: Ledger) -> None:
    record(ledger, an_order())
    record(ledger, an_order("1110"))
    assert len(states(ledger)) == 2


def test_nothing_is_written_when_the_transaction_fails_in_the_middle(ledger: Ledger) -> None:
    named = an_order(lines=[a_line(seats=[a_seat(), Seat(id="seat-2", hold="no such reason")])])
    with pytest.raises(ValueError, match="no such reason"):
        record(ledger, named)
    with ledger.read() as connection:
        assert connection.execute(select(orders)).all() == connection.execute(select(runs)).all() == []
