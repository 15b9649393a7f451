"""Conditions and cuts that several modules of the ledger put into their statements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Exists, Row, exists, or_
from sqlmodel import SQLModel

from worker.ledger.states import RunState
from worker.ledger.tables.runs import orders, runs

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Value = TypeVar("_Value")
_Record = TypeVar("_Record", bound="DataclassInstance | SQLModel")
VALUES_AT_ONCE = 500
"""Values of one `IN (…)`, and rows of one statement."""


def parts(values: Sequence[_Value]) -> Iterator[Sequence[_Value]]:
    """Cut values into parts that one statement can take."""
    for start in range(0, len(values), VALUES_AT_ONCE):
        yield values[start : start + VALUES_AT_ONCE]


def record_of(kind: type[_Record], row: Row[Any]) -> _Record:
    """A row as a record, a dataclass or a table's own class: its columns that the record's class has fields for."""
    names = kind.model_fields if issubclass(kind, SQLModel) else (each.name for each in fields(kind))
    return kind(**{name: getattr(row, name) for name in names})


def lane_is_taken(now: datetime) -> Exists:
    """Another run of a run's lane is worked on, or shuts the lane until a call of its has settled."""
    other = runs.alias("other")
    return exists().where(
        other.c.lane == runs.c.lane,
        other.c.id != runs.c.id,
        or_(other.c.state == RunState.RUNNING, other.c.lane_shut_until > now),
    )


def has_placeholders() -> Exists:
    """An order has a review that a new offer may settle: a run without a grant."""
    return exists().where(
        runs.c.source == orders.c.source,
        runs.c.order_id == orders.c.order_id,
        runs.c.state == RunState.REVIEW,
        runs.c.grant.is_(None),
    )
