"""Who did what, and when."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from worker.formatting import begin_of
from worker.ledger.views.page.activity import Act, list_activity
from worker.ledger.web.operators import list_operators
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page
from worker.web.page.views.filters import PAGE_ROWS, Chosen

PATH: Final = "/activity"


class ActivityFilters(BaseModel):
    """What the list is asked with, as it stands in the address. Days are the operator's, both included."""

    model_config = ConfigDict(extra="forbid")

    who: Annotated[str | None, Chosen] = None
    what: Annotated[Act | None, Chosen] = None
    about: Annotated[str | None, Chosen] = None
    since: Annotated[date | None, Chosen] = None
    until: Annotated[date | None, Chosen] = None
    after: Annotated[str | None, Chosen] = None

    def chosen(self) -> dict[str, Any]:
        """The arguments for the listing, without those that say which page."""
        last = None if self.until is None or self.until == date.max else self.until + timedelta(days=1)
        return {
            "who": self.who,
            "kinds": () if self.what is None else (self.what,),
            "about": self.about,
            "since": None if self.since is None else begin_of(self.since),
            "until": None if last is None else begin_of(last),
        }

    def path(self, path: str = PATH, *, after: str | None = None) -> str:
        """The address of these rows, or of the page of them after a row."""
        filters = self.model_dump(mode="json", exclude_none=True, exclude={"after"})
        query = urlencode(filters if after is None else {**filters, "after": after})
        return f"{path}?{query}" if query else path

    @property
    def is_filtered(self) -> bool:
        """Whether anything is left out."""
        return self.path() != PATH


def activity_routes(page: Page) -> APIRouter:
    """The route."""
    router = guarded_router(page)

    @router.get(PATH)
    def show_activity(request: Request, filters: Annotated[ActivityFilters, Query()]) -> Response:
        with page.reading() as connection:
            rows = list_activity(connection, **filters.chosen(), after=filters.after, limit=PAGE_ROWS + 1)
            found = list(rows)
            names = {each.name for each in list_operators(connection)}
        shown = found[:PAGE_ROWS]
        return page.render(
            request,
            "activity.html",
            acts=shown,
            filters=filters,
            names=sorted(names | {act.who for act in shown}),
            kinds=tuple(Act),
            csv_path=filters.path(f"{PATH}.csv"),
            next_path=filters.path(after=shown[-1].id) if len(found) > PAGE_ROWS else None,
        )

    return router
