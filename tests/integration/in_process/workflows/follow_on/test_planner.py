"""Which completed course leads to a follow-on run, for whom, and why another leads to none."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.integration.in_process.workflows.follow_on.test_completions import BEGAN_AT, completed, info, progress
from tests.unit.worker.ledger.rows import add_order
from tests.unit.workflows.fakes.storefront import JANE, NOW, a_line, a_seat, an_order, offers, put_run, record, rows
from worker.ledger.learners.erasure import find_person, forget
from worker.ledger.session import Ledger
from worker.ledger.sql import record_of
from worker.ledger.states import RunState
from worker.ledger.tables.follow_on import CompletionRecord, completions
from worker.ledger.tables.runs import events, runs, steps
from worker.sources.order import Address, Learner
from workflows.follow_on.completion_progress import Progress
from workflows.follow_on.completions import record_progress
from workflows.follow_on.planner import Came, FollowOnPlanner, Planned
from workflows.follow_on.steps import FOLLOW_ON, billing_fields
from workflows.planning.offers import Offers, OffersError

RULES = """
[[offer]]
source = "studiocart"
product_id = "1107"
grants = [{ price_id = 501 }]

[[offer]]
source = "threedcart"
product_id = "1234"
grants = [{ price_id = 701 }]

[[offer]]
source = "threedcart"
sku = "FIRST-AID-2"
grants = [{ price_id = 702 }]

