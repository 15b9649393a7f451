"""JSON as vendors write it: numbers that nothing can hold, commas too many, and what others put around it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

DEEPEST_NESTING: Final = 64
MOST_CONTAINERS: Final = 150_000
"""Objects and lists of one document: a page of 250 orders has some 50,000. Empty ones take the most memory a byte."""
MOST_VALUES: Final = 750_000
LARGEST_EXPONENT: Final = 18
SMALLEST_EXPONENT: Final = -40
"""Powers of ten between which a number is an amount or a count of something."""

BOM: Final = "\ufeff"

_LONGEST_INTEGER: Final = 40
_LONGEST_FRACTION: Final = 80
_LONGEST_QUOTE: Final = 80
_LONGEST_QUOTED: Final = 2_000
_LOOKS_BACK: Final = 200
_SPACE: Final = " \t\r\n"
_BRACKET: Final = re.compile(r"[\[{]")
_NOTICE: Final = re.compile(
    r"\b(?:Notice|Warning|Deprecated|Strict Standards|Fatal error|Parse error|WordPress database error)\b",
    re.IGNORECASE,
)
_TAG: Final = re.compile(r"<!--|-->|</?[a-zA-Z][^<>]*>")
_STRING_OR_COMMA: Final = re.compile(
    # A string to its end, or to the end of the text, so that no part of it is looked at twice.
    r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|,(?=[ \t\r\n]*+[}\]])',
    re.DOTALL,
)


class UnreadableError(ValueError):
    """A document cannot be read. The message completes "the answer …" and quotes nothing of it.

    `surroundings` says what stands before or behind the JSON, and may quote that: it is shown redacted or not at all.
    """

    def __init__(self, message: str, *, surroundings: str = "") -> None:
        super().__init__(message)
        self.surroundings = surroundings


@dataclass(frozen=True)
class Found:
    """A document, and what stands around it ("the JSON is preceded by 'Notice: …'"); empty where nothing does."""

    document: Any
    surroundings: str = ""


def exact(text: str) -> Decimal | str:
    """Return a number of JSON's as a `Decimal`; the text itself, which no field takes for a number, if it is beyond."""
    if len(text) > _LONGEST_FRACTION:
        return text[:_LONGEST_FRACTION]
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent of nineteen digits
        return text
    return number if is_plain(number) else text


def is_plain(number: Decimal) -> bool:
    """Whether a number can be counted and added up without overflow, or a loop over a million digits."""
    if not number.is_finite():
        return False
    exponent = number.as_tuple().exponent
    return (
        isinstance(exponent, int)
        and number.adjusted() <= LARGEST_EXPONENT
        and exponent >= -_LONGEST_FRACTION
        and (not number or number.adjusted() >= SMALLEST_EXPONENT)
    )


def whole(text: str) -> int | str:
    """Return a whole number of JSON's; its text if it is longer than any id: `int` may refuse it, and the document."""
    return int(text) if len(text) <= _LONGEST_INTEGER else text[:_LONGEST_INTEGER]


def decoder(fraction: Callable[[str], object]) -> json.JSONDecoder:
    """Return a decoder whose unreadable numbers (`NaN` too) are texts: one of them must not hide a whole document."""
    return json.JSONDecoder(parse_float=fraction, parse_int=whole, parse_constant=str)


_DECODER: Final = decoder(exact)


def parse_json(text: str, json_decoder: json.JSONDecoder = _DECODER) -> Any:
    """Return what a JSON text says. Raises `UnreadableError`, also for one too large or too deep to be kept."""
    check_size(text)
    problem, document = "", None
    try:
        document = json_decoder.decode(text)
    except RecursionError:
        problem = "is nested too deep"
    except ValueError:
        problem = "is not JSON"
    # Raised here and not above: json's own error holds the whole document.
    if problem:
        raise UnreadableError(problem)
    check_depth(document)
    return document


