"""The filters of the lists, as they stand in the address: what is asked for, and the address of the next page."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict

from worker.ledger.states import DeliveryState, OrderState, RunState, Via
from worker.reasons import Reason
from worker.settings.settings import SENT_TO

SPANS = {"1h": "the last hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}
_HOURS = {"1h": 1, "24h": 24, "7d": 168, "30d": 720}
PAGE_ROWS = 50


def _none_if_empty(value: object) -> object:
    """A form's unused fields arrive as empty texts."""
    return None if value == "" else value


Chosen = BeforeValidator(_none_if_empty)


class Filters(BaseModel):
    """What all lists are asked with."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[Reason | None, Chosen] = None
    source: Annotated[Literal["studiocart", "frontcore", "threedcart", "learningcart"] | None, Chosen] = None
    since: Annotated[Literal["1h", "24h", "7d", "30d"] | None, Chosen] = None
    after: Annotated[str | None, Chosen] = None

    def since_at(self, now: datetime) -> datetime | None:
        """The moment the rows begin at, None for all of them."""
        return None if self.since is None else now - timedelta(hours=_HOURS[self.since])

    @property
    def is_filtered(self) -> bool:
        """Whether anything is left out."""
        return bool(self.model_dump(exclude={"after"}, exclude_none=True))

    def csv_path(self, path: str) -> str:
        """The address of the same rows as a file."""
        chosen = self.model_dump(mode="json", exclude_none=True, exclude={"after"})
        return f"{path}.csv?{urlencode(chosen)}" if chosen else f"{path}.csv"

    def next_path(self, path: str, mark: str) -> str:
        """The address of the page after the row `mark`."""
        chosen: dict[str, Any] = self.model_dump(mode="json", exclude_none=True)
        return f"{path}?{urlencode({**chosen, 'after': mark})}"


class RunFilters(Filters):
    """What the list of runs is asked with."""

    state: Annotated[RunState | None, Chosen] = None
    system: Annotated[Literal["learningcart", "threedcart"] | None, Chosen] = None


class OrderFilters(Filters):
    """What the list of orders is asked with."""

    state: Annotated[OrderState | None, Chosen] = None


class DeliveryFilters(Filters):
    """What the list of deliveries is asked with."""

    state: Annotated[DeliveryState | None, Chosen] = None
    via: Annotated[Via | None, Chosen] = None


CHOICES: dict[str, Any] = {
    "reasons": sorted(Reason),
    "systems": SENT_TO,
    "spans": SPANS,
}
