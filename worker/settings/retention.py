"""The settings of what is kept only for so long."""

from __future__ import annotations

from pydantic import Field

from worker.settings.types import Section

_LONGEST = 36_500


class RetentionSettings(Section):
    """For how many days what the books do not need is kept; 0: for good."""

    order_versions_days: float = Field(
        90.0,
        ge=0,
        le=_LONGEST,
        description="Days for which the records that sources sent of orders are kept; 0: for good. Of an order that is "
        "not finished the newest stays.",
    )
    deliveries_days: float = Field(
        180.0, ge=0, le=_LONGEST, description="Days for which deliveries are kept that are done with; 0: for good."
    )
    texts_days: float = Field(
        365.0,
        ge=0,
        le=_LONGEST,
        description="Days for which errors' and reasons' texts, and the contents of events that were sent, are kept; "
        "0: for good.",
    )
    completions_days: float = Field(
        730.0,
        ge=0,
        le=_LONGEST,
        description="Days for which completions name their learner; 0: for good.",
    )
