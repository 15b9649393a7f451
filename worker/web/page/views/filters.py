"""The filters of the lists, as they stand in the address: what is asked for, and the address of the next page."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict

from worker.ledger.states import DeliveryState, OrderState, RunState, Via
from worker.reasons import Reason

SPANS = {"1h": "the last hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}
_HOURS = {"1h": 1, "24h": 24, "7d": 168, "30d": 720}
PAGE_ROWS = 50


def _none_if_empty(value: object) -> object:
    """A form's unused fields arrive as empty texts."""
    return None if value == "" else value


Chosen = BeforeValidator(_none_if_empty)


class ListFilters(BaseModel):
    """What any list is asked with, as it stands in the address."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[str | None, Chosen] = None

    def chosen(self, now: datetime) -> dict[str, Any]:
        """The arguments for the listing, without those that say which page."""
        raise NotImplementedError

    def path(self, path: str, *, after: str | None = None) -> str:
        """The address of these rows, or of the page of them after a row."""
        filters = self.model_dump(mode="json", exclude_none=True, exclude={"after"})
        query = urlencode(filters if after is None else {**filters, "after": after})
        return f"{path}?{query}" if query else path

    @property
    def is_filtered(self) -> bool:
        """Whether anything is left out."""
        return bool(self.path(""))


class Filters(ListFilters):
    """What the lists of what comes from the sources are asked with."""

    state: Annotated[str | None, Chosen] = None
    reason: Annotated[Reason | None, Chosen] = None
    source: Annotated[Literal["studiocart", "frontcore", "threedcart", "learningcart"] | None, Chosen] = None
    since: Annotated[Literal["1h", "24h", "7d", "30d"] | None, Chosen] = None

    def since_at(self, now: datetime) -> datetime | None:
        """The moment the rows begin at, None for all of them."""
        return None if self.since is None else now - timedelta(hours=_HOURS[self.since])

    def chosen(self, now: datetime) -> dict[str, Any]:
        """As `ListFilters.chosen`."""
        rest = self.model_dump(exclude={"state", "since", "after"})
        return {**rest, "states": () if self.state is None else (self.state,), "since": self.since_at(now)}

    @property
    def values(self) -> dict[str, Any]:
        """By column the value that the rows have; None for any."""
        return self.model_dump(exclude={"since", "after"})


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