def find_json(text: str) -> Found:
    """Return the one document of a text in which PHP's notices, or comments, stand before or behind it.

    It begins where the text or a line does, or after a tag, and is followed by nothing, a tag or a notice. Raises
    `UnreadableError` where it is cut short, or where there are two: neither may be guessed.
    """
    check_size(text)
    begin = _next_start(text)
    if begin < 0:
        raise UnreadableError("is not JSON")
    problem, document, end = "", None, begin
    try:
        document, end = _DECODER.raw_decode(text, begin)
    except RecursionError:
        problem = "is nested too deep"
    except ValueError:
        problem = "is not JSON"
    if problem:
        last = max(text.rfind("}"), text.rfind("]"))
        raise UnreadableError(
            problem, surroundings=surroundings_of(text[:begin], text[last + 1 :] if last > begin else "")
        )
    check_depth(document)
    behind = text[end:].strip(_SPACE + BOM)
    surroundings = surroundings_of(text[:begin], behind)
    if not (_is_noise(text[:begin]) and _is_noise(behind)):
        raise UnreadableError("is not JSON", surroundings=surroundings)
    if _next_start(_plain(behind)) >= 0:
        raise UnreadableError("is not one JSON document", surroundings=surroundings)
    return Found(document, surroundings)


def without_trailing_commas(text: str) -> str:
    """Return a JSON text without the commas before a closing bracket, which 3dcart's own samples have."""
    return _STRING_OR_COMMA.sub(lambda match: "" if match[0] == "," else match[0], text)


def check_size(text: str) -> None:
    """Raise `UnreadableError` for a text whose document would take too much memory, before any of it is built."""
    containers = text.count("{") + text.count("[")
    if containers > MOST_CONTAINERS or containers + text.count(",") > MOST_VALUES:
        raise UnreadableError("holds too many values")


def check_depth(document: Any, deepest: int = DEEPEST_NESTING) -> None:
    """Raise `UnreadableError` for a document that is nested too deep for code that goes down into it."""
    level = [document]
    for _ in range(deepest + 1):
        level = [
            member
            for each in level
            for member in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
            if isinstance(member, (dict, list))
        ]
        if not level:
            return
    raise UnreadableError("is nested too deep")


def _next_start(text: str) -> int:
    """Where the first bracket is that may begin a document; -1 where there is none."""
    for bracket in _BRACKET.finditer(text):
        before = text[max(bracket.start() - _LOOKS_BACK, 0) : bracket.start()]
        is_first = len(before) < _LOOKS_BACK and not before.strip(_SPACE + BOM)
        if is_first or before.endswith(("\n", "\r", BOM)) or before.rstrip(" \t").endswith(">"):
            return bracket.start()
    return -1


def _is_noise(text: str) -> bool:
    """Whether a text is known not to be meant for us: byte-order marks, comments, PHP's notices."""
    shown = _plain(text)
    if "<html" in text.lower() or "<!doctype" in text.lower():
        return False
    return not shown or _NOTICE.search(shown[:_LOOKS_BACK]) is not None


def _plain(text: str) -> str:
    """A text without its comments and tags."""
    parts, at = [], 0
    while (begin := text.find("<!--", at)) >= 0:
        parts.append(text[at:begin])
        end = text.find("-->", begin + 4)
        at = end + 3 if end >= 0 else len(text)
    parts.append(text[at:])
    return _TAG.sub(" ", " ".join(parts).replace(BOM, " ")).strip()


def surroundings_of(before: str, behind: str) -> str:
    """What stands before and behind, for people: its kind, and a short quote of what is known to be noise."""
    marks, notice, last = before.count(BOM), _quote(before.replace(BOM, " ")), _quote(behind.replace(BOM, " "))
    first = [f"{marks} byte-order marks" if marks > 1 else "a byte-order mark"] if marks else []
    first += [notice] if notice else []
    said = [f"preceded by {' and '.join(first)}"] if first else []
    said += [f"followed by {last}"] if last else []
    return f"the JSON is {' and '.join(said)}" if said else ""


def _quote(text: str) -> str:
    if not text.strip():
        return ""
    if not _is_noise(text):
        return "other text"
    words = _TAG.sub(" ", text[:_LONGEST_QUOTED]).split() or ["a", "comment"]
    # A notice may quote whatever PHP stumbled over.
    line = " ".join("…" if "@" in word else word for word in words).replace("'", "’")
    return f"'{line}'" if len(line) <= _LONGEST_QUOTE else f"'{line[:_LONGEST_QUOTE]}…'"
