"""Email addresses of learners and buyers: which are the same person's, and which nobody can type."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from worker.text.normal_form import normal_form

_LONGEST: Final = 254
"""RFC 5321, of an address that mail can be sent to."""
_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Characters that look like nothing and belong to categories of visible ones: fillers, a joiner, Braille's blank."""
_VARIATIONS: Final = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0), range(0x180B, 0x1810))
_ASCII: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.!#$%&'*+-/=?^_`{|}~"  # RFC 5322, atext and dots
)
_TYPED_CATEGORIES: Final = frozenset({"Ll", "Lu", "Lo", "Lt", "Lm", "Mn", "Mc", "Nd"})
_LOOK_ALIKE_SCRIPTS: Final = ("LATIN", "GREEK", "CYRILLIC")
"""Scripts whose letters look like each other's; a word that mixes them is a slip or a trap."""
_LOOK_ALIKES: Final = str.maketrans(
    {"ø": "o", "æ": "ae", "œ": "oe", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ħ": "h", "\u0131": "i", "ŧ": "t"}
    | dict(
        zip(
            "\u0430\u0432\u0435\u0455\u0456\u0458\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0501\u051b\u051d\u04bb",
            "abesijkmhopctyxdqwh",
            strict=True,
        )
    )  # Cyrillic
    | dict(
        zip("\u03b1\u03b2\u03b5\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7", "abeikvoptux", strict=True)
    )  # Greek
)
_WORD: Final = re.compile(r"[^\s,;<>\"()]+")
"""What an address in a text may stand in."""


def trimmed_email(text: str | None) -> str:
    """An address in its normal form (NFC), without white space and invisible characters at its ends; empty for none.

    Its case stays as it was written.
    """
    written = normal_form("NFC", text or "")
    begin, end = 0, len(written)
    while begin < end and _is_blank(written[begin]):
        begin += 1
    while begin < end and _is_blank(written[end - 1]):
        end -= 1
    return written[begin:end]


def email_key(email: str) -> str:
    """What two spellings of one person's address share: trimmed, in normal form (NFC), in lower case.

    Addresses that differ otherwise are two people's, however alike they fold: `straße@…` and `strasse@…`.
    """
    return normal_form("NFC", trimmed_email(email).lower())


def folded(text: str) -> str:
    """A text for finding what was meant by it: without case, accents and scripts. Never for telling people apart."""
    plain = normal_form("NFKD", text.casefold())
    return "".join(each for each in plain if not unicodedata.combining(each)).translate(_LOOK_ALIKES).casefold()


def is_email(text: str) -> bool:
    """Whether a text, trimmed by `trimmed_email`, is an address that somebody can type."""
    return email_problem(text) is None and trimmed_email(text) == text


def email_problem(text: str | None) -> str | None:
    """Why an address, trimmed, cannot be one: "holds U+200B ZERO WIDTH SPACE at character 8"; None for one that can.

    Generous where people are free to choose, since a mail server knows better than a rule; strict about what no
    keyboard writes and what some program left in. Quotes single characters, never the address.
    """
    email = trimmed_email(text)
    if not email:
        return "is empty"
    if len(email) > 4 * _LONGEST:  # no text to look at letter by letter
        return f"is longer than {_LONGEST} characters"
    for number, character in enumerate(email, start=1):
        if (fault := _fault_of(character)) is not None:
            return f"holds {fault} at character {number}"
    local, at, domain = email.partition("@")
    if not at:
        return "has no @"
    if "@" in domain:
        return "has more than one @"
    return _problem_of_parts(local, domain) or (
        f"is longer than {_LONGEST} characters" if len(email) > _LONGEST else None
    )


def without_emails(text: str) -> str:
    """A text with a mark in the place of each email."""
    return _WORD.sub(_without_email, text) if "@" in text else text


def _without_email(word: re.Match[str]) -> str:
    found = word[0].rstrip(".:")
    local, _, domain = found.rpartition("@")
    return f"…{word[0][len(found) :]}" if local and "." in domain.strip(".") else word[0]


def _problem_of_parts(local: str, domain: str) -> str | None:
    if not local or not domain:
        return "has nothing before or behind its @"
    for part, where in ((local, "before"), (domain, "behind")):
        if part.startswith(".") or part.endswith(".") or ".." in part:
            return f"has a dot out of place {where} its @"
        for word in part.split("."):
            scripts = sorted({script for letter in word if (script := _script_of(letter)) is not None})
            if len(scripts) > 1:
                return f"mixes {' and '.join(script.title() for script in scripts)} letters {where} its @"
    labels = domain.split(".")
    if len(labels) < 2:
        return "has no dot behind its @"
    for label in labels:
        if label.startswith("-") or label.endswith("-"):
            return "has a hyphen out of place behind its @"
        wrong = next((each for each in label if each.isascii() and not (each.isalnum() or each == "-")), None)
        if wrong is not None:
            return f"holds {_named(wrong)} behind its @"
    return "ends in a number" if labels[-1].isdigit() else None


def _fault_of(character: str) -> str | None:
    """What is wrong with a character wherever it stands in an address."""
    if character == "@" or character in _ASCII:
        return None
    if character.isascii() or _is_blank(character):
        return _named(character)
    is_typed = unicodedata.category(character) in _TYPED_CATEGORIES
    # Full-width letters, ligatures, superscripts: a keyboard writes what they stand for.
    is_plain = normal_form("NFKC", character) == character
    return None if is_typed and is_plain else _named(character)


def _is_blank(character: str) -> bool:
    """Whether a character is white space, or shows nothing: a control, a mark of direction, a joiner, a filler."""
    return (
        character.isspace()
        or unicodedata.category(character) in {"Cc", "Cf", "Zs", "Zl", "Zp"}
        or character in _INVISIBLE
        or any(ord(character) in variations for variations in _VARIATIONS)
    )


def _script_of(letter: str) -> str | None:
    name = unicodedata.name(letter, "")
    return next((script for script in _LOOK_ALIKE_SCRIPTS if name.startswith(script)), None)


def _named(character: str) -> str:
    name = unicodedata.name(character, "a control character" if unicodedata.category(character) == "Cc" else "")
    return f"U+{ord(character):04X} {name}".rstrip()
