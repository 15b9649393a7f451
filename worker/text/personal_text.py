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
_DESCRIBES: Final = re.compile("address|street|zip|post_?code|phone|mobile|birth", re.IGNORECASE)
"""In the name of a record's field."""
_NAMES: Final = ("first_name", "last_name", "name", "buyer_name")
_EMAILS: Final = ("email", "buyer_email")
EMAIL_BEGINS: Final = r"(?<![^@\s,;<>\"():\[\]\\=|/{}'])(?<!\w')"
"""Where an address begins in a text: behind what no person's address holds. `'` is of one in `o'neil@…`, not before."""
_UNSPACED: Final = (
    ("\u0e00", "\u0eff"),  # Thai, Lao
    ("\u1000", "\u109f"),  # Burmese
    ("\u1780", "\u17ff"),  # Khmer
    ("\u3040", "\u30ff"),  # Japanese
    ("\u3400", "\u9fff"),  # Chinese
    ("\uac00", "\ud7af"),  # Korean
    ("\uf900", "\ufaff"),  # Chinese
)
"""First and last letter. Not a pattern: to compile one of so many letters is a fiftieth of a command's start."""
_CODE: Final = re.compile(r"[a-z0-9]+(?:[_./:-][a-z0-9]+)+")
"""`refused_by_source`, `studiocart/1109`: one of our own words, in which nobody's name is looked for."""


def is_unspaced(letter: str) -> bool:
    """Whether a letter is of a script that parts no words, or puts its particles right behind a name."""
    return any(first <= letter <= last for first, last in _UNSPACED)


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
        if is_unspaced(first[:1]) and is_unspaced(last[:1]):
            names |= {f"{last}{first}", f"{first}{last}"}
        parts = {part.strip(".,;") for name in names for part in name.split()}
        found |= {name for name in names | parts if len(name) >= _SHORTEST_NAME}
        address = person.get("address")
        fields = address.values() if isinstance(address, Mapping) else (address,)
        found |= {text for text in map(_plain, fields) if len(text) >= _SHORTEST_OTHER}
    return frozenset(found - {""})


def words_of_record(record: Any, email: str | None = None) -> frozenset[str]:
    """What a source's own record says of addresses, telephones and birthdays, by its fields' names: our document of an
    order does not hold all of it. With an `email`, only what stands beside that one.
    """
    found: set[str] = set()
    if isinstance(record, Mapping):
        is_theirs = email is None or email in {_plain(value).casefold() for value in record.values()}
        for name, value in record.items():
            if is_theirs and _DESCRIBES.search(str(name)):
                found |= {text for text in map(_plain, texts_in(value)) if len(text) > _SHORTEST_OTHER}
            else:
                found |= words_of_record(value, email)
    elif isinstance(record, list):
        for each in record:
            found |= words_of_record(each, email)
    return frozenset(found)


def is_whole_name(word: str) -> bool:
    """Whether a word that describes somebody is a name in full, which is looked for in texts about others as well."""
    is_of_three = len(word) > _SHORTEST_NAME and all(map(is_unspaced, word))
    return (" " in word or is_of_three) and not any(map(str.isdigit, word))


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
        return rf"{EMAIL_BEGINS}{re.escape(word)}(?![\w-]|\.\w)"
    before, after = ("" if is_unspaced(letter) else boundary for letter, boundary in _edges(word))
    return f"{before}{re.escape(word)}{after}"


def _edges(word: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (word[0], r"(?<!\w)"), (word[-1], r"(?!\w)")


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
    return any(" " in text or "@" in text or not text.isascii() for text in texts_in(value))


def texts_in(value: Any) -> Iterator[str]:
    """Each text in a JSON value; the names of members are none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from texts_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts_in(each)


def _plain(value: object) -> str:
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
