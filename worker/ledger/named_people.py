"""Whom a text that an operator typed may name: people of the ledger whose names stand in it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, Text, cast, or_, select

from worker.ledger.tables.page_indexes import begins
from worker.ledger.tables.runs import orders, runs
from worker.text.personal_text import is_unspaced

_RECENT_ROWS: Final = 10_000
"""Among so many of the newest orders and runs any part of a name is looked for: no index finds it."""
_MOST_WORDS: Final = 40
_CACHED_SECONDS: Final = 10.0
"""How long an answer is used again: a bulk change records one reason a thousand times."""
_MOST_WORDS_OF_A_NAME: Final = 6
_CACHE: Final = "cartbridge_named_people"
_NAME: Final = re.compile(r"[^\W\d_](?:[^\W_]|['\u2019.-])+")
"""A word that may be a name, or a part of one."""
_APOSTROPHE: Final = re.compile("['\u2019]")


def words_of_the_named(connection: Connection, text: str) -> frozenset[str]:
    """What to take out of `text` of the people known to the ledger: whole names in either order, and, where it is
    written with a capital letter, a first or a last name alone.

    Looks at the newest 10,000 orders and runs, and at all buyers whose name begins with one of the text's words.
    """
    if " " not in text and text.islower():
        return frozenset()  # one of our own codes
    found = [part for word in _NAME.findall(text) for part in (word, _APOSTROPHE.split(word)[0])]
    found += [part for word in found if any(map(is_unspaced, word)) for part in _windows(word)]
    words = list(dict.fromkeys(found))[:_MOST_WORDS]
    if not words:
        return frozenset()
    cached = connection.info.get(_CACHE)
    if cached is not None and cached[0] == text and time.monotonic() - cached[1] < _CACHED_SECONDS:
        return frozenset(cached[2])
    capital = {word.casefold() for word in words if not word[0].islower()}  # some scripts have no capital letters
    named = frozenset(word for name in _names_with(connection, words) for word in _named(name, text, capital))
    connection.info[_CACHE] = (text, time.monotonic(), named)
    return named


def _windows(word: str) -> Iterator[str]:
    """Where a name may stand in a text whose script parts no words."""
    return (word[start : start + length] for start in range(len(word) - 1) for length in (2, 3))


def _named(name: tuple[str, str], text: str, capital: set[str]) -> Iterator[str]:
    """The spellings of one person's name that stand in the text."""
    folded = text.casefold()
    first, last = name
    for whole in (f"{first} {last}".strip(), f"{last} {first}".strip(), f"{last}, {first}"):
        if " " in whole and whole.casefold() in folded:
            yield whole
    yield from (part for part in (first, last) if part.casefold() in (folded if " " in part else capital))


def _names_with(connection: Connection, words: list[str]) -> set[tuple[str, str]]:
    """First and last names of the people whose name holds one of the words."""
    recent_orders = select(orders.c.buyer_name).order_by(orders.c.updated_at.desc()).limit(_RECENT_ROWS).subquery()
    buyers = set(
        connection.scalars(
            select(recent_orders.c.buyer_name).where(
                or_(*(recent_orders.c.buyer_name.icontains(word, autoescape=True) for word in words))
            )
        )
    )
    spellings = {spelling for word in words for spelling in (word, word.title(), word.upper(), word.lower())}
    begun = or_(*(begins(connection, orders.c.buyer_name, spelling) for spelling in spellings))
    buyers |= set(connection.scalars(select(orders.c.buyer_name).where(begun).limit(_RECENT_ROWS)))
    recent_runs = select(runs.c.learner).order_by(runs.c.created_at.desc()).limit(_RECENT_ROWS).subquery()
    name_text = cast(recent_runs.c.learner, Text)
    people = connection.scalars(
        select(recent_runs.c.learner).where(or_(*(name_text.ilike(_pattern(word), escape="!") for word in words)))
    )
    return {_split(name) for name in buyers if name} | {_of_learner(person) for person in people if person}


def _of_learner(person: dict[str, Any]) -> tuple[str, str]:
    return str(person.get("first_name") or "").strip(), str(person.get("last_name") or "").strip()


def _split(name: str) -> tuple[str, str]:
    """A buyer's name: its last word is the last name. One of many words is no name, and hides nothing."""
    first, _, last = " ".join(name.split()).rpartition(" ")
    return ("", "") if first.count(" ") >= _MOST_WORDS_OF_A_NAME else (first, last)


def _pattern(word: str) -> str:
    """For LIKE: a letter that JSON may escape is any text here, and looked at afterwards."""
    return f"%{''.join(each if each.isascii() and each.isalnum() else '%' for each in word)}%"
