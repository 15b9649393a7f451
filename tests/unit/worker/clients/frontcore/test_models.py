"""`worker.clients.frontcore.models`: every field of the vendor's own sample, and what may come in its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from worker.clients.frontcore.models import Address, CourseDate, Order, Participant, Relation, User
from worker.sandbox.seeds import seed_records

SAMPLES = seed_records("frontcore", "orders")


def parts(record: BaseModel) -> Iterator[BaseModel]:
    yield record
    for _, value in record:
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, BaseModel):
                yield from parts(each)


def test_every_field_of_the_sample_has_its_place_when_it_is_read() -> None:
    order = Order.model_validate(SAMPLES[0])
    assert {type(part).__name__ for part in parts(order)} == {
        "Order", "Customer", "Country", "Address", "User", "Line", "Currency", "Relation", "Product", "Totals",
    }  # fmt: skip
    assert [part.model_extra for part in parts(order)] == [{}] * len(list(parts(order)))
    read = order.model_dump()
    assert {name for name, value in SAMPLES[0].items() if value is not None and read[name] is None} == set()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: str(sample["id"]))
def test_what_is_kept_says_what_the_sample_says_when_it_is_dumped(sample: dict[str, Any]) -> None:
    stored = json.loads(Order.model_validate(sample).model_dump_json(exclude_unset=True))

    def same(given: Any, read: Any) -> bool:
        if isinstance(given, dict):
            return given.keys() == read.keys() and all(same(given[name], read[name]) for name in given)
        if isinstance(given, list):
            return len(given) == len(read) and all(map(same, given, read))
        if isinstance(given, int | float) and not isinstance(given, bool):
            return str(given) == str(read)
        return bool(given == read)

    assert same(sample, stored)


def test_ids_are_text_and_amounts_exact_when_an_order_is_read() -> None:
    order = Order.model_validate(SAMPLES[0])
    assert order.customer is not None
    assert order.lines is not None
    line = order.lines[0]
    assert line.product is not None
    assert line.database_relations is not None
    assert line.users is not None
    assert order.calculated_totals is not None
    assert (order.id, line.id, line.product.id, line.database_relations[0].course_id) == (
        27244,
        "31400",
        "8079",
        "22353",
    )
    assert (order.customer.idStatus, order.customer.duedate_days) == ("1", 10)
    assert (order.is_paid, line.product.is_main_product) == (True, True)
    assert (line.quantity, order.calculated_totals.total_amount_incl_discounts_and_vat) == (Decimal(1), Decimal(1500))
    assert (line.users[0].home_address, line.users[0].firstname) == (
        Address(address="Veien 2", zipcode="3120", city="Oslo", address_2=None, address_3=None, phone=None),
        "Lars",
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (5, "5"),
        ("5", "5"),
        (" 5 ", "5"),
        (5.0, "5"),
        (Decimal("5.0"), "5"),
        ("A-5", "A-5"),
        (0, None),
        ("0", None),
        (-1, None),
        ("", None),
        (None, None),
        (True, None),
        ([], None),
        ("lars@eksemel.ek", None),
        ("5/6", None),
    ],
)
def test_an_id_is_text_that_fits_a_key_when_it_is_read(written: Any, read: str | None) -> None:
    assert User.model_validate({"id": written}).id == read


@pytest.mark.parametrize(
    ("written", "read"), [(True, True), ("1", True), (1, True), ("true", True), (0, False), ("", None), ({}, None)]
)
def test_a_truth_is_understood_when_it_is_written_otherwise(written: Any, read: bool | None) -> None:
    assert Order.model_validate({"id": 1, "is_paid": written}).is_paid is read


@pytest.mark.parametrize("nothing", [None, [], {}, "", False, 5, [{}, {}]])
def test_an_object_is_nothing_when_it_is_empty_or_another_thing(nothing: Any) -> None:
    order = Order.model_validate({"id": 1, "customer": nothing, "first_user": nothing, "calculated_totals": nothing})
    assert (order.customer, order.first_user, order.calculated_totals) == (None, None, None)


def test_an_object_is_read_when_it_comes_in_a_list_of_one() -> None:
    customer = Order.model_validate({"id": 1, "customer": [{"id": 5}]}).customer
    assert customer is not None
    assert customer.id == "5"


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ([{"id": 1}, {"id": 2}], 2),
        ({"0": {"id": 1}, "2": {"id": 2}}, 2),
        ({"id": 1}, 1),
        ([{"id": 1}, None, "x"], 1),
        ([], 0),
        ({}, None),
        (None, None),
        ("x", None),
    ],
)
def test_lines_are_told_apart_from_silence_when_they_are_read(written: Any, count: int | None) -> None:
    lines = Order.model_validate({"id": 1, "lines": written}).lines
    assert (None if lines is None else len(lines)) == count


@pytest.mark.parametrize("status", [3, "3", {"id": 3, "title": "x"}, {"status_id": "3"}])
def test_a_status_is_its_number_when_it_is_written_otherwise(status: Any) -> None:
    assert CourseDate.model_validate({"status": status}).status == 3
    assert Participant.model_validate({"status_id": status}).status_id == 3


def test_what_is_included_is_read_when_it_is_asked_for() -> None:
    relation = Relation.model_validate(
        {
            "course": {"id": 1, "title": "Learn", "coursedates": [{"id": 2, "status": 2, "place": "Sem"}]},
            "participants": [{"id": 3, "status": 1, "attendance": []}],
        }
    )
    assert relation.course is not None
    assert relation.course.coursedates is not None
    assert relation.participants is not None
    assert relation.course.coursedates[0].model_extra == {"place": "Sem"}
    assert relation.participants[0].model_extra == {"attendance": []}


@pytest.mark.parametrize("order_id", [None, 0, -5, "x", "", True, 2**63])
def test_an_order_is_refused_when_its_id_is_no_positive_number(order_id: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Order.model_validate({"id": order_id, "invoice_email": "lars@eksemel.ek"})
    assert "lars" not in str(caught.value)


values = st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=5)
anything = values | st.lists(values, max_size=2) | st.dictionaries(st.text(max_size=5), values, max_size=2)


@settings(max_examples=40, deadline=None)
@given(fields=st.dictionaries(st.sampled_from(sorted(Order.model_fields)), anything, max_size=6), name=st.text())
def test_an_order_is_read_whatever_its_fields_hold_when_it_has_an_id(fields: dict[str, Any], name: str) -> None:
    order = Order.model_validate({name: "kept"} | fields | {"id": "7"})
    assert order.id == 7
    assert name in {**Order.model_fields, **(order.model_extra or {})}
