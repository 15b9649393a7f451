"""The settings of subscriptions: what their end and their trials mean for access."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from worker.settings.section import Section


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
