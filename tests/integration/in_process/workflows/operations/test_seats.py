from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workflows.fakes.operations import ANN, SEAT
from tests.unit.workflows.fakes.storefront import (
    JANE,
    NOW,
    ONE_OFFER,
    a_line,
    a_seat,
    an_order,
    open_effect,
    put_run,
    record,
    rows,
    run_of,
    states,
)
from worker.ledger.learners.erasure import find_person, forget
from worker.ledger.learners.export import export_person
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.operator_entries import named_seats
from worker.ledger.tables.runs import events
from worker.sources.order import Learner, Payment
from workflows.ingest.deliveries import DeliveryReader
from workflows.operations.replay import Operations
from workflows.operations.seats import NAMED, NOTHING, REFUSED, Person, SeatNaming
from workflows.planning.offers import Offers, OffersError

NAMELESS = "1109/1107/seat-2/unnamed"
SECOND = "1109/1107/seat-2/501"
KIM = Person("Kim@Example.test ", "Kim", "Lee")
KIMS_CALLS = (
    "learningcart addCustomer email=Kim@Example.test first=Kim last=Lee",
    "learningcart addCustomerToGroup group 12",
    "learningcart addCompOrder price 501",
)


@pytest.fixture
def seats(operations: Operations) -> SeatNaming:
    return operations.seats


@pytest.fixture
def nameless(ledger: Ledger) -> str:
    """The review of the second of two seats."""
    record(ledger, an_order(quantity=2))
    return str(run_of(ledger, NAMELESS).id)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


# A nameless seat


def test_a_nameless_seat_gets_one_run_under_its_own_key_when_it_is_named(
    ledger: Ledger, seats: SeatNaming, nameless: str
) -> None:
    dry = seats.name(nameless, KIM, actor=ANN, dry_run=True)
    assert (dry.result, dry.calls, dry.ready) == (NAMED, KIMS_CALLS, ())
    assert states(ledger) == {SEAT: ("pending", None), NAMELESS: ("review", "unnamed_seat")}
    done = seats.name(nameless, KIM, actor=ANN, reason="she rang")
    run = run_of(ledger, SECOND)
    assert (done.result, done.calls, done.ready) == (NAMED, KIMS_CALLS, (run.id,))
    assert (run.email, run.email_key, run.learner["last_name"]) == ("Kim@Example.test", "kim@example.test", "Lee")
    assert states(ledger)[NAMELESS] == ("cancelled", "superseded")
    [trail] = rows(ledger, events, events.c.kind == "seat_named")
    assert (trail.actor, trail.reason) == (ANN, "she rang")
    assert "kim" not in str(trail.detail).lower()


def test_nothing_is_new_when_the_same_person_is_named_twice(ledger: Ledger, seats: SeatNaming, nameless: str) -> None:
    seats.name(nameless, KIM, actor=ANN)
    before = states(ledger), len(rows(ledger, events))
    for run_id in (nameless, run_of(ledger, SECOND).id):
        again = seats.name(run_id, KIM, actor=ANN)
        assert (again.result, again.calls, again.ready) == (NOTHING, (), ())
    assert (states(ledger), len(rows(ledger, events))) == before


def test_a_dry_run_says_what_naming_does_when_only_the_name_is_new(
    ledger: Ledger, seats: SeatNaming, nameless: str
) -> None:
    seats.name(nameless, KIM, actor=ANN)
    put_run(ledger, SECOND, RunState.SUCCEEDED)
    renamed = Person(KIM.email, "Kimberley", "Lee")
    for dry_run, again in ((True, NAMED), (False, NAMED), (True, NOTHING), (False, NOTHING)):
        named = seats.name(run_of(ledger, SECOND).id, renamed, actor=ANN, dry_run=dry_run)
        assert (named.result, named.calls, named.ready) == (again, (), ())


def test_a_seat_is_not_given_to_whom_the_source_names_for_another_of_the_product(
    ledger: Ledger, seats: SeatNaming, nameless: str
) -> None:
    """It counts for nothing, as the source is followed: "named" would be said of a seat that stays nameless."""
    before = states(ledger), len(rows(ledger, events)), rows(ledger, named_seats)
    for dry_run in (True, False):
        refused = seats.name(nameless, Person(JANE.email.upper(), "Kim", "Lee"), actor=ANN, dry_run=dry_run)
        assert (refused.result, "another seat of the same product" in refused.message) == (REFUSED, True)
    assert (states(ledger), len(rows(ledger, events)), rows(ledger, named_seats)) == before


