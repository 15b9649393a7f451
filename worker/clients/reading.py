"""Reads what vendors write: values and documents in every notation they are known to use. Pure functions."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from worker.clients.charset import decode
from worker.clients.json_text import (
    BOM,
    LARGEST_EXPONENT,
    Found,
    UnreadableError,
    find_json,
    is_plain,
    parse_json,
    surroundings_of,
)
from worker.clients.xml_text import read_xml

__all__ = [
    "FieldNames",
    "UnreadableError",
    "as_bool",
    "as_datetime",
    "as_decimal",
    "as_int",
    "as_quantity",
    "as_rows",
    "as_text",
    "by_field",
    "code_of",
    "decode",
    "fold",
    "id_of",
    "is_html",
    "numbered_rows",
    "read_document",
    "read_tolerantly",
    "unwrap",
    "word_of",
]

LARGEST_INT: Final = 2**63 - 1
"""What a ledger's column holds; a larger number is not an id."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WCF_DATE: Final = re.compile(r"\\?/?Date\((-?\d{1,17})(?:[+-]\d{4})?\)\\?/?")
_US_DATE: Final = re.compile(
    r"(\d{1,2})/(\d{1,2})/(\d{4})(?:,?\s+(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\.\d+)?\s*([AP])?\.?(?:M\.?)?)?",
    re.IGNORECASE,
)
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}(?:\.0*)?")
_DIGITS: Final = re.compile(r"[0-9]{1,19}")
_XML_ESCAPE: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_WORD_KEYS: Final = ("message", "errordescription", "error", "errormessage", "faultstring", "reason", "text")
_CODE_KEYS: Final = ("code", "errorcode")
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_UNSEEN: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,60})?|\.[0-9]{1,60})(?:[eE][+-]?[0-9]{1,3})?")
_BEYOND: Final = re.compile(r"[+-]?(?:\.?[0-9][0-9.]*(?:e[+-]?[0-9]*)?|nan|inf(?:inity)?)", re.IGNORECASE)
_SPACES: Final = re.compile(r"[\s_]+")
_LARGEST_PLAIN_INT: Final = 10**40
_LONGEST_DATE: Final = 64
_LONGEST_WORD: Final = 64
_MOST_SPELLINGS: Final = 1000
_BLANK: Final = re.compile(rf"[\s{BOM}]*+")
_MOST_COMMENTS: Final = 100
_FIRST_TAG: Final = re.compile(r"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_SPACE_AND_BOM: Final = f" \t\r\n{BOM}"


def read_document(body: bytes, charset: str | None = None) -> Any:
    """Read an answer's body as plain values: JSON (also with a BOM, also JSON inside a JSON string), or XML.

    `charset` is the declared one. Numbers with a fraction are `Decimal`, and those that none can hold are texts. Of
    XML, elements become dictionaries by their local names, `ArrayOf…` and repeated elements lists, `nil` None, and
    everything else text. NUL and half surrogate pairs, which no database stores, become U+FFFD. Raises
    `UnreadableError` for a page of HTML, for what would take too much memory, and for anything else.
    """
    text = decode(body, charset)
    try:
        return _read(text)
    except UnreadableError as error:
        problem = str(error)
    raise UnreadableError(problem, surroundings=_surroundings(text))


def read_tolerantly(body: bytes, charset: str | None = None) -> Found:
    """Read as `read_document`, and also JSON with byte-order marks, comments or PHP's notices around it.

    For the answers to calls that are safe to repeat: what stands around it may mean that a call failed half-way.
    """
    text = decode(body, charset)
    bare = text.lstrip(_SPACE_AND_BOM)
    marks = int(body.startswith(codecs.BOM_UTF8)) + text[: len(text) - len(bare)].count(BOM)
    problem, surroundings = "", ""
    try:
        return Found(_read(bare), surroundings_of(BOM * marks, ""))
    except UnreadableError as error:
        problem = str(error)
    if not is_html(bare):
        try:
            found = find_json(BOM * marks + bare)
            return Found(_settle(found.document, bare), found.surroundings)
        except UnreadableError as error:
            surroundings = error.surroundings
    raise UnreadableError(problem, surroundings=surroundings)


def is_html(text: str) -> bool:
    """Tell a page for people, from a proxy or a login form, from an answer: by its first tag."""
    at = _BLANK.match(text).end()  # type: ignore[union-attr]  # it matches nothing, too
    for _ in range(_MOST_COMMENTS):
        closing = "-->" if text.startswith("<!--", at) else ">" if text.startswith("<?xml", at) else ""
        end = text.find(closing, at)
        if not closing or end < 0:
            break
        at = _BLANK.match(text, end + len(closing)).end()  # type: ignore[union-attr]
    return _FIRST_TAG.match(text, at) is not None


def unwrap(document: Any, method: str) -> Any:
    """Return what a method answered, out of the `d`, `<method>Result` or `<method>Response` that may be around it."""
    wrappers = {"d", fold(f"{method}Result"), fold(f"{method}Response")}
    while isinstance(document, dict) and len(document) == 1:
        ((key, value),) = document.items()
        if fold(key) not in wrappers:
            break
        document = _reread(value)
    return document


def fold(key: str) -> str:
    """Return what all spellings of a key share: `Order ID`, `order_id`, `OrderID` and WCF's `Order_x0020_ID`."""
    plain = _XML_ESCAPE.sub(lambda match: chr(int(match[1], 16)), key)
    return _SPACES.sub("", plain).casefold()


def as_text(value: object) -> str | None:
    """Return a text, or a number's or truth value's text; None for null and for anything with parts.

    A number that is none (NaN), or of more digits than an id has, is unreadable too: None.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if -_LARGEST_PLAIN_INT < value < _LARGEST_PLAIN_INT else None
    if isinstance(value, float):
        return str(value) if math.isfinite(value) else None
    return str(value) if isinstance(value, Decimal) and is_plain(value) else None


def as_bool(value: object) -> bool | None:
    """Read a truth value written as `true`, `"true"`, `1`, `"1"` or `1.0`; None for anything else."""
    number = as_int(value)
    if number is not None:
        return {1: True, 0: False}.get(number)
    written = as_text(value)
    return None if written is None else {"true": True, "false": False}.get(written.strip().lower())


def as_int(value: object) -> int | None:
    """Read a whole number that a ledger can hold, also as text or with `.0`; None for anything else."""
    if isinstance(value, (float, Decimal)):
        exact = as_decimal(value)
        number = None if exact is None or exact != exact.to_integral_value() else int(exact)
    elif isinstance(value, bool) or value is None:
        return None
    else:
        written = (as_text(value) or "").strip()
        number = int(written.split(".")[0]) if _INTEGER.fullmatch(written) else None
    return number if number is not None and -LARGEST_INT <= number <= LARGEST_INT else None


def id_of(text: str) -> int | None:
    """Return the positive number that a text's digits, and nothing else, write; None for any other, or a longer one."""
    number = int(text) if _DIGITS.fullmatch(text) else 0
    return number if 0 < number <= LARGEST_INT else None


def as_decimal(value: object) -> Decimal | None:
    """Read an exact decimal, also as text; None for anything else. A float is read as it is printed.

    None also for what is not between 10^-40 and 10^19: whoever rounds or counts to such a number overflows or hangs.
    """
    if isinstance(value, bool) or value is None:
        return None
    written = (as_text(value) or "").strip()
    if not _DECIMAL.fullmatch(written):
        return None
    number = Decimal(written)
    return number if is_plain(number) else None


def as_quantity(value: object) -> Decimal | None:
    """Read a quantity as `as_decimal` does; None where none is told: null, a truth value, or nothing at all.

    A number beyond that, or NaN, is one of nineteen digits with its sign, and anything else -1: a person looks at such
    quantities. As None they would pass for one, which was not ordered.
    """
    number = as_decimal(value)
    if number is not None or isinstance(value, bool) or not value:
        return number
    # A whole number of more digits than Python writes is told by its sign and one of them.
    written = ("-9" if value < 0 else "9") if isinstance(value, int) else str(value)[:_LONGEST_DATE].strip()
    if not written:
        return None
    beyond = Decimal(10) ** LARGEST_EXPONENT
    is_beyond = _BEYOND.fullmatch(written) is not None
    return (-beyond if written.startswith("-") else beyond) if is_beyond else Decimal(-1)


def as_datetime(value: object) -> datetime | None:
    """Read a date as aware UTC: `/Date(1700000000000-0500)/`, ISO 8601, or `MM/DD/YYYY HH:MM:SS AM`; else None.

    A date without a zone is taken as UTC: no vendor states its zone, so whoever compares such dates with a clock needs
    a margin wider than any offset. The offset inside `/Date()/` only says how to display it. The years 1 and 9999,
    which is how .NET says "not set" and "never", are None: nothing can be reckoned with them.
    """
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str) and len(value) <= _LONGEST_DATE:
        read = _read_date(value.strip())
        if read is None:
            return None
        moment = read
    else:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        return None
    return moment if 1 < moment.year < 9999 else None


