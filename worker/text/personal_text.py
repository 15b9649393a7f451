"""Takes what describes a person out of texts that others wrote: a vendor's refusal, an operator's reason."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from worker.text.email_address import without_emails
from worker.text.redaction import spellings

PERSON: Final = "[person]"
"""Stands in a text for what described the person it was about, from the moment it was recorded."""
ERASED: Final = "[erased]"
"""Stands for what was taken out later, because the person asked for it. The audit trail's triggers know this mark."""
EXPIRED: Final = "[expired]"
"""Stands for a text that was kept for as long as the settings say. The triggers know it too."""
_SHORTEST_NAME: Final = 2
_SHORTEST_OTHER: Final = 3
_NAMES: Final = ("first_name", "last_name", "name", "buyer_name")
_EMAILS: Final = ("email", "buyer_email")
_IN_AN_EMAIL: Final = r"[^@\s,;<>\"()]"
_CODE: Final = re.compile(r"[a-z0-9]+(?:[_./:-][a-z0-9]+)+")
"""`refused_by_source`, `studiocart/1109`: one of our own words, in which nobody's name is looked for."""


def personal_words(*people: Mapping[str, Any] | None) -> frozenset[str]:
    """What describes these people: emails, names, each part of a name, and each field of a postal address.

    `people` are learners, buyers or completions as the ledger keeps them: `email`, `first_name`, `last_name`, `name`,
    `buyer_email`, `buyer_name`, `address`.
    """
    found: set[str] = set()
    for person in people:
        if not person:
            continue
        found |= {_plain(person.get(key)) for key in _EMAILS}
        first, last = _plain(person.get("first_name")), _plain(person.get("last_name"))
        names = {_plain(person.get(key)) for key in _NAMES} | {f"{first} {last}".strip(), f"{last} {first}".strip()}
        parts = {part.strip(".,;") for name in names for part in name.split()}
        found |= {name for name in names | parts if len(name) >= _SHORTEST_NAME}
        address = person.get("address")
        fields = address.values() if isinstance(address, Mapping) else (address,)
        found |= {text for text in map(_plain, fields) if len(text) >= _SHORTEST_OTHER}
    return frozenset(found - {""})


def without_words(text: str, words: Iterable[str], *, mark: str = PERSON) -> str:
    """A text with a mark in the place of each word, however it is spelled (JSON, HTML, percent-encoded), in any case.

    Whole words alone: `Ann` is not taken out of `Annual`.
    """
    folded = text.casefold()
    found = {spelling for word in words for spelling in spellings(word) if spelling.casefold() in folded}
    if not found:
        return text
    longest_first = sorted(found, key=len, reverse=True)
    return re.compile("|".join(map(_whole, longest_first)), re.IGNORECASE).sub(lambda _: mark, text)


def _whole(word: str) -> str:
    """A pattern for a word that is part of no longer one; an email, of no other email."""
    if "@" in word:
        return rf"(?<!{_IN_AN_EMAIL}){re.escape(word)}(?![\w-]|\.\w)"
    return rf"(?<!\w){re.escape(word)}(?!\w)"


def masked(text: str, words: Iterable[str], *, mark: str = PERSON) -> str:
    """A text without these words and without any email; one of our codes stays as it is."""
    return text if _CODE.fullmatch(text) else without_emails(without_words(text, words, mark=mark))


def each_text(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with each text in it changed; the names of members stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [each_text(each, change) for each in value]
    if isinstance(value, Mapping):
        return {name: each_text(each, change) for name, each in value.items()}
    return value


def has_prose(value: Any) -> bool:
    """Whether a JSON value holds a text that may quote somebody: more than codes, ids and numbers."""
    return any(" " in text or "@" in text or not text.isascii() for text in _texts(value))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _plain(value: object) -> str:
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
