"""The search: one hit is gone to at once, several are listed by kind, and of none it says what was looked for."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from worker.ledger.views.page.search import MOST_HITS, RECENT_ROWS, search
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page, see_other

LONGEST_SEARCH = 200


def search_routes(page: Page) -> APIRouter:
    """The route."""
    router = guarded_router(page)

    @router.get("/search")
    def show_hits(request: Request, q: str = "") -> Response:
        wanted = q.strip()[:LONGEST_SEARCH]
        with page.reading() as connection:
            hits = search(connection, wanted)
        if hits.path is not None:
            return see_other(request, "/" + "/".join(quote(part, safe="") for part in hits.path))
        return page.render(
            request, "search.html", hits=hits, search_text=wanted, most_hits=MOST_HITS, recent_rows=RECENT_ROWS
        )

    return router