def numbered_rows(value: object) -> list[Any] | None:
    """Return the rows of a list, also of one that PHP wrote as an object with numbers for keys; else None."""
    if isinstance(value, (list, tuple)):
        return list(value)
    is_numbered = isinstance(value, dict) and value and all(str(key).isdecimal() for key in value)
    return list(value.values()) if is_numbered and isinstance(value, dict) else None


def as_rows(value: object, row: str) -> list[Any]:
    """Return a list's rows: none for null or empty, and a lone row by itself.

    `row` is what XML calls one row: `<OrderDetails><OrderDetail>…` reads as a dictionary of that name.
    """
    if value is None or value in ("", {}):
        return []
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        if fold(key) == fold(row):
            return inner if isinstance(inner, list) else [inner]
    return [value]


def word_of(document: object) -> str:
    """Return the short word of a parsed error: its message, or the document itself where it is a text."""
    if isinstance(document, list) and document:
        document = document[0]
    if isinstance(document, str):
        return _one_line(document)
    if not isinstance(document, dict):
        return ""
    folded = {fold(str(key)): value for key, value in document.items()}
    for key in _WORD_KEYS:
        value = folded.get(key)
        if isinstance(value, dict):
            value = word_of(value)
        if isinstance(value, str) and value.strip():
            return _one_line(value)
    return ""


