"""Frontcore's nameless seats: whom an operator named is one enrolment with whom the source names later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workflows.fakes.frontcore_orders import COURSE_OFFER, a_course_line, a_course_order, a_place, a_user
from tests.unit.workflows.fakes.operations import ANN
from tests.unit.workflows.fakes.storefront import NOW, offers, record, rows
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.runs import runs
from worker.sources.order import Order
from workflows.operations.replay import Operations
from workflows.operations.seats import Person

FIRST = "500/participant-1-user-1/601"
BUNDLE = COURSE_OFFER.replace("}]", "}, { price_id = 602 }]")
Look = Callable[[Order], dict[str, tuple[str, str | None]]]


def booked(*named: int, quantity: int) -> Order:
    """An order of so many seats, whose source names these participants."""
    return a_course_order(a_course_line(places=[a_place(each, each) for each in named], quantity=quantity))


@pytest.fixture(params=[COURSE_OFFER, BUNDLE], ids=["one", "bundle"])
def rules(request: pytest.FixtureRequest, offers_file: Path) -> str:
    offers_file.write_text(request.param)
    return str(request.param)


@pytest.fixture
def look(ledger: Ledger, rules: str) -> Look:
    """Look at an order twice, and tell of its first price's runs; the second look changes nothing."""
    minutes = iter(range(1000))

    def look_at(order: Order) -> dict[str, tuple[str, str | None]]:
        record(ledger, order, rules=offers(rules), now=NOW + timedelta(minutes=next(minutes)))
        again = record(ledger, order, rules=offers(rules), now=NOW + timedelta(minutes=next(minutes)))
        assert again.plan.actions == ()
        found = {row.key.removeprefix("frontcore/1/"): (row.state, row.reason) for row in rows(ledger, runs)}
        return {key: state for key, state in found.items() if "/602" not in key}

    return look_at


@pytest.fixture
def name(ledger: Ledger, operations: Operations) -> Callable[..., None]:
    def name_seat(seat: str, user_id: int, *, is_given: bool) -> None:
        [run_id] = [row.id for row in rows(ledger, runs) if row.key == f"frontcore/1/500/{seat}/unnamed"]
        person: Any = a_user(user_id)
        operations.seats.name(
            run_id, Person(person["email"].upper(), person["firstname"], person["lastname"]), actor=ANN
        )
        if is_given:
            with ledger.write() as connection:
                of_seat = runs.c.seat_id == seat, runs.c.state == RunState.PENDING
                connection.execute(runs.update().where(*of_seat).values(state="succeeded", finished_at=NOW))

    return name_seat


@pytest.mark.parametrize("is_given", [True, False])
def test_nothing_is_given_twice_when_the_source_names_the_same_person_later(
    look: Look, name: Callable[..., None], *, is_given: bool
) -> None:
    look(booked(1, quantity=2))
    name("seat-2", 2, is_given=is_given)
    assert look(booked(1, 2, quantity=2)) == {
        FIRST: ("pending", None),
        "500/seat-2/unnamed": ("cancelled", "superseded"),
        "500/seat-2/601": ("succeeded" if is_given else "pending", None),
    }


@pytest.mark.parametrize("is_given", [True, False])
def test_a_seat_is_nameless_again_when_the_source_names_its_person_on_another(
    look: Look, name: Callable[..., None], *, is_given: bool
) -> None:
    look(booked(1, quantity=3))
    name("seat-3", 2, is_given=is_given)
    given = {FIRST: ("pending", None), "500/seat-3/601": ("succeeded" if is_given else "pending", None)}
    assert look(booked(1, 2, quantity=3)) == given | {
        "500/seat-2/unnamed": ("cancelled", "removed_from_order"),
        "500/seat-3/unnamed": ("review", "unnamed_seat"),
    }
    assert look(booked(1, 2, 3, quantity=3)) == given | {
        "500/seat-2/unnamed": ("cancelled", "removed_from_order"),
        "500/seat-3/unnamed": ("cancelled", "removed_from_order"),
        "500/participant-3-user-3/601": ("pending", None),
    }


def test_another_person_has_a_seat_of_their_own_when_the_source_names_them_later(
    look: Look, name: Callable[..., None]
) -> None:
    look(booked(1, quantity=2))
    name("seat-2", 2, is_given=True)
    assert look(booked(1, 3, quantity=2)) == {
        FIRST: ("pending", None),
        "500/seat-2/unnamed": ("cancelled", "superseded"),
        "500/seat-2/601": ("succeeded", None),
        "500/seat-2/601/revoke": ("review", "removed_after_provisioning"),
        "500/participant-3-user-3/601": ("pending", None),
    }


@pytest.mark.parametrize("is_given", [True, False])
def test_a_person_keeps_the_enrolment_when_the_seat_is_counted_away_by_somebody_whom_the_source_names(
    look: Look, name: Callable[..., None], *, is_given: bool
) -> None:
    look(booked(1, quantity=4))
    name("seat-2", 2, is_given=is_given)
    name("seat-3", 3, is_given=is_given)
    given = ("succeeded" if is_given else "pending", None)
    kept = {FIRST: ("pending", None), "500/seat-2/601": given, "500/seat-3/601": given}

    def runs_of(*named: int) -> dict[str, tuple[str, str | None]]:
        found = look(booked(*named, quantity=4))
        return {key: state for key, state in found.items() if "unnamed" not in key or state[0] == "review"}

    for named in ((1, 5), (1, 5, 2), (1, 5, 2, 3), (1, 5)):
        assert runs_of(*named) == kept | {"500/participant-5-user-5/601": ("pending", None)}
    replaced = runs_of(1, 5, 2, 6)
    assert replaced["500/participant-6-user-6/601"] == ("pending", None)
    if is_given:
        assert replaced["500/seat-3/601/revoke"] == ("review", "removed_after_provisioning")
    else:
        assert replaced["500/seat-3/601"] == ("cancelled", "removed_from_order")
