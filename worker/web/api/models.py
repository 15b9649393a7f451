"""The shapes of the JSON API, for its OpenAPI document. The listings make them; nothing is filtered through these."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict


class Open(BaseModel):
    """An object that may hold more than is written here."""

    model_config = ConfigDict(extra="allow")


class ProblemDetail(Open):
    """RFC 9457: why a request was refused."""

    type: str
    title: str
    status: int
    detail: str


class RunItem(Open):
    """One run, as `cartbridge runs list --json` shows it."""

    id: str
    workflow: str
    key: str
    state: str
    reason: str | None
    source: str
    order_id: str | None
    completion_id: str | None
    email: str | None
    attempts: int
    next_attempt_at: datetime | None
    created_at: datetime
    finished_at: datetime | None


class AttemptItem(Open):
    """One try of a call or a lookup. Without an outcome, the request was or may have been sent."""

    number: int
    kind: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    http_status: int | None
    error: str | None
    reference: str | None


class StepItem(Open):
    """One step of a run, with every try of it."""

    name: str
    state: str
    output: dict[str, Any]
    attempts: list[AttemptItem]


class EventItem(Open):
    """One line of the audit trail."""

    at: datetime
    kind: str
    actor: str
    reason: str | None
    detail: dict[str, Any]


class RunDetail(RunItem):
    """One run in full, as `cartbridge runs show --json` shows it."""

    steps: list[StepItem]
    events: list[EventItem]


class OrderItem(Open):
    """One order as last seen."""

    source: str
    order_id: str
    state: str
    reason: str | None
    status: str
    payment: str
    buyer_email: str
    created_at: datetime | None
    updated_at: datetime


class DeliveryItem(Open):
    """One arrival of news about an order."""

    id: str
    source: str
    order_id: str | None
    via: str
    actor: str
    state: str
    reason: str | None
    duplicate: bool
    attempts: int
    received_at: datetime
    next_attempt_at: datetime | None
    finished_at: datetime | None


class CompletionItem(Open):
    """A learner's progress in a course, as `cartbridge completions list --json` shows it."""

    follow_ons: list[dict[str, Any]]

    id: str
    state: str
    customer_id: str
    email: str
    name: str
    course_id: str
    course_name: str
    score: int | None
    started_at: datetime | None
    completed_at: datetime | None
    first_seen_at: datetime
    updated_at: datetime


class OrderDetail(OrderItem):
    """One order in full."""

    lines: list[dict[str, Any]]
    versions: list[dict[str, Any]]
    runs: list[RunItem]
    deliveries: list[DeliveryItem]
    events: list[EventItem]


class DeliveryDetail(DeliveryItem):
    """One delivery in full; `order` is null while the order is not known."""

    order: OrderItem | None
    run_ids: list[str]
    events: list[EventItem]


class Status(Open):
    """The state of the whole in one look."""

    at: datetime
    offers_problem: str | None
    """Why the offers file cannot be used; its last valid rules stay in force."""
    runs: dict[str, int]
    orders: dict[str, int]
    deliveries: dict[str, int]
    reviews: list[dict[str, Any]]
    due: dict[str, Any]
    pauses: list[dict[str, Any]]
    sources: list[dict[str, Any]]
    completions: dict[str, Any] | None
    outbox: dict[str, Any]