def code_of(document: object) -> str:
    """Return the code of a parsed error (`rest_no_route`, 30): a short one without spaces; empty where it has none."""
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, dict):
        return ""
    folded = {fold(str(key)): value for key, value in document.items()}
    for value in (folded.get(key) for key in _CODE_KEYS):
        code = as_text(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None
        if code and _CODE.fullmatch(code):
            return code
    error = folded.get("error")
    return code_of(error) if isinstance(error, dict) else ""


class FieldNames(dict[str, str]):
    """The field that a vendor's key means, by those of the folded keys; any other key is its own. Folds each once."""

    def __init__(self, by_folded: Mapping[str, str]) -> None:
        super().__init__()
        self._by_folded = by_folded

    def __missing__(self, key: str) -> str:
        field = self._by_folded.get(fold(key), key)
        if len(key) <= _LONGEST_WORD and len(self) < _MOST_SPELLINGS:
            self[key] = field
        return field


def by_field(data: Mapping[str, Any], names: FieldNames) -> dict[str, Any]:
    """Rename a record's keys to the fields that they mean; where two mean one field, the first not null counts."""
    renamed: dict[str, Any] = {}
    for key, value in data.items():
        field = names[str(key)]
        if renamed.get(field) is None:
            renamed[field] = value
    return renamed


def _read(text: str) -> Any:
    text = text.strip()
    if not text:
        raise UnreadableError("is empty")
    if is_html(text):
        raise UnreadableError("is an HTML page")
    return read_xml(text) if text.startswith("<") else _read_json(text)


def _surroundings(text: str) -> str:
    if is_html(text):
        return ""
    try:
        return find_json(text).surroundings
    except UnreadableError as error:
        return error.surroundings


def _read_json(text: str) -> Any:
    return _settle(parse_json(text), text)


def _settle(document: Any, text: str) -> Any:
    if "\\u" in text or "\x00" in text:
        document = _storable(document)
    return _reread(document)


def _reread(document: Any) -> Any:
    """Read a document that was encoded twice; leave a plain text alone."""
    if isinstance(document, str) and document.lstrip()[:1] in {"{", "[", BOM}:
        try:
            return _read_json(document.lstrip().lstrip(BOM))
        except UnreadableError:
            return document
    return document


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value


def _read_date(text: str) -> datetime | None:
    wcf = _WCF_DATE.fullmatch(text)
    us = _US_DATE.fullmatch(text)
    try:
        if wcf:
            return _EPOCH + timedelta(milliseconds=int(wcf[1]))
        if us:
            return _us_date(us)
        return datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        return None


def _us_date(match: re.Match[str]) -> datetime:
    month, day, year, hour, minute, second, half = match.groups(default="")
    hours = int(hour or 0)
    if half and hours <= 12:
        hours = hours % 12 + (12 if half.upper() == "P" else 0)
    return datetime(int(year), int(month), int(day), hours, int(minute or 0), int(second or 0), tzinfo=UTC)


def _one_line(text: str) -> str:
    if text.lstrip().startswith("<"):
        return ""
    return _UNSEEN.sub(" ", text).strip()
