from __future__ import annotations

import pytest

from workflows.operations.people_list import MOST_PEOPLE, PeopleListError, read_people
from workflows.operations.seats import Person

JANE, KIM = Person("jane@x.example", "Jane", "Doe"), Person("kim@x.example", "Kim", "van Lee")


@pytest.mark.parametrize(
    "text",
    [
        "jane@x.example,Jane,Doe\nkim@x.example,Kim,van Lee",
        "\ufeffEmail;First name;Last name\r\njane@x.example;Jane;Doe\r\nkim@x.example;Kim;van Lee\r\n\r\n",
        "Nachname\tVorname\tE-Mail\nDoe\tJane\tjane@x.example\nvan Lee\tKim\tkim@x.example",
        'Jane,Doe,jane@x.example\nKim,"van Lee",kim@x.example',
    ],
)
def test_a_list_is_read_when_it_is_written_as_people_export_it(text: str) -> None:
    assert read_people(text) == [JANE, KIM]


def test_names_and_addresses_are_told_apart_when_they_are_pasted_from_a_mail() -> None:
    assert read_people("Jane Doe <jane@x.example>,\n jane@x.example , Jane Doe ") == [JANE, JANE]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("name,first\nJane,Doe", "Line 1 holds no address"),
        ("jane@x.example,Jane,Doe\nkim@@x.example,Kim,Lee", "Line 2: the address has more than one @"),
        ("jane@x.example", "Line 1 holds no name"),
        ("jane@x.example,Jane,Doe\nkim@x.example,Kim", "Line 2 holds one name: first and last are needed"),
        ("jane@x.example,J,D\n" * (MOST_PEOPLE + 1), "more than 1000 lines"),
    ],
)
def test_a_list_is_refused_whole_when_a_line_is_wrong(text: str, problem: str) -> None:
    with pytest.raises(PeopleListError, match=problem):
        read_people(text)


@pytest.mark.parametrize("unit", ["<", ">", '"', " ", "\x00", "\u202e", ",", "a@b.no <", "\ud800", "=cmd()", "\u2028"])
@pytest.mark.parametrize("size", [1, 999, 200_000])
def test_a_list_is_read_or_refused_when_it_is_hostile(unit: str, size: int) -> None:
    for text in (unit * size, f"jane@x.example,Jane,{unit * size}", f"{unit * size} <jane@x.example>"):
        try:
            read_people(text)
        except PeopleListError:
            continue
