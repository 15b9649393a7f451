"""Two sources in memory that behave as Studiocart and Frontcore do, and histories of what happens to them.

The clients above them are the real ones but for the wire, so that their paging is part of what is shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from random import Random
from typing import Any

from worker.clients.base import Answer
from worker.clients.frontcore import client as frontcore
from worker.clients.frontcore.client import FrontcoreClient
from worker.clients.frontcore.models import Order as FrontcoreOrder
from worker.clients.list_pages import PageSizes
from worker.clients.studiocart.client import StudiocartClient
from worker.errors import ApiConnectionError

BEGIN = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@dataclass
class StoredOrder:
    """One order as the source keeps it, and since when its version is to be seen."""

    id: int
    version: int
    created_at: datetime
    modified_at: datetime
    updated_at: datetime | None
    visible_at: int
    exported: bool = False


@dataclass
class World:
    """Orders that come, change and go. `moment` counts what happened; `now` is the true time."""

    rng: Random
    page_size: int
    zone: timezone
    lists_from: bool
    """Whether `date_after` lists the day it names too."""
    ids_apart: int
    """At most: other things than orders may take numbers too."""
    orders: dict[int, StoredOrder] = field(default_factory=dict)
    now: datetime = BEGIN
    moment: int = 0
    highest_id: int = 1000
    deletions: int = 0
    touches: int = 0
    during_request: Callable[[], None] = lambda: None

    def pass_time(self, *choices: timedelta) -> None:
        self.now += self.rng.choice(choices)

    def happen(self, kinds: Sequence[str]) -> None:
        """Let one thing happen, most often within the second of the one before."""
        self.moment += 1
        self.pass_time(timedelta(), timedelta(), timedelta(seconds=1), timedelta(minutes=3))
        kind = self.rng.choice(kinds)
        stored = self.orders[self.rng.choice(list(self.orders))] if self.orders else None
        if kind == "create" or stored is None:
            self.highest_id += self.rng.randint(1, self.ids_apart)
            self.create(self.highest_id, self.now)
        elif kind == "late":
            free = [each for each in range(self.highest_id - 30, self.highest_id) if each not in self.orders]
            if free:
                delay = timedelta(seconds=self.rng.choice([1, 60, 1800, 7200]))
                self.create(self.rng.choice(free), self.now - delay)
        elif kind == "update":
            stored.version, stored.visible_at = stored.version + 1, self.moment
            stored.modified_at = stored.updated_at = self.now.replace(microsecond=0)
        elif kind == "touch":
            self.touches += 1
            stored.modified_at = self.now.replace(microsecond=0)
        elif kind == "export":
            stored.exported = True
        elif kind == "delete":
            self.deletions += 1
            del self.orders[stored.id]

    def create(self, order_id: int, created_at: datetime) -> None:
        second = created_at.replace(microsecond=0)
        self.orders[order_id] = StoredOrder(order_id, 1, second, second, None, self.moment)

    def local(self, moment: datetime | None) -> str | None:
        return None if moment is None else moment.astimezone(self.zone).isoformat(timespec="seconds")

    def read_moment(self, text: str) -> datetime:
        """A filter's date, in the zone the account happens to read it in."""
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=self.zone) if moment.tzinfo is None else moment


class _Requests:
    """A site that reads its parameters, whichever way they come, and answers nothing but JSON."""

    def __init__(self, answer: Callable[[Mapping[str, Any]], Answer]) -> None:
        self._answer = answer

    def get(self, _operation: str, _path: str, parameters: Mapping[str, Any], _limits: object) -> Answer:
        return self._answer(parameters)

    def document(self, _operation: str, answer: Answer) -> Any:
        return json.loads(answer.body)

    def change_way(self) -> None:
        """Both ways are one here."""

    def begin_anew(self) -> None:
        """Both ways are one here."""


class ModelStudiocart(StudiocartClient):
    """A site whose host serves few orders a page. Its changed list has the one changed last on top."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._page_limit = 500
        self._requests: Any = _Requests(self._answer)
        self._sizes = PageSizes()

    def _answer(self, parameters: Mapping[str, Any]) -> Answer:
        world = self._world
        world.during_request()
        found = list(world.orders.values())
        if after := parameters.get("date_after"):
            first = date.fromisoformat(after) + timedelta(days=0 if world.lists_from else 1)
            found = [each for each in found if each.created_at.astimezone(world.zone).date() >= first]
        by_change = parameters["orderby"] == "date_modified"
        found.sort(key=lambda each: (each.modified_at if by_change else BEGIN, each.id), reverse=True)
        size = min(parameters["per_page"], world.page_size)
        start = (parameters["page"] - 1) * size
        page = [self._shown(each) for each in found[start : start + size]]
        return Answer(200, {}, json.dumps(page).encode())

    @staticmethod
    def _shown(stored: StoredOrder) -> dict[str, Any]:
        created_at = stored.created_at.replace(tzinfo=None).isoformat(sep=" ")
        return {"id": stored.id, "status": "pending", "date_time": created_at, "customer_name": f"v{stored.version}"}


class ModelFrontcore(FrontcoreClient):
    """An account that lists newest first, leaves out what is exported, and knows `updated_at` of changed orders."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._page_limit = 500
        self._sizes = PageSizes()

    def _page(self, filters: Mapping[str, Any], limits: object, page: int, limit: int) -> list[FrontcoreOrder]:
        world = self._world
        world.during_request()
        asked = dict(frontcore._parameters(filters))
        found = list(world.orders.values())
        if asked.get("exported") != "true":
            found = [each for each in found if not each.exported]
        if since_id := asked.get("since_id"):
            found = [each for each in found if each.id > int(since_id)]
        if text := asked.get("created_at_min"):
            least = world.read_moment(text)
            found = [each for each in found if each.created_at >= least]
        if text := asked.get("updated_at_min"):
            least = world.read_moment(text)
            found = [each for each in found if each.updated_at is not None and each.updated_at >= least]
        found.sort(key=lambda each: (each.created_at, each.id), reverse=True)
        size = min(limit, world.page_size)
        return [self._shown(each) for each in found[(page - 1) * size : page * size]]

    def _shown(self, stored: StoredOrder) -> FrontcoreOrder:
        return FrontcoreOrder.model_validate(
            {
                "id": stored.id,
                "is_paid": False,
                "booker": {"name": f"v{stored.version}"},
                "lines": [],
                "created_at": self._world.local(stored.created_at),
                "updated_at": self._world.local(stored.updated_at),
            }
        )


def cut() -> ApiConnectionError:
    return ApiConnectionError("the connection was cut", system="model", operation="list")
