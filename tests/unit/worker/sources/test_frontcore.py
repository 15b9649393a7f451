"""`worker.sources.frontcore`: Frontcore's orders as ours, seat by seat, and the walks."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.clients.frontcore import FrontcoreClient
from worker.clients.frontcore_models import Order as Record
from worker.errors import NotFoundError, WebhookRejectedError
from worker.sandbox.seeds import seed_records
from worker.sources.frontcore import OVERLAP_ORDERS, FrontcoreSource, ProvisionWhen, to_order
from worker.sources.order import Address, Learner, Line, Money, Order, Payment, Product, Seat
from worker.sources.source import Until
from workflows import keys

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SAMPLES = seed_records("frontcore", "orders")


def user(user_id: int | None, email: str | None = None, name: str = "", **fields: Any) -> dict[str, Any]:
    first, _, last = name.partition(" ")
    email = f"user-{user_id}@example.test" if email is None else email
    return {"id": user_id, "email": email, "firstname": first, "lastname": last} | fields


def place(participant_id: int | None, user_id: int | None, course_id: int | None = 77, **fields: Any) -> dict[str, Any]:
    ids = {"participant_id": participant_id, "user_id": user_id, "course_id": course_id}
    return {"type": "participant", **ids} | fields


def line(*places: dict[str, Any], users: Any = (), **fields: Any) -> dict[str, Any]:
    product = {"id": 8079, "title": "Learn REST API", "is_main_product": True, "currency": "NOK"}
    users = list(users) if isinstance(users, tuple) else users
    return {"id": 31400, "product": product, "database_relations": list(places), "users": users} | fields


def record(*lines: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": 27244, "is_paid": True, "lines": list(lines)} | fields


def ordered(*lines: dict[str, Any], provision_when: ProvisionWhen = "paid", **fields: Any) -> Order:
    return to_order(Record.model_validate(record(*lines, **fields)), provision_when=provision_when)


def seats(*lines: dict[str, Any], **fields: Any) -> dict[str, str | None]:
    """Every seat's id and hold."""
    return {seat.id: seat.hold for each in ordered(*lines, **fields).lines for seat in each.seats}


# The document's own orders


def test_the_document_s_paid_order_is_read_as_it_stands() -> None:
    order = to_order(Record.model_validate(SAMPLES[0]))
    learner = Learner(
        email="lars@eksemel.ek",
        first_name="Lars",
        last_name="Larsen",
        address=Address(line_1="Veien 2", city="Oslo", zip="3120", country="Norway"),
    )
    seat = Seat(id="participant-124920-user-154420", learner=learner, course_date_id="9304757")
    product = Product(product_id="8079", course_id="22353")
    assert order == Order(
        source="frontcore",
        id="27244",
        status="paid",
        payment=Payment.PAID,
        created_at=datetime(2017, 3, 31, 18, 27, 4, tzinfo=UTC),
        buyer_email="lars@eksemel.ek",
        buyer_name="Lars Larsen",
        total=Money(minor_units=150_000, currency="NOK"),
        lines=(Line(id="31400", title="Learn REST API", product=product, seats=(seat,)),),
        raw=order.raw,
    )
    assert keys.run_key("frontcore", order.id, "31400", seat.id, "601") == (
        "frontcore/27244/31400/participant-124920-user-154420/601"
    )
    assert order.raw["customer"]["title"] == "Beste Kunde AS"


def test_the_document_s_unpaid_order_waits_as_it_stands() -> None:
    order = to_order(Record.model_validate(SAMPLES[1]))
    assert (order.id, order.status, order.payment, order.lines_known) == ("27243", "unpaid", Payment.WAITING, True)
    [seat] = order.lines[0].seats
    assert seat.id == "participant-124918-user-154418"
    assert seat.learner is not None
    assert (seat.learner.last_name, seat.hold) == ("Pålsen", None)
    assert to_order(Record.model_validate(SAMPLES[1]), provision_when="created").payment is Payment.PAID


# The order


