"""The list of runs."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from worker.ledger.states import RunState
from worker.ledger.views.page.runs import page_of_runs
from worker.settings.settings import SOURCES
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page
from worker.web.page.views.filters import CHOICES, PAGE_ROWS, RunFilters

PATH = "/runs"


def runs_routes(page: Page) -> APIRouter:
    """The route."""
    router = guarded_router(page)

    @router.get(PATH)
    def show_runs(request: Request, filters: Annotated[RunFilters, Query()]) -> Response:
        with page.reading() as connection:
            found = page_of_runs(
                connection,
                states=() if filters.state is None else (filters.state,),
                reason=filters.reason,
                source=filters.source,
                system=filters.system,
                since=filters.since_at(page.clock()),
                after=filters.after,
                size=PAGE_ROWS + 1,
            )
        shown = found[:PAGE_ROWS]
        return page.render(
            request,
            "runs.html",
            runs=shown,
            filters=filters,
            states=tuple(RunState),
            can_act=page.operator is not None,
            replay_query=urlencode(filters.model_dump(mode="json", exclude_none=True, exclude={"after"})),
            sources=SOURCES,
            next_path=filters.next_path(PATH, shown[-1].id) if len(found) > PAGE_ROWS else None,
            **CHOICES,
        )

    return router
