"""The search: one hit is gone to at once, several are listed by kind, and of none it says what was looked for."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from worker.ledger.views.lookup import forgotten
from worker.ledger.views.page.search import MOST_HITS, search, suggest, titles_of
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page, see_other

LONGEST_SEARCH = 200


def search_routes(page: Page) -> APIRouter:
    """The routes: the search itself, and what it suggests while somebody types."""
    router = guarded_router(page)

    @router.get("/search")
    def show_hits(request: Request, q: str = "") -> Response:
        wanted = q.strip()[:LONGEST_SEARCH]
        with page.reading() as connection:
            hits = search(connection, wanted)
            titles = titles_of(connection, hits.orders) if hits.path is None else {}
            gone = None if hits else forgotten(connection, wanted)
        if hits.path is not None:
            return see_other(request, path_of(hits.path))
        return page.render(
            request, "search.html", hits=hits, gone=gone, titles=titles, search_text=wanted, most_hits=MOST_HITS
        )

    @router.get("/search/suggestions")
    def show_suggestions(request: Request, q: str = "") -> Response:
        wanted = q.strip()[:LONGEST_SEARCH]
        with page.reading() as connection:
            found = suggest(connection, wanted)
        return page.render(
            request, "suggestions.html", found=[(path_of(each.path), each) for each in found], search_text=wanted
        )

    return router


def path_of(parts: tuple[str, ...]) -> str:
    """The address of a page, of its kind and its ids."""
    return "/" + "/".join(quote(part, safe="") for part in parts)