@pytest.mark.parametrize(
    ("fields", "payment"),
    [
        ({"is_paid": True}, Payment.PAID),
        ({"is_paid": "1"}, Payment.PAID),
        ({"is_paid": False}, Payment.WAITING),
        ({"is_paid": None}, Payment.WAITING),
        ({"is_paid": False, "calculated_totals": {"total_amount_incl_discounts_and_vat": 0}}, Payment.PAID),
        ({"is_paid": False, "calculated_totals": {"total_amount_incl_discounts_and_vat": "0.00"}}, Payment.PAID),
        ({"is_paid": False, "calculated_totals": {"total_amount_incl_discounts_and_vat": None}}, Payment.WAITING),
        ({"is_paid": False, "calculated_totals": []}, Payment.WAITING),
    ],
)
def test_an_order_is_paid_when_it_says_so_or_costs_nothing(fields: dict[str, Any], payment: Payment) -> None:
    assert ordered(**fields).payment is payment
    assert ordered(**fields, provision_when="created").payment is Payment.PAID


@pytest.mark.parametrize(
    ("amount", "currency", "minor_units"),
    [
        (1500, "NOK", 150_000),
        ("1500.5", "nok", 150_050),
        ("416.665", "NOK", 41_667),
        ("-12.3", "EUR", -1_230),
        (1500, "JPY", 1_500),
        (1500, "ISK", 1_500),
        (1500, "KWD", 1_500_000),
        (10**15, "NOK", None),
        ("1e999999", "NOK", None),
        ("1e-999999", "NOK", 0),
        (None, "NOK", None),
        (1500, "Norwegian kroner", None),
        (1500, None, None),
    ],
)
def test_a_total_is_in_minor_units_when_it_is_read(amount: Any, currency: str | None, minor_units: int | None) -> None:
    order = ordered(
        line(currency={"title": currency}, product=None),
        calculated_totals={"total_amount_incl_discounts_and_vat": amount},
    )
    assert (order.total and order.total.minor_units) == minor_units


def test_a_total_is_unknown_when_the_lines_have_two_currencies() -> None:
    totals = {"total_amount_incl_discounts_and_vat": 100}
    lines = [line(id=1, currency={"title": "EUR"}), line(id=2)]
    assert ordered(*lines, calculated_totals=totals).total is None
    order = ordered(lines[1], calculated_totals=totals)
    assert order.total == Money(minor_units=10_000, currency="NOK")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-07-01T00:30:00+02:00", datetime(2026, 6, 30, 22, 30, tzinfo=UTC)),
        ("soon", None),
        (None, None),
    ],
)
def test_the_time_of_an_order_is_utc_when_it_has_an_offset(written: str | None, read: datetime | None) -> None:
    assert ordered(created_at=written).created_at == read


@pytest.mark.parametrize(
    ("fields", "email", "name"),
    [
        ({"first_user": user(1, " Lars@example.test ", "Lars Larsen")}, "Lars@example.test", "Lars Larsen"),
        ({"first_user": user(1, "", "Lars Larsen"), "booker": {"email": "b@x.test", "name": "Bo"}}, "b@x.test", "Bo"),
        ({"booker": {"email": "b@x.test", "firstname": "Bo", "lastname": "Berg"}}, "b@x.test", "Bo Berg"),
        ({"customer": {"title": "ABC AS", "invoice_email": "i@x.test"}}, "i@x.test", "ABC AS"),
        ({"customer": {"title": "ABC AS", "email": "c@x.test", "invoice_email": "i@x.test"}}, "c@x.test", "ABC AS"),
        ({"customer": {"title": "ABC AS"}, "invoice_email": "o@x.test"}, "o@x.test", "ABC AS"),
        ({"first_user": user(1, "", "Lars"), "invoice_email": None}, "", "Lars"),
        ({"first_user": [], "booker": None, "customer": {}}, "", ""),
    ],
)
def test_the_buyer_is_the_first_who_can_be_written_to_when_several_are_named(
    fields: dict[str, Any], email: str, name: str
) -> None:
    order = ordered(**fields)
    assert (order.buyer_email, order.buyer_name) == (email, name)


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        ({"lines": None}, False),
        ({"lines": {}}, False),
        ({"lines": []}, True),
        ({"lines": [line(place(1, 10), users=None)]}, False),
        ({"lines": [line(users=None)]}, True),
        ({"lines": [line(place(1, 10), users=(user(10),))]}, True),
        ({"lines": [line(place(1, 10), users=[])]}, True),
    ],
)
def test_nobody_is_taken_as_removed_when_the_record_does_not_say_who_is_there(
    fields: dict[str, Any], known: bool
) -> None:
    assert ordered(**fields).lines_known is known


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


