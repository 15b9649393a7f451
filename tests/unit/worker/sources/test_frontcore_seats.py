"""`worker.sources.frontcore`: which seats an order has, and which of them wait."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.worker.sources.frontcore_records import line, ordered, place, seats, user
from worker.sources.order import Line, Product

HOUR = timedelta(hours=1)


# Seats


def test_every_participant_has_a_seat_when_a_line_has_several() -> None:
    assert seats(line(place(1, 10), place(2, 11), users=(user(10), user(11)), quantity=2)) == {
        "participant-1-user-10": None,
        "participant-2-user-11": None,
    }


def test_a_user_has_a_seat_when_no_participant_places_them() -> None:
    other = {"type": "invoice", "participant_id": 5, "user_id": 11}
    assert seats(line(place(1, 10), other, users=(user(10), user(11)))) == {
        "participant-1-user-10": None,
        "user-11": None,
    }
    assert seats(line(place(None, 10, type=None), users=(user(10),))) == {"user-10": None}


def test_a_participant_has_one_seat_when_the_record_repeats_it() -> None:
    assert seats(line(place(1, 10), place(1, 10), users=(user(10), user(10)), quantity=1)) == {
        "participant-1-user-10": None
    }


def test_another_user_is_another_seat_when_they_take_a_participant_over() -> None:
    before = seats(line(place(1, 10), users=(user(10),)))
    assert seats(line(place(1, 11), users=(user(11),))).keys().isdisjoint(before)
    assert seats(line(place(1, 10), users=(user(10, "corrected@example.test"),))) == before


def test_a_participant_has_a_seat_on_each_line_when_add_ons_relate_to_them_too() -> None:
    add_on = line(place(1, 10), id=31401, product={"id": 9, "title": "Exam", "is_main_product": False}, users=[])
    order = ordered(line(place(1, 10), users=(user(10),)), add_on)
    assert [(each.id, each.product.product_id, each.product.course_id) for each in order.lines] == [
        ("31400", "8079", "77"),
        ("31401", "9", None),
    ]
    first, second = (each.seats[0] for each in order.lines)
    assert first.id == second.id == "participant-1-user-10"
    assert first.learner == second.learner


@pytest.mark.parametrize("is_main", [False, None, "0"])
def test_a_line_names_no_course_when_its_product_is_not_the_main_one(is_main: Any) -> None:
    order = ordered(line(place(1, 10), users=(user(10),), product={"id": 9, "is_main_product": is_main}))
    assert order.lines[0].product == Product(product_id="9")


def test_a_line_s_course_is_the_included_one_when_its_number_is_left_out() -> None:
    order = ordered(line(place(1, 10, None, course={"id": 77}), users=(user(10),)))
    assert order.lines[0].product == Product(product_id="8079", course_id="77")


def test_a_line_comes_in_parts_when_its_participants_are_on_different_courses() -> None:
    places = (place(1, 10, 77), place(2, 11, 78), place(3, 12, None))
    order = ordered(line(*places, users=(user(10), user(11), user(12)), quantity=4))
    assert [(each.id, each.product.course_id, [seat.id for seat in each.seats]) for each in order.lines] == [
        ("31400", "77", ["participant-1-user-10", "participant-3-user-12", "seat-4"]),
        ("31400", "78", ["participant-2-user-11"]),
    ]


def test_a_line_is_kept_when_it_has_neither_product_nor_seats() -> None:
    order = ordered(line(product=None, quantity=0))
    assert order.lines == (Line(id="31400"),)


def test_a_line_is_named_by_its_product_when_it_has_no_id() -> None:
    lines = [line(id=None), line(id=None), line(id=None, product=None), line(id=5), line(id=5)]
    names = [each.id for each in ordered(*lines).lines]
    assert names == ["product-8079", "product-8079-2", "product-unknown", "5", "5-2"]


def test_another_course_date_is_a_change_of_the_order_when_the_seat_stays() -> None:
    before = ordered(line(place(1, 10, coursedate_id=5), users=(user(10),)))
    after = ordered(line(place(1, 10, coursedate_id=6), users=(user(10),)))
    assert before.lines != after.lines
    assert [seat.id for seat in before.lines[0].seats] == [seat.id for seat in after.lines[0].seats]


# Holds


@pytest.mark.parametrize(
    ("email", "hold"),
    [("", "missing_email"), ("  ", "missing_email"), ("lars", "invalid_email"), ("a@b@c.no", "invalid_email")],
)
def test_a_seat_waits_when_its_email_is_missing_or_none(email: str, hold: str) -> None:
    order = ordered(line(place(1, 10), place(2, 11), users=(user(10, email), user(11))))
    first, second = order.lines[0].seats
    assert (first.hold, first.learner) == (hold, None)
    assert second.hold is None


def test_a_seat_waits_when_nobody_tells_who_its_user_is() -> None:
    assert seats(line(place(1, 10), place(2, None), users=[])) == {
        "participant-1-user-10": "missing_email",
        "participant-2": "unnamed_seat",
    }
    assert seats(line(place(1, 10), users=None), first_user=user(10)) == {"participant-1-user-10": None}


@pytest.mark.parametrize(
    ("quantity", "named", "expected"),
    [
        (3, 1, ["user-1", "seat-2", "seat-3"]),
        ("3.0", 1, ["user-1", "seat-2", "seat-3"]),
        (1, 3, ["user-1", "user-2", "user-3"]),
        (None, 1, ["user-1"]),
        (None, 0, ["seat-1"]),
        (2, 0, ["seat-1", "seat-2"]),
        (0, 0, []),
    ],
)
def test_a_nameless_seat_waits_for_each_place_that_names_nobody(quantity: Any, named: int, expected: list[str]) -> None:
    users = tuple(user(number) for number in range(1, named + 1))
    found = seats(line(users=users, quantity=quantity))
    assert list(found) == expected
    assert {hold for seat_id, hold in found.items() if seat_id.startswith("seat-")} <= {"unnamed_seat"}


@pytest.mark.parametrize("nobody", [None, 0, "null", "None", "undefined", False])
def test_a_nameless_seat_waits_when_a_user_has_no_id_to_know_them_by(nobody: Any) -> None:
    assert seats(line(users=(user(1), user(nobody, "x@example.test")), quantity=1)) == {
        "user-1": None,
        "seat-2": "unnamed_seat",
    }


@pytest.mark.parametrize(
    ("quantity", "named", "expected"),
    [
        (-1, 1, {"user-1": "invalid_quantity"}),
        (-1, 0, {"seat-1": "invalid_quantity"}),
        ("1.5", 1, {"user-1": "invalid_quantity"}),
        ("2,0", 1, {"user-1": "invalid_quantity"}),
        (0, 1, {"user-1": "invalid_quantity"}),
        (1_001, 1, {"user-1": None, "seat-2": "invalid_quantity"}),
        (Decimal("1e999999"), 0, {"seat-1": "invalid_quantity"}),
        (Decimal("-1e999999"), 0, {"seat-1": "invalid_quantity"}),
        (Decimal("1e-999999"), 0, {"seat-1": "invalid_quantity"}),
    ],
)
def test_a_person_looks_when_a_quantity_is_no_number_of_seats(
    quantity: Any, named: int, expected: dict[str, str | None]
) -> None:
    users = tuple(user(number) for number in range(1, named + 1))
    assert seats(line(users=users, quantity=quantity)) == expected


@pytest.mark.parametrize(
    "included",
    [
        {"participants": [{"id": 2, "status": 1}, {"id": 1, "status": "3"}]},
        {"participants": {"participant_id": 1, "status": {"id": 3, "title": "Waiting list"}}},
        {"participant": {"status_id": 3}},
        {"participants": [{"status": 3}]},
        {"participants": [{"user_id": 10, "status": 3}, {"user_id": 11, "status": 1}]},
    ],
)
def test_a_seat_waits_when_its_participant_is_on_the_waiting_list(included: dict[str, Any]) -> None:
    found = seats(line(place(1, 10, **included), place(2, 11), users=(user(10), user(11))))
    assert found == {"participant-1-user-10": "waiting_list", "participant-2-user-11": None}


@pytest.mark.parametrize(
    "included",
    [
        {"course": {"id": 77, "coursedates": [{"id": 4, "status": 2}, {"id": 5, "status": 3}]}},
        {"course": {"id": 77, "coursedate": {"coursedate_id": 5, "status_id": "3"}}},
        {"coursedate": {"status": 3}},
        {"course": {"id": 77, "coursedates": [{"status": 3}]}},
        {"participants": [{"id": 1, "status": 3, "coursedate": {"id": 5, "status": 3}}]},
    ],
)
def test_a_seat_waits_when_its_course_date_is_cancelled(included: dict[str, Any]) -> None:
    places = (place(1, 10, coursedate_id=5, **included), place(2, 11, coursedate_id=6))
    found = seats(line(*places, users=(user(10), user(11))))
    assert found == {"participant-1-user-10": "course_cancelled", "participant-2-user-11": None}


@pytest.mark.parametrize(
    "included",
    [
        {"participants": [{"id": 2, "status": 3}, {"status": 3}]},
        {"participants": [{"user_id": 11, "status": 3}]},
        {"participant": {"id": 2, "status": 3}},
        {"course": {"coursedates": [{"id": 4, "status": 3}, {"status": 3}]}},
        {"coursedate": {"id": 4, "status": 3}},
        {"course": {"coursedates": [{"id": 5, "status": 4}]}, "participants": [{"id": 1, "status": 1}]},
    ],
)
@pytest.mark.parametrize("course_date_id", [5, None])
def test_a_seat_goes_through_when_what_is_cancelled_is_another_s(included: dict[str, Any], course_date_id: Any) -> None:
    found = seats(line(place(1, 10, coursedate_id=course_date_id, **included), users=(user(10),)))
    assert found == {"participant-1-user-10": None}


def test_seats_wait_when_their_people_share_an_email_under_different_names() -> None:
    people = (user(10, "post@abc.test", "Lars Larsen"), user(11, "POST@abc.test", "Pål Pålsen"), user(12, name="Eva"))
    add_on = line(place(4, 13), id=31401, users=(user(13, "post@ABC.test", "lars  larsen"),))
    order = ordered(line(place(1, 10), place(2, 11), place(3, 12), users=people), add_on)
    assert [seat.hold for each in order.lines for seat in each.seats] == [
        "shared_email",
        "shared_email",
        None,
        "shared_email",
    ]
    assert order.lines[0].seats[1].learner is not None


@pytest.mark.parametrize(
    ("one", "other"), [("Lars Larsen", "lars larsen"), ("Lars Larsen", ""), ("", ""), ("Lars Larsen", " Lars  Larsen ")]
)
def test_seats_go_through_when_an_email_is_shared_under_one_name(one: str, other: str) -> None:
    people = (user(10, "a@abc.test", one), user(11, "A@abc.test", other))
    assert set(seats(line(place(1, 10), place(2, 11), users=people)).values()) == {None}


def test_a_seat_that_waits_anyway_holds_nobody_up_when_it_shares_an_email() -> None:
    waiting = place(2, 11, participants=[{"id": 2, "status": 3}])
    people = (user(10, "a@abc.test", "Lars"), user(11, "a@abc.test", "Eva"))
    assert list(seats(line(place(1, 10), waiting, users=people)).values()) == [None, "waiting_list"]


def test_only_the_faulty_seats_wait_when_an_order_has_250_participants() -> None:
    places = [place(number, number) for number in range(1, 251)]
    people = [user(number, name=f"Name {number}") for number in range(1, 249)] + [user(249, ""), user(250, "x")]
    people[0]["email"] = people[1]["email"]
    places[2]["participants"] = [{"id": 3, "status": 3}]
    places[3] |= {"coursedate_id": 5, "coursedate": {"id": 5, "status": 3}}
    held = {seat: hold for seat, hold in seats(line(*places, users=people, quantity=251)).items() if hold}
    assert held == {
        "participant-1-user-1": "shared_email",
        "participant-2-user-2": "shared_email",
        "participant-3-user-3": "waiting_list",
        "participant-4-user-4": "course_cancelled",
        "participant-249-user-249": "missing_email",
        "participant-250-user-250": "invalid_email",
        "seat-251": "unnamed_seat",
    }


# Statuses nobody has ruled on


@pytest.mark.parametrize(
    "status", [0, 2, 4, 5, -1, 99, "9", "cancelled", {"id": 7, "title": "No-show"}, {"title": "x"}]
)
@pytest.mark.parametrize("where", ["participant", "participants"])
def test_a_seat_waits_when_nobody_has_ruled_on_its_participants_status(status: Any, where: str) -> None:
    reported = {"id": 1, "status": status}
    [seat] = ordered(line(place(1, 10) | {where: reported}, users=(user(10),))).lines[0].seats
    assert seat.hold == "unknown_status"
    assert seat.note.startswith("Nobody has ruled on it: its participant has the status ")


@pytest.mark.parametrize("status", [0, 5, "6", "closed"])
def test_a_seat_waits_when_nobody_has_ruled_on_its_course_dates_status(status: Any) -> None:
    reported = place(1, 10, coursedate_id=5, coursedate={"id": 5, "status_id": status})
    assert seats(line(reported, users=(user(10),))) == {"participant-1-user-10": "unknown_status"}


@pytest.mark.parametrize("status", [None, "", " ", [], {}, {"id": None}, 1, "1", {"id": 1}])
def test_a_seat_is_provisioned_when_its_status_is_confirmed_or_absent(status: Any) -> None:
    reported = place(1, 10, participant={"id": 1, "status": status}, coursedate={"status": status})
    assert seats(line(reported, users=(user(10),))) == {"participant-1-user-10": None}


def test_a_hold_that_is_known_is_told_when_another_status_is_not() -> None:
    reported = place(1, 10, participant={"id": 1, "status": 3}, coursedate={"status": 9})
    assert seats(line(reported, users=(user(10),))) == {"participant-1-user-10": "waiting_list"}
