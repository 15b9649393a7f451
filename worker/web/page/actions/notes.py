"""Notes on an order: written below it, shown at once."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from worker.web.page.actions.confirm import Outcome, tell
from worker.web.page.actions.links import order_path
from worker.web.page.actions.operator import Operator
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page, field, operator_of


def note_routes(page: Page, operator: Operator) -> APIRouter:
    """The route. A note sends nothing and changes nothing, so nothing is asked."""
    router = guarded_router(page)

    @router.post("/notes/{source}/{order_id:path}")
    def write(request: Request, source: str, order_id: str) -> Response:
        done = operator.operations.note(source, order_id, field(request, "text"), actor=operator_of(request))
        return tell(page, request, order_path(source, order_id), Outcome(done))

    return router


def notes_path(source: str, order_id: str) -> str:
    """Where a note on an order is sent."""
    return f"/notes/{quote(source, safe='')}/{quote(order_id, safe='')}"