# Learners


def test_a_learner_s_email_is_kept_as_written_when_it_is_trimmed() -> None:
    order = ordered(line(place(1, 10), users=(user(10, " Lars@Example.TEST ", " Lars  Erik Larsen "),)))
    learner = order.lines[0].seats[0].learner
    assert learner == Learner(email="Lars@Example.TEST", first_name="", last_name="Lars Erik Larsen")


@pytest.mark.parametrize(
    ("given_addresses", "line_1"),
    [
        ({"work_address": {"address": "W"}, "home_address": {"address": "H"}}, "W"),
        ({"work_address": {"address": None}, "home_address": {"city": "Oslo"}}, ""),
        ({"work_address": [], "home_address": {"address": " "}, "invoice_address": {"address": "I"}}, "I"),
    ],
)
def test_a_learner_s_address_is_the_first_that_says_anything(given_addresses: dict[str, Any], line_1: str) -> None:
    order = ordered(
        line(place(1, 10), users=(user(10, **given_addresses),)), customer={"country": {"title": "", "code": "NO"}}
    )
    learner = order.lines[0].seats[0].learner
    assert learner is not None
    assert learner.address is not None
    assert (learner.address.line_1, learner.address.country) == (line_1, "NO")


def test_a_learner_has_no_address_when_none_says_anything() -> None:
    order = ordered(line(place(1, 10), users=(user(10, home_address={"phone": "1"}),)), customer={"country": None})
    learner = order.lines[0].seats[0].learner
    assert learner is not None
    assert learner.address is None


def test_an_address_of_several_lines_is_kept_when_it_is_read() -> None:
    address = {"address": "A", "address_2": "B", "address_3": "C", "zipcode": 130, "city": "Oslo"}
    learner = ordered(line(place(1, 10), users=(user(10, work_address=address),))).lines[0].seats[0].learner
    assert learner is not None
    assert learner.address == Address(line_1="A", line_2="B, C", zip="130", city="Oslo")


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
        ("many", 1, ["user-1"]),
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


def test_a_nameless_seat_waits_when_a_user_has_no_id_to_know_them_by() -> None:
    assert seats(line(users=(user(1), user(None, "x@example.test")), quantity=1)) == {
        "user-1": None,
        "seat-2": "unnamed_seat",
    }


@pytest.mark.parametrize(
    ("quantity", "named", "expected"),
    [
        (-1, 1, {"user-1": "invalid_quantity"}),
        (-1, 0, {"seat-1": "invalid_quantity"}),
        ("1.5", 1, {"user-1": "invalid_quantity"}),
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


# Whatever comes

scalars: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 0, 1, 2, 3, "", "1", "x", "a@b.no", "A@b.no", "Lars", [], {}]
)


