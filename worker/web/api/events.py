"""The events that Cartbridge sends, as the API's description has them: OpenAPI's `webhooks`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import FastAPI, Header, Response
from pydantic import BaseModel

from worker.actions import ActionItem


class RunEventData(BaseModel):
    """The run that it is about."""

    run_id: str
    key: str
    source: str
    order_id: str | None
    email: str | None
    name: str
    title: str
    grant: dict[str, Any] | None
    result_id: str | None
    """LearningCart's order, where there is one."""
    reason: str | None
    sentence: str | None
    action: str | None
    actions: list[ActionItem]
    at: datetime


class CompletionEventData(BaseModel):
    """The learner, and the course that they began or completed."""

    completion_id: str
    customer_id: str
    email: str
    name: str
    course_id: str
    course_name: str
    started_at: datetime | None
    completed_at: datetime | None
    score: int | None


class CartEventData(BaseModel):
    """The cart of a follow-on course, and whom it is for."""

    email: str
    name: str
    course_id: str
    catalog_id: str
    cart_id: str
    checkout_url: str


class RunEvent(BaseModel):
    """What became of a run."""

    type: str
    timestamp: datetime
    data: RunEventData


class CompletionEvent(BaseModel):
    """What LearningCart told of a learner."""

    type: str
    timestamp: datetime
    data: CompletionEventData


class CartEvent(BaseModel):
    """A cart is ready to be checked out."""

    type: str
    timestamp: datetime
    data: CartEventData


_EVENTS: tuple[tuple[str, type[BaseModel], str], ...] = (
    ("enrolment.succeeded", RunEvent, "A run gave access, or was resolved by hand."),
    ("enrolment.failed", RunEvent, "A run failed: `data.reason`, and what to do."),
    ("enrolment.review", RunEvent, "A run came to wait for a person; each time it does."),
    (
        "revocation.review",
        RunEvent,
        "Access is to be taken back by hand: refunded, cancelled or removed after it was given.",
    ),
    ("revocation.succeeded", RunEvent, "Access was taken back by hand, as an operator says."),
    ("follow_on.succeeded", RunEvent, "A follow-on cart was prepared."),
    ("follow_on.failed", RunEvent, "A follow-on cart could not be prepared."),
    ("follow_on.review", RunEvent, "A follow-on cart waits for a person."),
    ("follow_on.cart_ready", CartEvent, "A follow-on cart is ready, with its checkout."),
    ("completion.began", CompletionEvent, "A learner is first seen to have begun a course."),
    ("completion.completed", CompletionEvent, "A learner is first seen to have completed a course."),
)


def describe_events(app: FastAPI) -> None:
    """Add each event to the description. Nothing here is served: they are sent to `CARTBRIDGE_EVENTS__WEBHOOK_URL`."""
    for kind, model, sentence in _EVENTS:
        app.webhooks.add_api_route(
            kind,
            _receiver(model),
            methods=["POST"],
            name=kind,
            description=f"{sentence} Signed as standardwebhooks.com has it; sent again until it is answered with 2xx.",
            status_code=204,
            response_class=Response,
        )


def _receiver(model: type[BaseModel]) -> Any:
    def receive(
        body: Any,
        webhook_id: Annotated[str, Header(description="The same at every attempt.")],
        webhook_timestamp: Annotated[str, Header(description="Seconds since 1970.")],
        webhook_signature: Annotated[str, Header(description="`v1,…`, by the secret that both know.")],
    ) -> None:
        """What a receiver of this event takes."""

    receive.__annotations__["body"] = model
    return receive