[[follow_on]]
course_id = 77
catalog_id = 1234
sku = "FIRST-AID-2"
price_ids = [502]
"""
KEY = "learningcart/5001/77/follow_on/1234"
CONTACT = NOW - timedelta(minutes=5)


def planner(text: str = RULES, **more: Any) -> FollowOnPlanner:
    found = offers(text)
    return FollowOnPlanner(lambda: found, **more)


def hear(ledger: Ledger, *reports: Progress, by: FollowOnPlanner | None = None, is_first_poll: bool = False) -> None:
    planning = by or planner()

    def follow(connection: Any, completion_id: str, news: Progress, /, *, now: datetime) -> object:
        return planning.plan_completed(
            connection, completion_id, news, first_contact_at=CONTACT, is_first_poll=is_first_poll, now=now
        )

    with ledger.write() as connection:
        record_progress(connection, reports or (progress(completed()),), now=NOW, sends_events=False, follow=follow)


def skipped(ledger: Ledger) -> list[str | None]:
    return [row.reason for row in rows(ledger, events) if row.kind == "follow_on_skipped"]


def by_hand(ledger: Ledger, **more: Any) -> Planned:
    (row,) = rows(ledger, completions)
    with ledger.write() as connection:
        return planner().plan_by_hand(
            connection,
            row.id,
            Progress.stored(record_of(CompletionRecord, row)),
            actor="operator:ann",
            reason="asked for",
            now=NOW,
            **more,
        )


def test_run_is_planned_when_a_course_with_a_rule_is_completed(ledger: Ledger) -> None:
    hear(ledger, progress(info()))
    assert rows(ledger, runs) == []
    hear(ledger, by=planner(notify="event"))
    (run,) = rows(ledger, runs)
    (completion,) = rows(ledger, completions)
    assert (run.key, run.workflow, run.state, run.next_attempt_at) == (KEY, "follow_on", "pending", NOW)
    assert (run.source, run.order_id, run.completion_id) == ("learningcart", None, completion.id)
    assert (run.email_key, run.title) == ("jane@example.test", "Cart with item 1234 after First aid")
    assert run.grant | {"completion_id": "-"} == {
        "completion_id": "-",
        "customer_id": "5001",
        "course_id": 77,
        "catalog_id": 1234,
        "price_ids": [502, 701, 702],
        "notify": "event",
    }
    assert [step.name for step in rows(ledger, steps)] == ["create_cart", "add_cart_item", "check_cart", "tell"]
    assert [event.kind for event in rows(ledger, events) if event.run_id == run.id] == ["run_planned"]


def test_one_run_is_planned_when_the_course_is_completed_twice(ledger: Ledger) -> None:
    hear(ledger)
    hear(ledger)
    hear(ledger, progress(completed(began_at=BEGAN_AT + timedelta(hours=2))))
    assert len(rows(ledger, completions)) == 2
    assert len(rows(ledger, runs)) == 1


def test_nothing_is_planned_when_no_rule_is_for_the_course(ledger: Ledger) -> None:
    hear(ledger, progress(completed(course=78)))
    hear(ledger, by=planner(RULES.partition("[[follow_on]]")[0]))
    assert rows(ledger, runs) == []
    assert skipped(ledger) == []
    assert by_hand_of_course_78(ledger) == Planned(Came.NO_RULE)


def by_hand_of_course_78(ledger: Ledger) -> Planned:
    row = next(row for row in rows(ledger, completions) if row.course_id == "78")
    with ledger.write() as connection:
        return planner().plan_by_hand(
            connection,
            row.id,
            Progress.stored(record_of(CompletionRecord, row)),
            actor="operator:ann",
            reason=None,
            now=NOW,
        )


@pytest.mark.parametrize(
    ("completed_at", "start_at", "is_first_poll", "is_planned"),
    [
        (CONTACT - timedelta(hours=23), None, True, True),
        (CONTACT - timedelta(hours=25), None, True, False),
        (CONTACT - timedelta(hours=25), None, False, False),
        (CONTACT - timedelta(days=9), CONTACT - timedelta(days=10), True, True),
        (CONTACT - timedelta(hours=1), CONTACT, False, False),
        (None, None, True, False),
        (None, None, False, True),
    ],
)
def test_course_has_no_cart_when_it_was_completed_before_the_start(
    ledger: Ledger,
    completed_at: datetime | None,
    start_at: datetime | None,
    is_first_poll: bool,
    is_planned: bool,
) -> None:
    reported = progress(info(completed_at=completed_at, Status=1))
    hear(ledger, reported, by=planner(start_at=start_at), is_first_poll=is_first_poll)
    assert [run.key for run in rows(ledger, runs)] == ([KEY] if is_planned else [])
    assert skipped(ledger) == ([] if is_planned else ["before_start"])
    assert by_hand(ledger, dry_run=True).came is (Came.KNOWN if is_planned else Came.PLANNED)
    assert by_hand(ledger).came is (Came.KNOWN if is_planned else Came.PLANNED)
    assert len(rows(ledger, runs)) == 1


def test_learner_without_an_email_has_no_cart_when_the_course_is_completed(ledger: Ledger) -> None:
    hear(ledger, progress(completed(Customer={"Customer ID": 5001})))
    assert rows(ledger, runs) == []
    assert skipped(ledger) == ["missing_email"]
    assert by_hand(ledger, dry_run=True) == by_hand(ledger) == Planned(Came.NO_EMAIL)


def test_nobody_is_sold_anything_for_a_learner_who_was_forgotten(ledger: Ledger) -> None:
    """A cart was made in the name of a pseudonym."""
    hear(ledger, by=planner(start_at=NOW))
    with ledger.write() as connection:
        forget(connection, find_person(connection, "jane@example.test"), now=NOW, actor="operator:ann", reason=None)
    assert by_hand(ledger, dry_run=True) == by_hand(ledger) == Planned(Came.FORGOTTEN)
    assert rows(ledger, runs) == []


def test_cart_is_the_learners_when_a_seat_of_another_name_with_the_same_address_is_in_question(ledger: Ledger) -> None:
    record(ledger, an_order(learner=JANE))
    put_run(ledger, "1109/1107/buyer/501", RunState.SUCCEEDED)
    other = JANE.model_copy(update={"first_name": "Pål", "last_name": "Berg"})
    seat = a_seat(learner=other).model_copy(update={"hold": "shared_email"})
    record(ledger, an_order("1110", lines=[a_line(seats=[seat])]), now=NOW + timedelta(minutes=1))
    hear(ledger)
    run = next(row for row in rows(ledger, runs) if row.key == KEY)
    assert (run.learner["first_name"], run.learner["last_name"]) == ("Jane", "Doe")


@pytest.mark.parametrize(
    ("price_id", "state", "has_bought"),
    [
        (502, "succeeded", True),
        (701, "review", True),
        (702, "failed", True),
        (502, "cancelled", False),
        (501, "succeeded", False),
    ],
)
def test_run_is_cancelled_when_the_learner_has_one_of_the_prices(
    ledger: Ledger, price_id: int, state: str, has_bought: bool
) -> None:
    record(ledger, an_order(learner=JANE))
    with ledger.write() as connection:
        connection.execute(runs.update().values(grant={"price_id": price_id}, state=state))
    hear(ledger)
    run = next(row for row in rows(ledger, runs) if row.key == KEY)
    assert (run.state, run.reason) == (("cancelled", "already_bought") if has_bought else ("pending", None))
    assert (run.next_attempt_at is None) is has_bought


@pytest.mark.parametrize(
    ("payment", "product_id", "email_key", "has_bought"),
    [
        ("paid", "1234", "jane@example.test", True),
        ("waiting", "1234", "jane@example.test", False),
        ("paid", "99", "jane@example.test", False),
        ("paid", "1234", "john@example.test", False),
    ],
)
def test_run_is_cancelled_when_the_store_has_a_paid_order_of_the_item(
    ledger: Ledger, payment: str, product_id: str, email_key: str, has_bought: bool
) -> None:
    document = {"lines": [{"id": "1", "product": None}, {"id": "2", "product": {"product_id": product_id}}]}
    with ledger.write() as connection:
        add_order(
            connection, "1001", source="threedcart", payment=payment, buyer_email_key=email_key, document=document
        )
    hear(ledger)
    (run,) = rows(ledger, runs)
    assert (run.state, run.note) == (
        ("cancelled", "It was bought by threedcart/1001.") if has_bought else ("pending", None)
    )
    assert by_hand(ledger, dry_run=True).came is Came.KNOWN


def test_learner_has_the_address_of_an_order_when_there_is_one(ledger: Ledger) -> None:
    address = Address(line_1="Main Street 1", city="Oslo", province="Oslo", zip="0150", country="NO")
    record(ledger, an_order(learner=JANE.model_copy(update={"address": address})))
    hear(ledger)
    learner = Learner.model_validate(next(row for row in rows(ledger, runs) if row.key == KEY).learner)
    assert billing_fields(learner).document() == {
        "BillingEmail": "jane@example.test",
        "BillingFirstName": "Jane",
        "BillingLastName": "Doe",
        "BillingAddress": "Main Street 1",
        "BillingCity": "Oslo",
        "BillingState": "Oslo",
        "BillingZipCode": "0150",
        "BillingCountry": "NO",
    }


@pytest.mark.parametrize(("name", "first", "last"), [("Jane van Doe", "Jane van", "Doe"), ("Jane", "Jane", "")])
def test_learner_has_the_name_of_the_completion_when_no_order_names_them(
    ledger: Ledger, name: str, first: str, last: str
) -> None:
    first_name, _, last_name = name.partition(" ")
    person = {"Customer ID": 5001, "Email": "jane@example.test", "First Name": first_name, "Last Name": last_name}
    hear(ledger, progress(completed(Customer=person)))
    (run,) = rows(ledger, runs)
    assert (run.learner["first_name"], run.learner["last_name"]) == (first, last)


def test_nothing_is_recorded_when_the_offers_cannot_be_read(ledger: Ledger) -> None:
    def unreadable() -> Offers:
        raise OffersError("offers.toml: cannot be read")

    with pytest.raises(OffersError):
        hear(ledger, by=FollowOnPlanner(unreadable))
    assert rows(ledger, completions) == []


def test_nobody_is_told_when_the_way_to_tell_is_not_known(ledger: Ledger) -> None:
    hear(ledger, by=planner(notify="pigeon"))
    (run,) = rows(ledger, runs)
    assert run.grant["notify"] == "none"
    assert [step.name for step in FOLLOW_ON.sequence(run.grant)] == ["create_cart", "add_cart_item", "check_cart"]
