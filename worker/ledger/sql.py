"""Conditions and cuts that several modules of the ledger put into their statements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Exists, exists, or_

from worker.ledger.states import RunState
from worker.ledger.tables.runs import orders, runs

_Value = TypeVar("_Value")
VALUES_AT_ONCE = 500
"""Values of one `IN (…)`, and rows of one statement."""


def parts(values: Sequence[_Value]) -> Iterator[Sequence[_Value]]:
    """Cut values into parts that one statement can take."""
    for start in range(0, len(values), VALUES_AT_ONCE):
        yield values[start : start + VALUES_AT_ONCE]


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
