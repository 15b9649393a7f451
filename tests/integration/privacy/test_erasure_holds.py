"""Who was forgotten stays forgotten: no edit at the source, no late payment and no restored copy brings them back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.privacy.forgetting import LATER, everything, finish, forget_one, seats, states
from tests.unit.workflows.fakes.storefront import JANE, JOHN, NOW, a_line, an_order, record, rows
from worker.ledger.follow_on import completions as completion_rows
from worker.ledger.session import Ledger
from worker.ledger.tables.follow_on import completions
from worker.ledger.tables.runs import orders, runs
from worker.ledger.tables.subscriptions import subscriptions
from worker.reasons import Reason
from worker.sources.order import Learner, Payment, Seat
from worker.sources.subscription import Access, Subscription
from workflows.follow_on.completion_progress import Progress
from workflows.follow_on.completions import record_progress
from workflows.recording.subscription_status import DEFAULT_RULES, record_subscription

# Edits at the source


def test_nobody_comes_back_when_the_order_is_edited_at_its_source(ledger: Ledger) -> None:
    record(ledger, an_order(lines=[a_line(seats=seats(JANE, JOHN))]))
    finish(ledger)
    forget_one(ledger)
    other = Learner(email=JANE.email, first_name="Janet", last_name="Doherty")
    edits = [
        an_order(lines=[a_line(seats=seats(other, JOHN))]),
        an_order(status="completed", lines=[a_line(seats=seats(JANE, JOHN))]),
        an_order(lines=[a_line(seats=[*seats(JANE, JOHN), Seat(id="participant-9", learner=JANE)])]),
        an_order(lines=[a_line(seats=seats(Learner(email="jane.new@example.test"), JOHN))]),
    ]
    for number, edit in enumerate(edits, start=1):
        record(ledger, edit, now=NOW + timedelta(hours=number), polled=True)
    assert "jane" not in everything(ledger)
    assert "doherty" not in everything(ledger)
    assert JOHN.email in everything(ledger)


def test_order_is_no_news_to_a_poll_when_it_is_seen_again(ledger: Ledger) -> None:
    order = an_order()
    record(ledger, order)
    finish(ledger)
    forget_one(ledger)
    for hours in (1, 2):
        recorded = record(ledger, order, now=NOW + timedelta(hours=hours), polled=True)
        assert (recorded.changed, recorded.plan.actions) == (False, ())
    (row,) = rows(ledger, orders)
    assert row.polled_hash == row.content_hash  # as before they were forgotten: the poll goes no deeper for it


def test_order_is_a_review_when_it_is_paid_after_its_learner_was_forgotten(ledger: Ledger) -> None:
    record(ledger, an_order(payment=Payment.WAITING))
    forget_one(ledger)
    assert states(ledger) == []
    record(ledger, an_order(), now=LATER)
    assert states(ledger) == [("review", Reason.LEARNER_ERASED)]
    assert "jane" not in everything(ledger)


def test_older_order_is_a_review_when_it_is_seen_for_the_first_time_afterwards(ledger: Ledger) -> None:
    record(ledger, an_order())
    finish(ledger)
    forget_one(ledger)
    record(ledger, an_order("1050"), now=LATER)
    assert states(ledger)[1:] == [("review", Reason.LEARNER_ERASED)]
    assert "jane" not in everything(ledger)


@pytest.mark.parametrize("order_id", ["1110", "new-1"])
def test_order_is_provisioned_when_it_was_made_after_its_learner_was_forgotten(ledger: Ledger, order_id: str) -> None:
    record(ledger, an_order())
    finish(ledger)
    forget_one(ledger)
    record(ledger, an_order(created_at=LATER).model_copy(update={"id": order_id}), now=LATER)
    assert states(ledger)[1:] == [("pending", None)]
    assert JANE.email in {row.email for row in rows(ledger, runs)}


def test_order_is_a_review_when_its_id_is_new_and_its_date_is_old(ledger: Ledger) -> None:
    record(ledger, an_order())
    finish(ledger)
    forget_one(ledger)
    record(ledger, an_order("1200", created_at=NOW - timedelta(days=3)), now=LATER)
    assert states(ledger)[-1][1] in {Reason.LEARNER_ERASED, Reason.OLDER_THAN_START}
    assert "jane" not in everything(ledger)


def test_others_are_as_before_when_their_address_only_folds_alike(ledger: Ledger) -> None:
    twin = Learner(email="strasse@example.test", first_name="Tess", last_name="Twin")
    one = Learner(email="straße@example.test", first_name="Otto", last_name="One")
    record(ledger, an_order(learner=one))
    record(ledger, an_order("1110", learner=twin))
    finish(ledger)
    forget_one(ledger, one.email)
    record(ledger, an_order("1110", learner=twin, status="edited"), now=LATER)
    record(ledger, an_order("1111", learner=twin, created_at=NOW - timedelta(hours=1)), now=LATER)
    assert "otto" not in everything(ledger)
    assert [row.email for row in rows(ledger, runs)].count(twin.email) == 2


def test_buyer_of_a_subscription_stays_forgotten_when_it_is_read_again(ledger: Ledger) -> None:
    record(ledger, an_order())
    bought = Subscription(source="studiocart", id="9", access=Access.LIVE, buyer_email=JANE.email, product_id="1107")
    with ledger.write() as connection:
        record_subscription(connection, bought, DEFAULT_RULES, fetched_at=NOW, now=NOW)
    finish(ledger)
    forget_one(ledger)
    with ledger.write() as connection:
        changed = bought.model_copy(update={"status": "paused", "access": Access.PAUSED})
        record_subscription(connection, changed, DEFAULT_RULES, fetched_at=LATER, now=LATER)
    (row,) = rows(ledger, subscriptions)
    assert (row.buyer_email_key, row.status) == ("", "paused")


def test_learner_stays_forgotten_when_learningcart_tells_of_another_course(ledger: Ledger) -> None:
    record(ledger, an_order())
    finish(ledger)
    forget_one(ledger)
    state = completion_rows.CompletionState.COMPLETED
    reported = Progress(key="5/78/-", state=state, customer_id="5", course_id="78", email=JANE.email, name="Jane Doe")
    followed: list[str] = []
    with ledger.write() as connection:
        record_progress(
            connection,
            [reported],
            now=LATER,
            sends_events=True,
            follow=lambda _, found, *rest, **more: followed.append(found),
        )
    assert "jane" not in everything(ledger)
    assert followed == []
    assert len(rows(ledger, completions)) == 1


def test_place_stays_empty_when_its_learner_was_forgotten_before_there_were_tombstones(ledger: Ledger) -> None:
    """The migration finds the places by the pseudonyms that stand in orders; nobody knows the address any more."""
    record(ledger, an_order())
    finish(ledger)
    forget_one(ledger)
    with ledger.write() as connection:
        connection.exec_driver_sql("UPDATE erasures SET digest = NULL, key_id = NULL")
    record(ledger, an_order(learner=Learner(email=JANE.email, first_name="Janet")), now=LATER)
    assert "jane" not in everything(ledger)
