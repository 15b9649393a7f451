"""The parameters of the JSON API's listings. One that is not known is refused, not ignored."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from worker.ledger.follow_on.completions import CompletionItem
from worker.ledger.states import DeliveryState, OrderState, RunState, Via
from worker.ledger.views.page.activity import Act, ActivityItem
from worker.ledger.views.records import DeliveryItem, OrderItem, RunItem
from worker.settings.types import UtcDatetime

LARGEST_PAGE = 500
DEFAULT_PAGE = 50

Listed = RunItem | OrderItem | DeliveryItem | CompletionItem | ActivityItem
"""A row of a listing."""

_STATES = "Only these states; may be given several times."


class PageQuery(BaseModel):
    """What every listing is asked with. All but `limit` and `after` are filters, named as the listings name them."""

    model_config = ConfigDict(extra="forbid")

    since: UtcDatetime | None = Field(None, description="From this moment on; ISO 8601, without a zone it is UTC.")
    until: UtcDatetime | None = Field(None, description="Before this moment.")
    limit: int = Field(DEFAULT_PAGE, ge=1, le=LARGEST_PAGE, description="Rows of a page.")
    after: str | None = Field(None, description="The last row of the page before: the Link header holds it.")

    def filters(self) -> dict[str, Any]:
        """The arguments for a listing, without those that say which page."""
        return self.model_dump(exclude={"limit", "after"})

    def next_link(self, last: Listed) -> str:
        """The `Link` header to the page after the row `last`; relative, so that it holds behind any proxy."""
        filters = self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"limit", "after"})
        query = urlencode({**filters, "limit": self.limit, "after": self.mark(last)}, doseq=True)
        return f'<?{query}>; rel="next"'

    @staticmethod
    def mark(row: Listed) -> str:
        """What names a row in `after`."""
        return row.name if isinstance(row, OrderItem) else row.id


class ListingQuery(PageQuery):
    """What the listings of what comes from the sources are asked with."""

    source: Literal["studiocart", "frontcore", "threedcart"] | None = None
    reason: str | None = Field(None, description="Only this reason code.")


class RunQuery(ListingQuery):
    """Runs; `since` and `until` are about when they were created."""

    states: list[RunState] = Field([], alias="state", description=_STATES)
    email: str | None = Field(None, description="The learner's.")
    order_id: str | None = None


class OrderQuery(ListingQuery):
    """Orders; `since` and `until` are about their latest news."""

    states: list[OrderState] = Field([], alias="state", description=_STATES)
    email: str | None = Field(None, description="The buyer's.")


class DeliveryQuery(ListingQuery):
    """Deliveries; `since` and `until` are about when they arrived."""

    states: list[DeliveryState] = Field([], alias="state", description=_STATES)
    order_id: str | None = None
    via: Via | None = None


class CompletionQuery(PageQuery):
    """Completions; `since` and `until` are about their latest news."""

    email: str | None = Field(None, description="The learner's.")
    course_id: str | None = Field(None, description="LearningCart's id of the course.")


class ActivityQuery(PageQuery):
    """Acts; `since` and `until` are about when they were done."""

    who: str | None = Field(None, description="A name, in any case.")
    kinds: list[Act] = Field([], alias="kind", description="Only of these kinds; may be given several times.")
    about: str | None = Field(None, description="An order, as SOURCE/ORDER or its number, or a run.")


class SubjectQuery(BaseModel):
    """Whom or what a story is about."""

    model_config = ConfigDict(extra="forbid")

    subject: str = Field(min_length=1, max_length=400, description="An email, SOURCE/ORDER, or a run.")
