"""The settings of follow-on carts: which completions lead to one, who is told, and how long a cart is kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from worker.settings.section import Section
from worker.settings.types import UtcDatetime


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