def some(*names: str, **others: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A record with some of these fields."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, scalars) | others)


def several(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(of, max_size=3) | of | scalars


dates = some("id", "coursedate_id", "status", "status_id")
relations = some(
    "type",
    "participant_id",
    "user_id",
    "course_id",
    "coursedate_id",
    participants=several(some("id", "participant_id", "status", "status_id", coursedate=dates)),
    course=some("id", coursedates=several(dates)),
    coursedate=dates,
)
weird_lines = some(
    "id",
    quantity=scalars | st.decimals(allow_nan=False, allow_infinity=False),
    product=some("id", "title", "is_main_product", "currency"),
    users=several(some("id", "email", "firstname", "lastname", home_address=some("address", "city"))),
    database_relations=several(relations),
)


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(weird_lines, max_size=3),
    fields=some("first_user", "booker", "customer", "is_paid", "created_at", "calculated_totals"),
)
def test_every_seat_is_named_once_and_provisioned_or_held_whatever_the_record_holds(
    lines: list[dict[str, Any]], fields: dict[str, Any]
) -> None:
    before = copy.deepcopy(lines)
    order = ordered(*lines, **fields)
    places = [(each.id, seat.id) for each in order.lines for seat in each.seats]
    assert len(places) == len(set(places))
    for each in order.lines:
        for seat in each.seats:
            assert seat.learner is not None or seat.hold is not None
            assert "@" not in f"{each.id}{seat.id}"
            assert "/" not in f"{each.id}{seat.id}"
    assert order == ordered(*before, **fields)
    assert Order.model_validate(order.model_dump(mode="json")) == order


# The source


class Account(FrontcoreClient):
    """A client without an account: gives the pages it is told to, and remembers what was asked."""

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        self.pages = pages
        self.asked: list[dict[str, Any]] = []

    def iter_order_pages(self, **filters: Any) -> Iterator[list[Record]]:
        self.asked.append(filters)
        for page in self.pages:
            yield [Record.model_validate(each) for each in page]

    def retrieve_order(self, order_id: int, **details: Any) -> Record:
        for page in self.pages:
            for each in page:
                if each["id"] == order_id:
                    return Record.model_validate(each)
        raise NotFoundError("there is none")


def source(account: Account, provision_when: ProvisionWhen = "paid") -> FrontcoreSource:
    ticks = (NOON + number * HOUR for number in range(100))
    return FrontcoreSource(account, provision_when=provision_when, clock=lambda: next(ticks))


def test_one_order_is_fetched_when_it_is_asked_for() -> None:
    orders = source(Account(SAMPLES))
    assert orders.fetch("27243").payment is Payment.WAITING
    assert source(Account(SAMPLES), "created").fetch("27243").payment is Payment.PAID
    with pytest.raises(NotFoundError):
        orders.fetch("1")


def test_pages_tell_when_they_were_asked_for_when_they_are_walked() -> None:
    account = Account(SAMPLES[:1], SAMPLES[1:])
    pages = list(source(account, "created").walk_newest())
    assert [([order.id for order in page.orders], page.fetched_at) for page in pages] == [
        (["27244"], NOON),
        (["27243"], NOON + HOUR),
    ]
    assert account.asked == [{}]
    assert pages[1].orders[0].payment is Payment.PAID


def test_a_walk_begins_wider_than_any_zone_offset_before_when_it_has_a_beginning() -> None:
    account = Account(SAMPLES)
    assert [len(page.orders) for page in source(account).walk_changed(NOON)] == [2]
    assert len(list(source(account).walk_since(NOON))) == 1
    assert account.asked == [{"updated_at_min": NOON - 26 * HOUR}, {"created_at_min": NOON - 26 * HOUR}]


def test_a_poll_is_three_walks_when_nothing_is_asked_for_yet() -> None:
    account = Account(SAMPLES)
    walks = list(source(account).walks(polled_at=NOON, highest_id=27244))
    assert account.asked == []
    assert [(walk.until, walk.is_of_changes) for walk in walks] == [
        (Until.KNOWN_ID, False),
        (Until.END, False),
        (Until.END, True),
    ]
    assert [len(list(walk.pages)) for walk in walks] == [1, 1, 1]
    assert account.asked == [
        {"since_id": 27244 - OVERLAP_ORDERS},
        {"created_at_min": NOON - 26 * HOUR},
        {"updated_at_min": NOON - 26 * HOUR},
    ]


def test_all_orders_are_new_when_none_was_seen_before() -> None:
    account = Account(SAMPLES)
    newest = next(source(account).walks(polled_at=NOON, highest_id=0))
    assert len(list(newest.pages)) == 1
    assert account.asked == [{}]


def test_orders_are_as_before_when_they_are_annotated() -> None:
    orders = [to_order(Record.model_validate(each)) for each in SAMPLES]
    assert source(Account()).annotate(tuple(orders)) == orders


@pytest.mark.parametrize("id_field", ["id", "order_id", "OrderID"])
def test_an_order_is_read_from_a_body_when_that_is_a_whole_order(id_field: str) -> None:
    body = {name: value for name, value in SAMPLES[1].items() if name != "id"} | {id_field: "27243"}
    assert source(Account()).from_body(body) == to_order(Record.model_validate({"id": 27243} | body))
    assert source(Account(), "created").from_body(body).payment is Payment.PAID


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"id": 27243},
        {"id": 27243, "is_paid": True, "lines": []},
        {"id": 27243, "lines": "31399"},
        {"lines": SAMPLES[1]["lines"]},
        {"id": "lars@eksemel.ek", "lines": SAMPLES[1]["lines"]},
    ],
)
def test_a_body_is_refused_when_it_holds_no_order(body: dict[str, Any]) -> None:
    with pytest.raises(WebhookRejectedError) as caught:
        source(Account()).from_body(body)
    assert caught.value.status == 422
    assert caught.value.__context__ is None
    assert "lars" not in str(caught.value)
