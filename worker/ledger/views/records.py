"""What the listings give: runs, orders and deliveries, each as a record.

A record's fields are the members of its JSON, in their order (`worker.ledger.views.serializers.to_json`), and what the
API's OpenAPI says of it. Ids are strings, moments aware and in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Row

from worker.actions import RUN, ActionItem, NextStep, explaining, items
from worker.advice import Advice, advice
from worker.ledger.sql import columns_of, record_of
from worker.ledger.tables.runs import deliveries, orders, runs


def _advised(found: Advice | None, step: NextStep | None) -> dict[str, Any]:
    """The members that explain a record's reason."""
    return {
        "advice": found.sentence if found else None,
        "action": step.text if step else None,
        "actions": items(step),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunItem:
    """One run, with its reason explained. `attempts` counts every try of every call and lookup, `failed_attempts` those
    that did not work: 0 for a run without trouble.

    Either `order_id` or `completion_id` says what it belongs to; the other is None.
    """

    id: str
    workflow: str
    key: str
    state: str
    reason: str | None
    source: str
    order_id: str | None
    completion_id: str | None
    line_id: str
    seat_id: str
    title: str
    email: str | None
    grant: dict[str, Any] | None
    attempts: int
    failed_attempts: int
    generation: int
    result_id: str | None
    parent_id: str | None
    note: str | None
    next_attempt_at: datetime | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    advice: str | None
    action: str | None
    actions: list[ActionItem]

    @classmethod
    def of(cls, row: Row[Any], attempts: int, *, failed_attempts: int = 0, **more: Any) -> Self:
        """From a row with `RUN_COLUMNS`; `more` is what a class that adds to them cannot read of it."""
        found = advice(row.reason, run_id=row.id, source=row.source, order_id=row.order_id)
        more |= _advised(found, found.step if found else None)
        return record_of(cls, row, attempts=attempts, failed_attempts=failed_attempts, **more)

    @property
    def next_step(self) -> NextStep | None:
        """What to do about it."""
        found = advice(self.reason, run_id=self.id, source=self.source, order_id=self.order_id)
        return found.step if found else None

    @property
    def order(self) -> str | None:
        """`SOURCE/ORDER`; None for a run that belongs to a completion."""
        return None if self.order_id is None else f"{self.source}/{self.order_id}"

    @property
    def price_id(self) -> int | None:
        """The LearningCart price it grants; None for a run that grants none."""
        found: int | None = (self.grant or {}).get("price_id")
        return found


RUN_COLUMNS = columns_of(RunItem, runs)


@dataclass(frozen=True, slots=True)
class Total:
    """An amount in the currency's minor units."""

    minor_units: int
    currency: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderItem:
    """One order as last seen; `total` in the currency's minor units."""

    source: str
    order_id: str
    state: str
    reason: str | None
    status: str
    payment: str
    buyer_email: str
    buyer_name: str
    total: Total | None
    renewal: bool
    before_start: bool
    version: int
    created_at: datetime | None
    first_seen_at: datetime
    updated_at: datetime
    advice: str | None
    action: str | None
    actions: list[ActionItem]

    @classmethod
    def of(cls, row: Row[Any], **more: Any) -> Self:
        """From a row with `ORDER_COLUMNS`; `more` as for a run."""
        found = advice(row.reason, source=row.source, order_id=row.order_id)
        more |= _advised(found, _of_order(found, row.source, row.order_id))
        total = None if row.total_minor_units is None else Total(row.total_minor_units, row.currency)
        return record_of(cls, row, total=total, **more)

    @property
    def next_step(self) -> NextStep | None:
        """What to do about it."""
        return _of_order(advice(self.reason, source=self.source, order_id=self.order_id), self.source, self.order_id)

    @property
    def name(self) -> str:
        """`SOURCE/ORDER`."""
        return f"{self.source}/{self.order_id}"


ORDER_COLUMNS = (*columns_of(OrderItem, orders), orders.c.total_minor_units, orders.c.currency)


def _of_order(found: Advice | None, source: str, order_id: str) -> NextStep | None:
    """What to do about an order: where a command needs a run's id, what shows its runs."""
    if found is None or not found.step.needs(RUN):
        return found.step if found else None
    return NextStep.of("See {explain}.", explain=explaining(f"{source}/{order_id}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderOfStory(OrderItem):
    """An order in a story: with a sentence on its subscription, None for an order that belongs to none."""

    subscription: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryItem:
    """One arrival of news about an order."""

    id: str
    source: str
    order_id: str | None
    via: str
    actor: str
    state: str
    reason: str | None
    note: str | None
    duplicate: bool
    attempts: int
    received_at: datetime
    next_attempt_at: datetime | None
    finished_at: datetime | None
    advice: str | None
    action: str | None
    actions: list[ActionItem]

    @classmethod
    def of(cls, row: Row[Any], **more: Any) -> Self:
        """From a row with `DELIVERY_COLUMNS`; `more` as for a run."""
        found = advice(row.reason, source=row.source, order_id=row.order_id)
        return record_of(cls, row, **_advised(found, found.step if found else None), **more)

    @property
    def next_step(self) -> NextStep | None:
        """What to do about it."""
        found = advice(self.reason, source=self.source, order_id=self.order_id)
        return found.step if found else None


DELIVERY_COLUMNS = columns_of(DeliveryItem, deliveries)
