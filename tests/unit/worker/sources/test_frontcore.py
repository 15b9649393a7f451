"""`worker.sources.frontcore`: a record of Frontcore's as an order of ours: payment, money, times, people."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worker.sources.frontcore_records import SAMPLES, line, ordered, place, user
from worker.clients.frontcore.models import Order as Record
from worker.ledger import keys
from worker.sources.frontcore import ProvisionWhen, to_order
from worker.sources.order import Address, Learner, Line, Money, Order, Payment, Product, Seat

HOUR = timedelta(hours=1)


# The document's own orders


def test_the_document_s_paid_order_is_read_as_it_stands() -> None:
    order = to_order(Record.model_validate(SAMPLES[0]))
    learner = Learner(
        email="lars@eksemel.ek",
        first_name="Lars",
        last_name="Larsen",
        address=Address(line_1="Veien 2", city="Oslo", zip="3120", country="Norway"),
    )
    silent = frozenset({"waiting_list", "course_cancelled", "unknown_status"})
    seat = Seat(id="participant-124920-user-154420", learner=learner, course_date_id="9304757", undenied=silent)
    product = Product(product_id="8079", course_id="22353")
    assert order == Order(
        source="frontcore",
        id="27244",
        status="paid",
        payment=Payment.PAID,
        created_at=datetime(2017, 3, 31, 18, 27, 4, tzinfo=UTC),
        buyer_email="lars@eksemel.ek",
        buyer_name="Lars Larsen",
        company="Beste Kunde AS",
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
        ({"is_paid": 1.0}, Payment.PAID),
        ({"is_paid": "1.0"}, Payment.PAID),
        ({"is_paid": "0.0"}, Payment.WAITING),
        ({"is_paid": ""}, Payment.WAITING),
        ({"is_paid": []}, Payment.WAITING),
        ({"is_paid": "yes"}, Payment.UNKNOWN),
        ({"is_paid": 2}, Payment.UNKNOWN),
        ({"is_paid": {"id": 1}}, Payment.UNKNOWN),
        ({"is_paid": False, "calculated_totals": {"total_amount_incl_discounts_and_vat": 0}}, Payment.PAID),
        ({"is_paid": False, "calculated_totals": {"total_amount_incl_discounts_and_vat": "0.00"}}, Payment.PAID),
        ({"is_paid": False, "calculated_totals": {"total_amount_incl_discounts_and_vat": None}}, Payment.WAITING),
        ({"is_paid": False, "calculated_totals": []}, Payment.WAITING),
    ],
)
def test_an_order_is_paid_when_it_says_so_or_costs_nothing(fields: dict[str, Any], payment: Payment) -> None:
    assert ordered(**fields).payment is payment
    assert ordered(**fields, provision_when="created").payment is Payment.PAID


@pytest.mark.parametrize("provision_when", ["paid", "created"])
def test_a_person_is_asked_when_the_total_is_below_zero(provision_when: ProvisionWhen) -> None:
    order = ordered(
        line(), calculated_totals={"total_amount_incl_discounts_and_vat": "-1500.00"}, provision_when=provision_when
    )
    assert (order.payment, order.status) == (Payment.UNKNOWN, "paid, total below zero")


def test_a_name_is_as_people_read_it_when_it_holds_entities() -> None:
    order = ordered(line(place(1, 10), users=(user(10, name="Sin&eacute;ad O&#039;Neil"),)))
    learner = order.lines[0].seats[0].learner
    assert learner is not None
    assert (learner.first_name, learner.last_name) == ("Sinéad", "O'Neil")


def test_an_address_is_as_people_read_it_when_it_holds_entities() -> None:
    address = {"address": "St. Mary&#039;s Road 1", "address_2": "Smith &amp; Sons", "city": "Mal&oslash;y"}
    customer = {"country": {"title": "C&ocirc;te d&#039;Ivoire"}}
    order = ordered(line(place(1, 10), users=(user(10, work_address=address),)), customer=customer)
    learner = order.lines[0].seats[0].learner
    assert learner is not None
    assert learner.address is not None
    assert learner.address.line_1 == "St. Mary's Road 1"
    assert learner.address.line_2 == "Smith & Sons"
    assert (learner.address.city, learner.address.country) == ("Maløy", "Côte d'Ivoire")


def test_the_status_names_what_says_neither_paid_nor_unpaid() -> None:
    order = to_order(Record.model_validate(SAMPLES[1] | {"is_paid": " partly, a@b.no "}))
    assert order.status == "is_paid partly, …"


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
        ("1e-999999", "NOK", None),
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
        ({"lines": [line(users=None, database_relations=None)]}, False),
        ({"lines": [line(place(1, 10), users=(user(10),))]}, True),
        ({"lines": [line(place(1, 10), users=[])]}, True),
    ],
)
def test_nobody_is_taken_as_removed_when_the_record_does_not_say_who_is_there(
    fields: dict[str, Any], known: bool
) -> None:
    assert ordered(**fields).lines_known is known


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
    kept = order.model_dump(mode="json")  # without what a record says nothing of
    assert Order.model_validate(kept).model_dump(mode="json") == kept
