from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from worker.ledger.views.records import ORDER_COLUMNS, RUN_COLUMNS
from worker.ledger.views.serializers import ORDER_FIELDS, RUN_FIELDS, csv_lines


def parsed(rows: list[dict[str, Any]], *fields: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO("".join(csv_lines(rows, fields)), newline="")))


def test_rows_come_back_as_they_were_when_they_hold_quotes_commas_and_line_breaks() -> None:
    rows = [{"a": 'Doe, "J"\nBoe', "b": None, "c": {"d": 7, "e": [12, 14]}, "f": True}]
    assert parsed(rows, "a", "b", "c.d", "c.e", "f", "x.y") == [
        ["a", "b", "c.d", "c.e", "f", "x.y"],
        ['Doe, "J"\nBoe', "", "7", "[12, 14]", "true", ""],
    ]


def test_the_heading_is_there_when_nothing_matches() -> None:
    assert list(csv_lines([], ["id", "state"])) == ["id,state\r\n"]


@pytest.mark.parametrize(
    "text", ["=1+1", "+49 170", "-2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\uff1dcmd|'/c calc'!A0"]
)
def test_a_formula_is_a_text_when_a_spreadsheet_opens_the_file(text: str) -> None:
    assert parsed([{"a": text}], "a")[1] == [f"'{text}"]


def test_a_number_stays_one_when_it_is_below_zero() -> None:
    assert parsed([{"a": -500}], "a")[1] == ["-500"]


def test_every_column_of_a_listing_is_in_its_file() -> None:
    assert {column.name for column in RUN_COLUMNS} - {name.partition(".")[0] for name in RUN_FIELDS} == set()
    missing = {column.name for column in ORDER_COLUMNS} - set(ORDER_FIELDS)
    assert missing == {"total_minor_units", "currency"}  # as total.minor_units and total.currency
