"""What texts are found by: without case, accents and scripts, in ASCII, so that every database cuts it alike.

Whatever no fold brings to ASCII stands as its code point (`z6797`), of which each trigram index finds a single letter.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from worker.text.email_address import folded
from worker.text.normal_form import normal_form

Needle = tuple[str, ...]
"""One word that is looked for, in each way it may be written: any of them is enough."""
_SHORTEST: Final = 3
"""Of fewer letters no index knows: they are looked for where a word begins."""
_DIGRAPHS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})
"""How these are written where a keyboard has none: Müller is Mueller, too."""
_PUNCTUATION: Final = str.maketrans("\u2018\u2019\u02bc\u2010\u2011\u2013\u2014", "'''----")
"""Quotation marks and dashes that stand for what a keyboard has."""


def search_text(texts: Iterable[str | None]) -> str:
    """One text to look for words in: each once, a space before and behind all of them."""
    whole = " ".join(filter(None, texts))
    is_plain = whole.isascii() and whole.isprintable()
    words = whole.casefold().split()
    found = dict.fromkeys(words if is_plain else (spelling for word in words for spelling in _spellings(word)))
    return f" {' '.join(found)} " if found else ""


def needles(text: str) -> list[Needle]:
    """The words that all have to stand in a `search_text` for it to be meant; none in a text without any."""
    found = [tuple(_from_its_beginning(each) for each in _spellings(word)) for word in text.split()]
    return [needle for needle in found if needle]


def holds(searched: str, wanted: Iterable[Needle]) -> bool:
    """Whether a `search_text` has every word."""
    return all(any(spelling in searched for spelling in needle) for needle in wanted)


def _spellings(word: str) -> tuple[str, ...]:
    small = normal_form("NFC", word.casefold())
    return tuple(dict.fromkeys(filter(None, (_plain(small), _plain(small.translate(_DIGRAPHS))))))


def _plain(word: str) -> str:
    letters = (each for each in folded(word.translate(_PUNCTUATION)) if each.isprintable() and not each.isspace())
    return "".join(each if each.isascii() else f"z{ord(each):x}" for each in letters)


def _from_its_beginning(spelling: str) -> str:
    return spelling if len(spelling) >= _SHORTEST else f" {spelling}"
