"""A list of people as somebody pastes or exports it: CSV with or without a heading, or `Jane Doe <jane@x.example>`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Final

from worker.errors import CartbridgeError
from worker.text.email_address import email_problem, folded, trimmed_email
from workflows.operations.seats import Person

MOST_PEOPLE: Final = 1_000
_HEADINGS: Final = {
    "email": ("email", "e-mail", "mail", "email address", "e-mail address", "address"),
    "first": ("first", "first name", "firstname", "first_name", "given name", "vorname", "fornavn", "prenom"),
    "last": ("last", "last name", "lastname", "last_name", "surname", "family name", "nachname", "etternavn", "nom"),
}
_LONGEST_LINE: Final = 1_000
"""Characters. No person's line is longer; what is, is not a list of people."""


class PeopleListError(CartbridgeError):
    """A list that cannot be read; the message names the line and what is wrong with it, and quotes nobody."""


def read_people(text: str) -> list[Person]:
    """The people of a list, a line each: `email, first, last` in any order where a heading or the @ tells.

    Raises `PeopleListError`: a list is taken whole or not at all.
    """
    lines = [(number, line) for number, line in enumerate(text.lstrip("\ufeff").splitlines(), start=1) if line.strip()]
    if not lines:
        raise PeopleListError("The list is empty: a line for each person, as email, first name, last name.")
    if len(lines) > MOST_PEOPLE:
        raise PeopleListError(f"The list has more than {MOST_PEOPLE} lines.")
    if too_long := next((number for number, line in lines if len(line) > _LONGEST_LINE), None):
        raise PeopleListError(f"Line {too_long} is longer than {_LONGEST_LINE} characters.")
    delimiter = max(",;\t", key=lines[0][1].count)
    rows = [(number, _cells(line, delimiter)) for number, line in lines]
    heading = _heading(rows[0][1])
    if heading:
        rows = rows[1:]
    return [_person(number, line, heading) for number, line in rows]


def _cells(line: str, delimiter: str) -> list[str]:
    name, opening, rest = line.partition("<")
    email, closing, tail = rest.partition(">")
    if opening and closing and tail.strip() in {"", ",", ";"}:
        first, _, last = name.strip("\"' \t").rpartition(" ")
        return [email, first or last, last if first else ""]
    return [" ".join(cell.split()) for cell in next(csv.reader(io.StringIO(line), delimiter=delimiter), [])]


def _heading(cells: Sequence[str]) -> dict[str, int]:
    """Where each column is, by the first line; empty where that is a person already."""
    if any("@" in cell for cell in cells):
        return {}
    names = [folded(cell.strip()) for cell in cells]
    found = {
        column: next((names.index(each) for each in spellings if each in names), -1)
        for column, spellings in _HEADINGS.items()
    }
    if found["email"] < 0:
        raise PeopleListError("Line 1 holds no address, and no heading with a column “email”.")
    return found


def _person(number: int, cells: Sequence[str], heading: dict[str, int]) -> Person:
    if heading:
        email, first, last = (
            cells[heading[column]] if 0 <= heading[column] < len(cells) else "" for column in ("email", "first", "last")
        )
    else:
        email = next((cell for cell in cells if "@" in cell), "")
        names = [cell for cell in cells if "@" not in cell and cell]
        if len(names) == 1:
            first, _, last = names[0].rpartition(" ")
            names = [first, last]
        first, last = (*names, "", "")[:2]
    problem = email_problem(email)
    if problem is not None:
        raise PeopleListError(f"Line {number}: the address {problem}.")
    if not first and not last:
        raise PeopleListError(f"Line {number} holds no name.")
    if not first or not last:
        need = "first and last are needed; for somebody of one name, give that one twice."
        raise PeopleListError(f"Line {number} holds one name: {need}")
    return Person(trimmed_email(email), first, last)
