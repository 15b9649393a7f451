"""The settings of single features: follow-on carts, subscriptions, traces, and what is kept only for so long."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from worker.settings.types import BaseUrl, Section, UtcDatetime

_LONGEST_DAYS = 36_500


class FollowOnSettings(Section):
    """What becomes of a completed course that has a [[follow_on]] rule."""

    start_at: UtcDatetime | None = Field(
        None,
        description="Courses completed before this lead to no cart. ISO 8601; without a zone it is UTC. "
        "Default: 24 hours before the first poll of completions.",
    )
    cart_days: int = Field(
        30, ge=1, le=3650, description="Days after which a cart that was not checked out is deleted from the store."
    )
    notify: Literal["none", "event", "mail"] | None = Field(
        None,
        description="Who is told of a cart: the learner by mail, your own system by event, or none. "
        "Default: mail if mail is configured, else event if events are, else none.",
    )


class SubscriptionSettings(Section):
    """How a source's subscriptions are taken."""

    subscription_ends: Literal["review", "note"] = Field(
        "review",
        description="When a subscription ends, pauses or is not paid after it gave access: review asks a person about "
        "the access, note only writes it into the order's history.",
    )
    trials: Literal["wait", "grant"] = Field(
        "wait",
        description="A subscription on trial: wait gives access with its first payment, grant with the trial itself.",
    )


class TracingSettings(Section):
    """Where traces are sent. Off until an address is given."""

    endpoint: BaseUrl | None = Field(
        None,
        description="Where traces are sent, OTLP over HTTP, such as http://collector:4318. Needs cartbridge[tracing].",
    )


class RetentionSettings(Section):
    """For how many days what the books do not need is kept; 0: for good."""

    order_versions_days: float = Field(
        90.0,
        ge=0,
        le=_LONGEST_DAYS,
        description="Days for which the records that sources sent of orders are kept; 0: for good. Of an order that is "
        "not finished the newest stays.",
    )
    deliveries_days: float = Field(
        180.0, ge=0, le=_LONGEST_DAYS, description="Days for which deliveries are kept that are done with; 0: for good."
    )
    texts_days: float = Field(
        365.0,
        ge=0,
        le=_LONGEST_DAYS,
        description="Days for which errors' and reasons' texts, and the contents of events that were sent, are kept; "
        "0: for good.",
    )
    completions_days: float = Field(
        730.0,
        ge=0,
        le=_LONGEST_DAYS,
        description="Days for which completions name their learner; 0: for good.",
    )
