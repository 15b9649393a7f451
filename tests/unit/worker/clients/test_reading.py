"""`worker.clients.reading`: every notation the vendors are known for, and no crash on any other."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.clients.reading import (
    FieldNames,
    UnreadableError,
    as_bool,
    as_datetime,
    as_decimal,
    as_int,
    as_rows,
    as_text,
    by_field,
    decode,
    fold,
    is_html,
    read_document,
    unwrap,
    word_of,
)

NIL = 'xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true"'
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
ANYTHING = JSON_VALUES | st.floats() | st.decimals() | st.binary() | st.datetimes()


@pytest.mark.parametrize(
    ("body", "document"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('{"a": "é"}'.encode("utf-16"), {"a": "é"}),
        ('{"a": "é"}'.encode("cp1252"), {"a": "é"}),
        (b" \r\n true ", True),
        (b"null", None),
        (b'"text"', "text"),
        (b'"{\\"a\\": [1]}"', {"a": [1]}),
        (b'"\\ufeff[1]"', [1]),
        (b'"{not json}"', "{not json}"),
        (b"1.10", Decimal("1.10")),
        (b'"a\\u0000b\\ud83d"', "a\ufffdb\ufffd"),
        (b'{"a\\u0000": ["\\udc00", 1]}', {"a\ufffd": ["\ufffd", 1]}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b"<boolean>true</boolean>", "true"),
        (b'<?xml version="1.0" encoding="utf-16"?><int>5</int>', "5"),
        (b"<Order><OrderID>5</OrderID><Tax/></Order>", {"OrderID": "5", "Tax": ""}),
        (f"<Order {NIL}/>".encode(), None),
        (b"<ArrayOfOrder/>", []),
        (b"<ArrayOfOrder xmlns='x'><Order><ID>1</ID></Order></ArrayOfOrder>", [{"ID": "1"}]),
        (b"<r><a>1</a><a>2</a><a>3</a><b>x</b></r>", {"a": ["1", "2", "3"], "b": "x"}),
    ],
)
def test_a_document_is_read_when_it_comes_in_a_known_form(body: bytes, document: Any) -> None:
    assert read_document(body) == document


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "is empty"),
        (b" \xef\xbb\xbf\n", "is not JSON"),
        (b"<!DOCTYPE html><html></html>", "is an HTML page"),
        (b"<html><body/></html>", "is an HTML page"),
        (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x"><html/>', "is an HTML page"),
        (b"<!-- a proxy --> <HTML>", "is an HTML page"),
        (b"<a><b></a>", "is neither JSON nor well-formed XML"),
        (b'<!DOCTYPE r [<!ENTITY e "x">]><r>&e;</r>', "is neither JSON nor well-formed XML"),
        (b"secret words", "is not JSON"),
        (b'{"a": nan}', "is not JSON"),
        (b"[" + b"{}," * 150_000 + b"1]", "holds too many values"),
        (b"[" + b"0," * 750_000 + b"1]", "holds too many values"),
        (b"<r>" + b"<a/>" * 300_000 + b"</r>", "holds too many values"),
        (b"<r " + b" ".join(b'a%d=""' % number for number in range(150_001)) + b"/>", "holds too many values"),
        (b"[" * 70 + b"]" * 70, "is nested too deep"),
        (b"<a>" * 70 + b"</a>" * 70, "is nested too deep"),
        (b"[" * 100_000, "is nested too deep"),
    ],
)
def test_a_document_is_refused_without_quoting_it_when_it_cannot_be_read(body: bytes, problem: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        read_document(body)
    assert str(caught.value) == problem
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@given(st.binary(max_size=200))
def test_nothing_but_unreadable_is_raised_when_a_body_is_garbage(body: bytes) -> None:
    with suppress(UnreadableError):
        read_document(body)


@settings(max_examples=25)
@given(st.dictionaries(st.text(max_size=10), JSON_VALUES, max_size=5))
def test_json_comes_back_as_it_was_when_it_was_encoded_once_or_twice(value: dict[str, Any]) -> None:
    once = json.dumps(value)
    if "\\u0000" in once:
        return
    assert read_document(once.encode()) == value
    assert read_document(json.dumps(once).encode()) == value


@pytest.mark.parametrize(
    ("document", "value"),
    [
        ({"d": 1}, 1),
        ({"D": {"addCustomerResult": [1]}}, [1]),
        ({"addCustomerResult": None}, None),
        ({"addCustomerResponse": {"addCustomerResult": "x"}}, "x"),
        ({"d": '{"a": 1}'}, {"a": 1}),
        ({"d": 1, "e": 2}, {"d": 1, "e": 2}),
        ({"other": 1}, {"other": 1}),
        ([{"d": 1}], [{"d": 1}]),
        ({"d": "{broken"}, "{broken"),
    ],
)
def test_a_value_is_unwrapped_when_its_method_s_name_is_around_it(document: Any, value: Any) -> None:
    assert unwrap(document, "addCustomer") == value


@pytest.mark.parametrize("key", ["Order ID", "order_id", "OrderID", "orderId", " ORDER  ID", "Order_x0020_ID"])
def test_two_keys_are_one_when_only_spaces_underscores_and_case_differ(key: str) -> None:
    assert fold(key) == "orderid"


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (True, "true"), (5, "5"), (Decimal("1.50"), "1.50"), (None, None), ([], None), ({}, None)],
)
def test_a_text_is_read_when_a_value_has_one(value: Any, text: str | None) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("value", "truth"),
    [
        (True, True),
        ("true", True),
        (" True ", True),
        (1, True),
        ("1", True),
        (False, False),
        ("False", False),
        (0, False),
        ("0", False),
        ("yes", None),
        (2, None),
        ("", None),
        (None, None),
        ({}, None),
    ],
)
def test_a_truth_value_is_read_when_it_is_written_as_vendors_do(value: Any, truth: bool | None) -> None:
    assert as_bool(value) is truth


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (7, 7),
        ("7", 7),
        (" -7 ", -7),
        ("+7", 7),
        ("7.0", 7),
        (Decimal("7.00"), 7),
        (7.0, 7),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        ("9" * 30, None),
        ("7.5", None),
        ("\u0667", None),
        ("0x7", None),
        ("7 8", None),
        (True, None),
        (None, None),
        ("", None),
        ([7], None),
    ],
)
def test_a_whole_number_is_read_when_a_ledger_can_hold_it(value: Any, number: int | None) -> None:
    assert as_int(value) == number


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("19.90", Decimal("19.90")),
        (5, Decimal(5)),
        (0.1, Decimal("0.1")),
        (Decimal("1.10"), Decimal("1.10")),
        ("NaN", None),
        ("Infinity", None),
        ("$5", None),
        ("", None),
        (True, None),
        (None, None),
        ({}, None),
    ],
)
def test_a_decimal_is_exact_when_it_is_read(value: Any, number: Decimal | None) -> None:
    assert as_decimal(value) == number


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("/Date(1700000000000)/", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("/Date(1700000000000-0500)/", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("\\/Date(1700000000000+0200)\\/", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("/Date(-1000)/", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2023-05-27T08:14:00", datetime(2023, 5, 27, 8, 14, tzinfo=UTC)),
        (" 2023-05-27 08:14:00 ", datetime(2023, 5, 27, 8, 14, tzinfo=UTC)),
        ("2023-05-27T08:14:00.1234567Z", datetime(2023, 5, 27, 8, 14, 0, 123456, tzinfo=UTC)),
        ("2023-05-27T08:14:00-05:00", datetime(2023, 5, 27, 13, 14, tzinfo=UTC)),
        ("2023-05-27", datetime(2023, 5, 27, tzinfo=UTC)),
        ("5/27/2023 1:44:00 PM", datetime(2023, 5, 27, 13, 44, tzinfo=UTC)),
        ("05/27/2023 12:05:09 am", datetime(2023, 5, 27, 0, 5, 9, tzinfo=UTC)),
        ("05/27/2023 12:05 p.m.", datetime(2023, 5, 27, 12, 5, tzinfo=UTC)),
        ("05/27/2023, 13:44:00 PM", datetime(2023, 5, 27, 13, 44, tzinfo=UTC)),
        ("05/27/2023", datetime(2023, 5, 27, tzinfo=UTC)),
        (datetime(2023, 5, 27, tzinfo=timezone(timedelta(hours=2))), datetime(2023, 5, 26, 22, tzinfo=UTC)),
        ("/Date(-62135596800000)/", None),
        ("0001-01-01T00:00:00", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("/Date(99999999999999999)/", None),
        ("13/45/2023", None),
        ("27.05.2023", None),
        ("soon", None),
        ("", None),
        (1700000000000, None),
        (None, None),
    ],
)
def test_a_date_is_aware_utc_when_it_is_read(value: Any, moment: datetime | None) -> None:
    read = as_datetime(value)
    assert read == moment
    assert read is None or read.tzinfo is UTC


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001 -- made aware below
def test_all_notations_of_a_moment_agree_when_it_is_any(moment: datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    milliseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    hour, half = moment.hour % 12 or 12, "PM" if moment.hour >= 12 else "AM"
    for written in (
        f"/Date({milliseconds}-0500)/",
        moment.isoformat(),
        moment.replace(tzinfo=None).isoformat(" "),
        f"{moment:%m/%d/%Y} {hour}:{moment:%M:%S} {half}",
    ):
        assert as_datetime(written) == moment


@given(ANYTHING)
def test_no_reader_fails_when_a_value_is_anything(value: object) -> None:
    for read in (as_text, as_bool, as_int, as_decimal, as_datetime, word_of):
        read(value)
    as_rows(value, "Row")
    unwrap(value, "method")


@pytest.mark.parametrize(
    ("value", "rows"),
    [
        (None, []),
        ("", []),
        ({}, []),
        ([], []),
        ([{"a": 1}], [{"a": 1}]),
        ({"OrderDetail": {"a": 1}}, [{"a": 1}]),
        ({"order_detail": [1, 2]}, [1, 2]),
        ({"a": 1}, [{"a": 1}]),
        ({"a": 1, "OrderDetail": 2}, [{"a": 1, "OrderDetail": 2}]),
    ],
)
def test_rows_are_found_when_a_list_is_written_in_any_way(value: Any, rows: list[Any]) -> None:
    assert as_rows(value, "OrderDetail") == rows


def test_the_first_value_counts_when_two_keys_mean_one_field() -> None:
    record = {"Order ID": None, "OrderID": 5, "order_id": 6, "Other Thing": 1}
    assert by_field(record, FieldNames({"orderid": "order_id"})) == {"order_id": 5, "Other Thing": 1}


def test_nothing_is_lost_but_the_unreadable_when_bytes_are_decoded() -> None:
    assert decode(b"\xff\xfea\x00") == "a" or decode(b"\xff\xfea\x00") == "\ufeffa"
    assert decode(b"\x81") == "\ufffd"


def test_a_page_is_told_from_xml_when_both_begin_alike() -> None:
    assert is_html('<?xml version="1.0"?><html>')
    assert not is_html('<?xml version="1.0"?><ArrayOfOrder>')
    assert not is_html("<header>")
