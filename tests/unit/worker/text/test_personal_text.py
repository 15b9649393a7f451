"""What describes a person is taken out of others' texts, however it is spelled, and nothing else is."""

from __future__ import annotations

import json

import pytest

from worker.text.personal_text import (
    ERASED,
    PERSON,
    has_prose,
    masked,
    personal_words,
    without_words,
    words_of_record,
)

JANE = {
    "email": "jane@shop.test",
    "first_name": "Jane",
    "last_name": "O'Döe-Smith",
    "address": {"line_1": "17 Elm St", "city": "Örebro", "zip": "PL4", "state": "UT", "country": None},
}
WORDS = personal_words(JANE, None, {})


@pytest.mark.parametrize(
    "spelled",
    [
        "JANE",
        "o'döe-smith",
        "Jane O'Döe-Smith",
        "17 elm st",
        json.dumps("O'Döe-Smith")[1:-1],
        "O&#x27;Döe-Smith",
        "O%27D%C3%B6e-Smith",
        "PL4",
    ],
)
def test_person_is_masked_when_a_text_spells_them_otherwise(spelled: str) -> None:
    assert without_words(f"no <{spelled}>, sorry", WORDS, mark=ERASED) == "no <[erased]>, sorry"


@pytest.mark.parametrize("text", ["Janet", "a PL49", "UT", "jo.jane@shop.test", "jane@shop.test.example", "Elm St 17"])
def test_text_stays_when_it_only_holds_the_letters(text: str) -> None:
    assert without_words(text, WORDS - {"Jane"}) == text


def test_code_stays_when_somebody_is_called_so() -> None:
    words = personal_words({"first_name": "refused_by_source", "last_name": "1109"})
    assert masked("refused_by_source", words) == "refused_by_source"
    assert masked("studiocart/1109", words) == "studiocart/1109"
    assert masked("asked by a@b.test", words) == "asked by …"


def test_one_letter_is_no_name_when_a_name_is_short() -> None:
    assert personal_words({"first_name": "J", "last_name": "Ng"}) == {"Ng", "J Ng", "Ng J"}


@pytest.mark.parametrize(
    ("value", "expected_text"), [({"a": ["x", 1]}, False), ({"a": ["x y"]}, True), ("é", True), (None, False)]
)
def test_prose_is_told_from_codes_when_a_value_is_looked_at(value: object, *, expected_text: bool) -> None:
    assert has_prose(value) is expected_text


@pytest.mark.parametrize("before", ["mailto:", "E-post:", "['", "{", "email=", "a/", "|", "x\\", "(", "<", '"', " '"])
def test_email_is_masked_when_no_space_parts_it_from_what_stands_before(before: str) -> None:
    assert without_words(f"{before}jane@example.test", ["jane@example.test"]) == f"{before}{PERSON}"


@pytest.mark.parametrize(
    "other", ["o'jane@example.test", "jo.jane@example.test", "a+jane@example.test", "øjane@example.test"]
)
def test_another_email_stays_when_it_ends_as_the_one_that_is_masked(other: str) -> None:
    assert without_words(other, ["jane@example.test"]) == other


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        ("小明", "王", "王小明来电"),
        ("小明", "王", "小明的母亲"),
        ("花子", "山田", "山田花子さんから電話"),
        ("철수", "김", "김철수가 전화했다"),
        ("สมชาย", "ใจดี", "คุณสมชายโทรมา"),
    ],
)
def test_name_is_masked_when_its_script_parts_no_words(first: str, last: str, text: str) -> None:
    reported = without_words(text, personal_words({"first_name": first, "last_name": last}))
    assert PERSON in reported
    assert first not in reported


def test_records_own_fields_describe_a_person_when_our_document_has_none_of_them() -> None:
    record = {
        "customer_address": "1 Planted Street",
        "customer_phone": "+1 555 0100",
        "status": "paid",
        "id": 7001,
        "shipping": {"zip_code": "PL4 9NT", "method": "by post"},
    }
    assert words_of_record(record) == {"1 Planted Street", "+1 555 0100", "PL4 9NT"}


def test_only_what_stands_beside_an_email_is_theirs_when_a_record_is_of_several() -> None:
    record = {
        "invoice_address": {"address": "9 Company Road"},
        "users": [
            {"email": "Jane@Example.test", "home_address": {"address": "1 Planted Street", "phone": None}},
            {"email": "john@example.test", "home_address": {"address": "2 Other Street"}},
        ],
    }
    assert words_of_record(record, "jane@example.test") == {"1 Planted Street"}
