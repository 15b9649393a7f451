"""JSON from what the ledger's views give: the same for the command line, the JSON API and the operator's page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any


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
