"""Who did what, and when."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from worker.formatting import begin_of
from worker.ledger.views.page.activity import ACTIVITY_FIELDS, Act, list_activity
from worker.ledger.web.operators import list_operators
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page
from worker.web.page.views.filters import Chosen, ListFilters
from worker.web.page.views.lists import Listing, file_of, page_of

ACTIVITY: Final = Listing("activity", list_activity, ACTIVITY_FIELDS)


class ActivityFilters(ListFilters):
    """What the list is asked with. Days are the operator's, both included."""

    who: Annotated[str | None, Chosen] = None
    what: Annotated[Act | None, Chosen] = None
    about: Annotated[str | None, Chosen] = None
    since: Annotated[date | None, Chosen] = None
    until: Annotated[date | None, Chosen] = None

    def chosen(self, _now: datetime) -> dict[str, Any]:
        """As `ListFilters.chosen`."""
        last = None if self.until is None or self.until == date.max else self.until + timedelta(days=1)
        return {
            "who": self.who,
            "kinds": () if self.what is None else (self.what,),
            "about": self.about,
            "since": None if self.since is None else begin_of(self.since),
            "until": None if last is None else begin_of(last),
        }


def activity_routes(page: Page) -> APIRouter:
    """The routes."""
    router = guarded_router(page)

    @router.get("/activity")
    def show_activity(request: Request, filters: Annotated[ActivityFilters, Query()]) -> Response:
        with page.reading() as connection:
            shown = page_of(connection, page, ACTIVITY, filters)
            names = {each.name for each in list_operators(connection)} | {act.who for act in shown["rows"]}
        return page.render(request, "activity.html", **shown, names=sorted(names), kinds=tuple(Act))

    @router.get("/activity.csv")
    def download_activity(request: Request, filters: Annotated[ActivityFilters, Query()]) -> Response:  # noqa: ARG001 -- the guard's
        return file_of(page, ACTIVITY, filters)

    return router
