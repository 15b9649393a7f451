"""`worker.clients.json_text`: unreadable numbers are texts, and JSON is found amid notices where there is one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from worker.clients.json_text import UnreadableError, find_json, parse_json, without_trailing_commas
from worker.clients.reading import as_datetime, as_decimal, as_int, as_quantity, read_document, read_tolerantly

NOTICE = "<br />\n<b>Notice</b>:  Undefined index: foo in <b>/var/www/x.php</b> on line <b>12</b><br />\n"
QUOTE = "'Notice : Undefined index: foo in /var/www/x.php on line 12'"
HOSTILE_NUMBERS = (
    "1e999999999999999999",
    "-1e999999999999999999",
    "1E-999999999999999999",
    "0e999999999999999999",
    "1e400",
    "-1e400",
    "1e-400",
    "1.5e99",
    "9" * 5000,
    "-" + "9" * 5000,
    "9" * 5000 + ".5",
    "0." + "3" * 5000,
    "1e" + "9" * 5000,
    "NaN",
    "Infinity",
    "-Infinity",
)


@pytest.mark.parametrize("number", HOSTILE_NUMBERS)
def test_a_number_is_an_unreadable_field_when_nothing_can_hold_it(number: str) -> None:
    document = read_document(f'{{"a": {number}, "b": [{number}], "id": 7}}'.encode())
    assert document["id"] == 7
    for value in (document["a"], document["b"][0], number):
        assert as_int(value) is None
        assert as_decimal(value) in {None, Decimal(0)}
        assert as_datetime(value) is None
        assert len(str(value)) <= 5010


def test_a_value_is_unreadable_when_it_is_no_number_of_json() -> None:
    for number in (10**5000, -(10**5000), float("nan"), float("-inf"), Decimal("NaN"), Decimal("sNaN")):
        assert as_int(number) is None
        assert as_decimal(number) is None


@pytest.mark.parametrize(
    ("written", "quantity"),
    [
        (3, Decimal(3)),
        ("2.0", Decimal(2)),
        (None, None),
        ("", None),
        ("two", Decimal(-1)),
        ("1,000", Decimal(-1)),
        ("2,0", Decimal(-1)),
        ([2], Decimal(-1)),
        (True, None),
        (False, None),
        ([], None),
        (" ", None),
        ("1e999999999999999999", Decimal(10) ** 18),
        ("-1e400", -(Decimal(10) ** 18)),
        ("NaN", Decimal(10) ** 18),
        (float("-inf"), -(Decimal(10) ** 18)),
        ("9" * 5000, Decimal(10) ** 18),
    ],
)
def test_a_quantity_is_many_when_it_is_more_than_can_be_read(written: Any, quantity: Decimal | None) -> None:
    assert as_quantity(written) == quantity
    assert as_quantity(10**5000) == Decimal(10) ** 18


@pytest.mark.parametrize(
    ("text", "document", "surroundings"),
    [
        (NOTICE + '{"id": 1}', {"id": 1}, f"the JSON is preceded by {QUOTE}"),
        ("\nNotice: x in /a.php on line 3\n[1]", [1], "the JSON is preceded by 'Notice: x in /a.php on line 3'"),
        (
            "\ufeff\ufeff" + NOTICE + "\ufeff[1]",
            [1],
            f"the JSON is preceded by 3 byte-order marks and {QUOTE}",
        ),
        ('[{"id": 1}]\n<!-- Cached by [x] -->', [{"id": 1}], "the JSON is followed by 'Cached by [x]'"),
        ('<!-- a -->{"id": 1}', {"id": 1}, "the JSON is preceded by 'a'"),
        ("[1]" + NOTICE, [1], f"the JSON is followed by {QUOTE}"),
        ("<br /><b>Warning</b>: jo@x.no 'q'<br />\n[]", [], "the JSON is preceded by 'Warning : … ’q’'"),
    ],
)
def test_json_is_found_when_notices_or_comments_stand_around_it(text: str, document: Any, surroundings: str) -> None:
    found = find_json(text)
    assert (found.document, found.surroundings) == (document, surroundings)


@pytest.mark.parametrize(
    "text",
    [
        '{"error": "x"}\n{"id": 1}',
        '{"id": 1}{"id": 2}',
        NOTICE + '[{"a": 1},\n{"id": 2}\n',
        '[{"a": 1},\n{"id": 2}\n',
        'login ok\n{"id": 1}',
        '{"id": 1} and more',
        NOTICE + '{"id": 1}\n' + NOTICE + '{"id": 2}',
        '<b>Notice</b><!DOCTYPE html><html><script>\n{"id": 1}</script>',
        "no brackets",
        "x" * 500 + "[1]",
        "[" * 70 + "]" * 70,
        "\n[" * 100_000,
        "",
    ],
)
def test_nothing_is_guessed_when_there_is_not_one_whole_document(text: str) -> None:
    with pytest.raises(UnreadableError):
        find_json(text)


def test_an_error_says_what_stands_where_when_nothing_can_be_read() -> None:
    with pytest.raises(UnreadableError) as caught:
        read_document((NOTICE + '{"id": 1}').encode())
    assert caught.value.surroundings == f"the JSON is preceded by {QUOTE}"
    assert str(caught.value) == "is neither JSON nor well-formed XML"
    with pytest.raises(UnreadableError) as caught:
        read_tolerantly((NOTICE + '{"id": 1').encode())
    assert caught.value.surroundings == f"the JSON is preceded by {QUOTE}"


def test_byte_order_marks_are_told_when_a_document_is_read_all_the_same() -> None:
    assert read_tolerantly(b"\xef\xbb\xbf" * 3 + b" [1]").document == [1]
    assert read_tolerantly(b"\xef\xbb\xbf" * 3 + b"[1]").surroundings == "the JSON is preceded by 3 byte-order marks"
    assert read_tolerantly(b"\xef\xbb\xbf" * 2 + b"<int>5</int>").document == "5"
    assert read_tolerantly(b"[1]").surroundings == ""
    with pytest.raises(UnreadableError, match="is an HTML page"):
        read_tolerantly(b"\xef\xbb\xbf<html>\n[1]</html>")


def test_commas_are_taken_out_when_they_stand_before_a_closing_bracket() -> None:
    assert parse_json(without_trailing_commas('[{"a": "x,]\\",}", },\n]')) == [{"a": 'x,]",}'}]
    assert without_trailing_commas('"' + '\\"' * 100_000) == '"' + '\\"' * 100_000
    assert without_trailing_commas('"\\') == '"\\'