def test_the_name_stands_when_the_source_sends_the_order_unchanged_or_changed_elsewhere(
    ledger: Ledger, seats: SeatNaming, nameless: str
) -> None:
    seats.name(nameless, KIM, actor=ANN)
    record(ledger, an_order(quantity=2), now=NOW + minutes(5))
    record(ledger, an_order(quantity=2, status="complete"), now=NOW + minutes(6))
    assert states(ledger)[SECOND] == ("pending", None)
    put_run(ledger, SECOND, RunState.SUCCEEDED)
    record(ledger, an_order(quantity=3), now=NOW + minutes(7))
    assert run_of(ledger, SECOND).email == "Kim@Example.test"
    assert states(ledger) == {
        SEAT: ("pending", None),
        NAMELESS: ("cancelled", "superseded"),
        SECOND: ("succeeded", None),
        "1109/1107/seat-3/unnamed": ("review", "unnamed_seat"),
    }


def with_second(learner: Learner) -> list[object]:
    return [a_line(seats=[a_seat(1), a_seat(2).model_copy(update={"learner": learner, "hold": None})])]


@pytest.mark.parametrize("is_done", [False, True])
def test_the_source_is_followed_when_it_names_somebody_else_later(
    ledger: Ledger, seats: SeatNaming, nameless: str, is_done: bool
) -> None:
    seats.name(nameless, KIM, actor=ANN)
    if is_done:
        put_run(ledger, SECOND, RunState.SUCCEEDED)
    bob = Learner(email="bob@example.test", first_name="Bob", last_name="Ray")
    record(ledger, an_order(lines=with_second(bob)), now=NOW + minutes(5))  # type: ignore[arg-type]
    if is_done:
        assert states(ledger)[f"{SECOND}/learner"] == ("review", "learner_changed")
        assert run_of(ledger, SECOND).email == "Kim@Example.test"
    else:
        assert run_of(ledger, SECOND).email == "bob@example.test"


def test_nothing_is_asked_when_the_source_names_the_same_person_later(
    ledger: Ledger, seats: SeatNaming, nameless: str
) -> None:
    seats.name(nameless, KIM, actor=ANN)
    put_run(ledger, SECOND, RunState.SUCCEEDED)
    kim = Learner(email="kim@example.test", first_name="Kim", last_name="Lee")
    record(ledger, an_order(lines=with_second(kim)), now=NOW + minutes(5))  # type: ignore[arg-type]
    assert f"{SECOND}/learner" not in states(ledger)


@pytest.mark.parametrize("is_done", [False, True])
def test_refunds_and_removals_count_when_a_seat_was_named(
    ledger: Ledger, seats: SeatNaming, nameless: str, is_done: bool
) -> None:
    seats.name(nameless, KIM, actor=ANN)
    if is_done:
        put_run(ledger, SECOND, RunState.SUCCEEDED)
    record(ledger, an_order(quantity=1), now=NOW + minutes(5))
    found = states(ledger)
    if is_done:
        assert found[f"{SECOND}/revoke"] == ("review", "removed_after_provisioning")
    else:
        assert found[SECOND] == ("cancelled", "removed_from_order")
    record(ledger, an_order(quantity=2), now=NOW + minutes(6))
    record(ledger, an_order(quantity=2, payment=Payment.REFUNDED), now=NOW + minutes(7))
    found = states(ledger)
    if is_done:
        assert found[f"{SECOND}/revoke"] == ("review", "refunded_after_provisioning")
    else:
        assert found[SECOND] == ("cancelled", "refunded_by_source")


# An address


def test_an_address_is_corrected_and_keeps_its_name_when_nothing_was_given(ledger: Ledger, seats: SeatNaming) -> None:
    record(ledger, an_order())
    run_id = run_of(ledger, SEAT).id
    put_run(ledger, SEAT, RunState.FAILED, reason="refused")
    done = seats.name(run_id, Person("jane.doe@example.test"), actor=ANN)
    run = run_of(ledger, SEAT)
    assert (done.result, done.calls[0]) == (
        NAMED,
        f"learningcart addCustomer email=jane.doe@example.test first={JANE.first_name} last={JANE.last_name}",
    )
    assert (run.state, run.email, run.learner["first_name"]) == ("pending", "jane.doe@example.test", JANE.first_name)
    record(ledger, an_order(), now=NOW + minutes(5))
    assert run_of(ledger, SEAT).email == "jane.doe@example.test"


