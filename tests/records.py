"""Records of the ledger's views for tests: what matters is set, the rest is empty."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Kind = TypeVar("Kind")
_EMPTY: dict[type, Any] = {str: "", int: 0, bool: False, datetime: datetime(2026, 3, 4, tzinfo=UTC)}


def record(kind: type[Kind], /, **values: Any) -> Kind:
    """A record of this class, whose other members are None or, where they cannot be, empty."""
    assert is_dataclass(kind)
    hints = get_type_hints(kind)
    empty = {each.name: _empty(hints[each.name]) for each in fields(kind) if each.name not in values}
    return kind(**empty, **values)


def _empty(hint: Any) -> Any:
    if NoneType in get_args(hint):
        return None
    origin = get_origin(hint)
    return origin() if origin in (list, dict) else _EMPTY[hint]
