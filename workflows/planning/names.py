"""Whether two names can be one person's. Pure; for comparing, never for showing.

Case, accents, order and punctuation do not matter, nor do additional names (Ola Nordmann, Nordmann Ola Johan), nor
whether a Nordic or German letter is written as it is, bare, or as two (Bjørn, Bjorn, Bjoern), nor whether a shop left
its entities in a name. An initial stands for any name that begins with it.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from worker.sources.order import Learner
from worker.text.normal_form import normal_form

_LONGEST: Final = 200
"""What stands beyond is not compared, nor are more words than that: no name is so long."""
_APOSTROPHES: Final = re.compile(r"['\u2018\u2019\u02bc\u00b4`]")
_WORD: Final = re.compile(r"[^\W_]+")
_BARE: Final = str.maketrans({"ø": "o", "æ": "ae", "œ": "oe", "ß": "ss", "đ": "d", "ð": "d", "þ": "th", "ł": "l"})
_PAIRED: Final = str.maketrans({"å": "aa", "ø": "oe", "ö": "oe", "ä": "ae", "æ": "ae", "ü": "ue", "ß": "ss"})


def name_of(learner: Learner) -> str:
    """A learner's whole name; empty where the source tells none."""
    return " ".join(f"{learner.first_name} {learner.last_name}".split())


def is_same_name(one: str, other: str) -> bool:
    """Whether two names can be one person's. A name that is empty, or holds no letter, contradicts none."""
    spellings = [_spellings(one), _spellings(other)]
    if not all(words for each in spellings for words in each):
        return True
    return any(_agree(first, second) for first in spellings[0] for second in spellings[1])


def is_known_name(name: str, known: Iterable[str]) -> bool:
    """Whether a name can be the person's who bears one of the known names."""
    return any(is_same_name(name, each) for each in known)


def _spellings(name: str) -> tuple[tuple[str, ...], ...]:
    """The words of a name, with its special letters bare and as two letters each."""
    plain = _APOSTROPHES.sub("", normal_form("NFC", html.unescape(name[: 8 * _LONGEST])[:_LONGEST]).casefold())
    return tuple(_words(plain.translate(table)) for table in (_BARE, _PAIRED))


def _words(text: str) -> tuple[str, ...]:
    bare = "".join(each for each in normal_form("NFKD", text) if not unicodedata.combining(each))
    return tuple(sorted(_WORD.findall(bare.translate(_BARE))[:_LONGEST]))


def _agree(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    if sorted("".join(one)) == sorted("".join(other)) and set(one) & set(other):
        return True  # one writes as one word what the other writes as two
    fewer, more = sorted((list(one), list(other)), key=len)
    for word in sorted(fewer, key=len, reverse=True):  # initials last: they take what is left
        found = next((each for each in more if each == word), None) or next(
            (each for each in more if min(len(each), len(word)) == 1 and each[0] == word[0]), None
        )
        if found is None:
            return "".join(one) == "".join(other)
        more.remove(found)
    return True
