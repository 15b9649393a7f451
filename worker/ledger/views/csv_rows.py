"""The rows of a listing as CSV (RFC 4180), for a spreadsheet: one record a row, the same for command line and page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from worker.ledger.views.serializers import to_json

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
