"""Reads what vendors write: values and documents in every notation they are known to use. Pure functions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

LARGEST_INT: Final = 2**63 - 1
"""What a ledger's column holds; a larger number is not an id."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WCF_DATE: Final = re.compile(r"\\?/?Date\((-?\d{1,17})(?:[+-]\d{4})?\)\\?/?")
_US_DATE: Final = re.compile(
    r"(\d{1,2})/(\d{1,2})/(\d{4})(?:,?\s+(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\.\d+)?\s*([AP])?\.?(?:M\.?)?)?",
    re.IGNORECASE,
)
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}(?:\.0*)?")
_XML_ESCAPE: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_WORD_KEYS: Final = ("message", "errordescription", "error", "errormessage", "faultstring", "reason", "text")
_UNSEEN: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_HTML: Final = re.compile(
    r"(?:<\?xml[^>]*>|<!--.*?-->|\s)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)


class UnreadableError(ValueError):
    """A document cannot be read. The message completes "the answer …" and quotes nothing of it."""


def read_document(body: bytes) -> Any:
    """Read an answer's body as plain values: JSON (also with a BOM, also JSON inside a JSON string), or XML.

    Numbers with a fraction are `Decimal`. Of XML, elements become dictionaries by their local names, `ArrayOf…` and
    repeated elements lists, `nil` None, and everything else text. NUL and half surrogate pairs, which no database
    stores, become U+FFFD. Raises `UnreadableError` for a page of HTML and for anything else.
    """
    text = decode(body).strip()
    if not text:
        raise UnreadableError("is empty")
    if is_html(text):
        raise UnreadableError("is an HTML page")
    try:
        return _read_xml(text) if text.startswith("<") else _read_json(text)
    except RecursionError:
        problem = "is nested too deep"
    except (ParseError, DefusedXmlException):
        problem = "is neither JSON nor well-formed XML"
    except ValueError:
        problem = "is not JSON"
    # Raised here and not above: json's own error holds the whole document.
    raise UnreadableError(problem)


def decode(body: bytes) -> str:
    """Return a body's text, whatever its encoding. Never fails: what cannot be decoded becomes U+FFFD."""
    if body[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return body.decode("utf-16", "replace")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        # An old IIS or PHP answers in the code page of western Europe without saying so.
        return body.decode("cp1252", "replace")


def is_html(text: str) -> bool:
    """Tell a page for people, from a proxy or a login form, from an answer."""
    return _HTML.match(text) is not None


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
    return re.sub(r"[\s_]+", "", plain).casefold()


def as_text(value: object) -> str | None:
    """Return a text, or a number's or truth value's text; None for null and for anything with parts."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, (int, float, Decimal)) else None


def as_bool(value: object) -> bool | None:
    """Read a truth value written as `true`, `"true"`, `1` or `"1"`; None for anything else."""
    written = as_text(value)
    return (
        None if written is None else {"true": True, "1": True, "false": False, "0": False}.get(written.strip().lower())
    )


def as_int(value: object) -> int | None:
    """Read a whole number that a ledger can hold, also as text or with `.0`; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    written = (as_text(value) or "").strip()
    if not _INTEGER.fullmatch(written):
        return None
    number = int(written.split(".")[0])
    return number if -LARGEST_INT <= number <= LARGEST_INT else None


def as_decimal(value: object) -> Decimal | None:
    """Read an exact decimal, also as text; None for anything else. A float is read as it is printed."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = Decimal((as_text(value) or "").strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def as_datetime(value: object) -> datetime | None:
    """Read a date as aware UTC: `/Date(1700000000000-0500)/`, ISO 8601, or `MM/DD/YYYY HH:MM:SS AM`; else None.

    A date without a zone is taken as UTC: no vendor states its zone, so whoever compares such dates with a clock needs
    a margin wider than any offset. The offset inside `/Date()/` only says how to display it. Year 1, which is how .NET
    says "not set", is None.
    """
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str):
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
    return None if moment.year == 1 else moment


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


def by_field(data: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Rename a record's keys to the fields that `names` gives for their folded form; keep the others as they are.

    Where two keys mean one field, the first that is not null counts.
    """
    renamed: dict[str, Any] = {}
    for key, value in data.items():
        field = names.get(fold(str(key)), str(key))
        if renamed.get(field) is None:
            renamed[field] = value
    return renamed


def _read_json(text: str) -> Any:
    document = json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
    if "\\u" in text or "\x00" in text:
        document = _storable(document)
    return _reread(document)


def _reread(document: Any) -> Any:
    """Read a document that was encoded twice; leave a plain text alone."""
    if isinstance(document, str) and document.lstrip()[:1] in {"{", "[", "\ufeff"}:
        try:
            return _read_json(document.lstrip().lstrip("\ufeff"))
        except ValueError:
            return document
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value


def _read_xml(text: str) -> Any:
    # An encoding declaration contradicts what is decoded already.
    return _read_element(fromstring(re.sub(r"^<\?xml[^>]*\?>", "", text), forbid_dtd=True))


def _read_element(element: Element) -> Any:
    if any(_local(name) == "nil" and as_bool(value) for name, value in element.attrib.items()):
        return None
    if _local(element.tag).startswith("ArrayOf"):
        return [_read_element(child) for child in element]
    if len(element) == 0:
        return element.text or ""
    record: dict[str, Any] = {}
    repeated: set[str] = set()
    for child in element:
        name, value = _local(child.tag), _read_element(child)
        if name in repeated:
            record[name].append(value)
        elif name in record:
            record[name] = [record[name], value]
            repeated.add(name)
        else:
            record[name] = value
    return record


def _local(name: str) -> str:
    return name.rpartition("}")[2]


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
