"""JSON and CSV (RFC 4180) from what the ledger's views give: the same for the command line, the API and the page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, Final


def to_json(value: Any) -> Any:
    """A record, or anything made of records, as plain JSON-able values.

    A record becomes an object with a member for each field, in its order. Moments are ISO 8601 in UTC ending in `Z`;
    a member of an enumeration is its text. Ids (the members named `id`, `…_id`, `…_ids`) are
    strings, also where the ledger keeps a destination's as a number.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value) if isinstance(value, StrEnum) else value
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Mapping):
        return {str(name): _member(str(name), each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {name: to_json(getattr(value, name)) for name in _members(type(value))}
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def iso(moment: datetime | None) -> str | None:
    """A moment as ISO 8601 in UTC with a `Z`; None stays None."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _member(name: str, value: Any) -> Any:
    """A member of an object that is no record: of a grant, an output, or the detail of an event."""
    if name == "id" or name.endswith("_id"):
        return str(value) if type(value) is int else to_json(value)
    if name.endswith("_ids") and isinstance(value, list | tuple):
        return [_member("id", each) for each in value]
    return to_json(value)


@cache
def _members(kind: type[Any]) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))


RUN_FIELDS: Final = (
    "id", "workflow", "key", "state", "reason", "source", "order_id", "completion_id", "line_id", "seat_id", "title",
    "email", "grant.price_id", "grant.group_ids", "attempts", "failed_attempts", "generation", "result_id", "parent_id",
    "note", "next_attempt_at", "created_at", "updated_at", "finished_at", "advice", "action",
)  # fmt: skip
ORDER_FIELDS: Final = (
    "source", "order_id", "state", "reason", "status", "payment", "buyer_email", "buyer_name", "total.minor_units",
    "total.currency", "renewal", "before_start", "version", "created_at", "first_seen_at", "updated_at", "advice",
    "action",
)  # fmt: skip
DELIVERY_FIELDS: Final = (
    "id", "source", "order_id", "via", "actor", "state", "reason", "note", "duplicate", "attempts", "received_at",
    "next_attempt_at", "finished_at", "advice", "action",
)  # fmt: skip
"""The columns: the names of the listing's JSON, a dot before what is within an object."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of a formula, in full width too."""


def csv_lines(rows: Iterable[Any], fields: Iterable[str]) -> Iterator[str]:
    """The heading, and each row as it is read. A text that a spreadsheet would calculate is a text there, too."""
    names = tuple(fields)
    yield _line(names)
    for record in rows:
        row = to_json(record)
        yield _line(_cell(_value(row, name)) for name in names)


def _line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(list(cells))
    return buffer.getvalue()


def _value(row: dict[str, Any], name: str) -> Any:
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str):
        return str(value)
    return f"'{value}" if value.lstrip(" \u00a0").startswith(_FORMULA) or value.startswith(_FORMULA) else value