def test_access_is_given_anew_only_on_purpose_when_another_address_has_it(ledger: Ledger, seats: SeatNaming) -> None:
    record(ledger, an_order())
    put_run(ledger, SEAT, RunState.SUCCEEDED, result_id="90001")
    run_id = run_of(ledger, SEAT).id
    right = Person("jane.doe@example.test")
    refused = seats.name(run_id, right, actor=ANN)
    assert (refused.result, "--again" in refused.message) == (REFUSED, True)
    dry = seats.name(run_id, right, actor=ANN, again=True, dry_run=True)
    assert (dry.result, len(dry.calls)) == (NAMED, 3)
    assert run_of(ledger, SEAT).state == "succeeded"
    done = seats.name(run_id, right, actor=ANN, again=True, reason="misspelt")
    run = run_of(ledger, SEAT)
    assert (done.ready, run.state, run.generation, run.email) == ((run_id,), "pending", 1, "jane.doe@example.test")
    assert list(states(ledger)) == [SEAT]
    assert seats.name(run_id, right, actor=ANN, again=True).result == NOTHING
    put_run(ledger, SEAT, RunState.SUCCEEDED)
    assert seats.name(run_id, right, actor=ANN, again=True).result == NOTHING
    record(ledger, an_order(), now=NOW + minutes(5))
    assert list(states(ledger)) == [SEAT]


def test_the_question_is_settled_when_the_new_learner_is_given_access(ledger: Ledger, seats: SeatNaming) -> None:
    record(ledger, an_order())
    put_run(ledger, SEAT, RunState.SUCCEEDED)
    new = Learner(email="new@example.test", first_name="New", last_name="Hire")
    record(ledger, an_order(learner=new, lines=[a_line(learner=new)]), now=NOW + minutes(5))
    question = run_of(ledger, f"{SEAT}/learner")
    assert question.state == "review"
    seats.name(question.id, Person("new@example.test", "New", "Hire"), actor=ANN, again=True, reason="moved")
    assert states(ledger) == {SEAT: ("pending", None), f"{SEAT}/learner": ("cancelled", "superseded")}
    assert run_of(ledger, SEAT).email == "new@example.test"


# What cannot be named


def test_it_is_refused_with_the_reason_when_the_seat_cannot_be_named(
    ledger: Ledger, seats: SeatNaming, operations: Operations, nameless: str
) -> None:
    def refusal(person: Person = KIM, run_id: str = nameless) -> str:
        found = seats.name(run_id, person, actor=ANN)
        assert (found.result, seats.name(run_id, person, actor=ANN, dry_run=True).message) == (REFUSED, found.message)
        return found.message

    before = states(ledger)
    assert "has no @" in refusal(Person("kim", "Kim", "Lee"))
    assert "give a first and a last name" in refusal(Person("kim@example.test"))
    assert "no last name yet" in refusal(Person("kim@example.test", "Kim"))
    assert "no first name yet" in refusal(Person("kim@example.test", "", "Lee"))
    open_effect(ledger, SEAT, outcome="unknown")
    assert "may have taken effect" in refusal(run_id=run_of(ledger, SEAT).id)
    assert states(ledger) == before
    operations.resolve(nameless, actor=ANN, note="by hand")
    assert "runs reopen" in refusal()
    operations.reopen(nameless, actor=ANN, reason="a slip")
    record(ledger, an_order(quantity=2, payment=Payment.REFUNDED), now=NOW + minutes(5))
    assert "is refunded at the source" in refusal()
    assert rows(ledger, named_seats) == []


def test_the_seat_waits_for_its_offer_under_its_name_when_there_is_none(
    ledger: Ledger, seats: SeatNaming, offers_file: Path
) -> None:
    record(ledger, an_order(quantity=2), rules=Offers())
    offers_file.write_text("")
    unmapped = "1109/1107/seat-2/unmapped"
    assert seats.name(run_of(ledger, unmapped).id, KIM, actor=ANN).result == NAMED
    assert (run_of(ledger, unmapped).state, run_of(ledger, unmapped).email) == ("review", "Kim@Example.test")
    offers_file.write_text("[[offer]]\n")
    with pytest.raises(OffersError):
        seats.name(run_of(ledger, unmapped).id, Person("x@example.test", "X", "Y"), actor=ANN)
    offers_file.write_text(ONE_OFFER)
    record(ledger, an_order(quantity=2), now=NOW + minutes(5))
    assert run_of(ledger, SECOND).email == "Kim@Example.test"


# A group


def test_a_group_s_nameless_seats_are_named_in_order_when_a_list_is_given(ledger: Ledger, seats: SeatNaming) -> None:
    record(ledger, an_order(quantity=12))
    people = [Person(f"p{number}@example.test", "P", str(number)) for number in range(2, 13)]
    too_many = seats.name_order("studiocart", "1109", [*people, KIM], actor=ANN)
    assert ([each.result for each in too_many], "12 people for 11" in too_many[0].message) == ([REFUSED], True)
    assert len(rows(ledger, named_seats)) == 0
    done = seats.name_order("studiocart", "1109", people, actor=ANN)
    assert {each.result for each in done} == {NAMED}
    for number in (2, 9, 10, 12):
        assert run_of(ledger, f"1109/1107/seat-{number}/501").email == f"p{number}@example.test"
    again = seats.name_order("studiocart", "1109", people, actor=ANN)
    assert [each.result for each in again] == [NOTHING]
    assert sum(state == ("pending", None) for state in states(ledger).values()) == 12


def test_a_list_names_nobody_when_a_colleague_names_one_of_its_seats_at_the_same_moment(
    ledger: Ledger, seats: SeatNaming, nameless: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list fills seats that nobody is named for: of two that are sent at once the later must not take the other's."""
    preview = DeliveryReader.preview

    def named_meanwhile(reader: DeliveryReader, *order: str, **how: Any) -> object:
        monkeypatch.setattr(DeliveryReader, "preview", preview)
        assert seats.name(nameless, KIM, actor="operator:bob").result == NAMED
        return preview(reader, *order, **how)

    monkeypatch.setattr(DeliveryReader, "preview", named_meanwhile)
    [refused] = seats.name_order("studiocart", "1109", [Person("lea@example.test", "Lea", "Ek")], actor=ANN)
    assert (refused.result, "named meanwhile" in refused.message) == (REFUSED, True)
    assert run_of(ledger, SECOND).email == "Kim@Example.test"
    assert [row.actor for row in rows(ledger, events, events.c.kind == "seat_named")] == ["operator:bob"]


def test_a_list_is_counted_in_people_when_there_is_no_seat_left(ledger: Ledger, seats: SeatNaming) -> None:
    record(ledger, an_order())
    [refused] = seats.name_order("studiocart", "1109", [KIM], actor=ANN)
    assert refused.message == "1 person for 0 seats without a name: nobody was named."


def test_a_list_is_refused_whole_when_it_does_not_say_which_seat_is_whose(ledger: Ledger, seats: SeatNaming) -> None:
    record(ledger, an_order(lines=[a_line("1107", quantity=2), a_line("1108", quantity=2)]), rules=Offers())
    record(ledger, an_order("1110", quantity=3))
    twice = seats.name_order("studiocart", "1110", [KIM, KIM], actor=ANN)
    assert (twice[0].result, "twice" in twice[0].message) == (REFUSED, True)
    bad = seats.name_order("studiocart", "1110", [KIM, Person("kim", "K", "L")], actor=ANN)
    assert {each.result for each in bad} == {REFUSED}
    assert rows(ledger, named_seats) == []


# Forgetting and export


def test_a_named_person_is_exported_and_forgotten_as_any_other(
    ledger: Ledger, seats: SeatNaming, nameless: str
) -> None:
    seats.name(nameless, KIM, actor=ANN)
    put_run(ledger, SECOND, RunState.SUCCEEDED)
    with ledger.read() as connection:
        exported = export_person(connection, find_person(connection, "kim@example.test"), now=NOW)
    assert exported["named_seats"][0]["learner"]["last_name"] == "Lee"
    with ledger.write() as connection:
        forget(connection, find_person(connection, "kim@example.test"), now=NOW, actor=ANN, reason=None)
    assert rows(ledger, named_seats) == []
    record(ledger, an_order(quantity=2), now=NOW + minutes(5))
    assert "kim" not in str([run.learner for run in [run_of(ledger, SECOND)]]).lower()
    assert "forgotten" in seats.name(run_of(ledger, SECOND).id, KIM, actor=ANN).message
