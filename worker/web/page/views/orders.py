"""The list of orders."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from worker.ledger.states import OrderState
from worker.ledger.views.listing import list_orders
from worker.settings.settings import SOURCES
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page
from worker.web.page.views.filters import CHOICES, PAGE_ROWS, OrderFilters

PATH = "/orders"


def orders_routes(page: Page) -> APIRouter:
    """The route."""
    router = guarded_router(page)

    @router.get(PATH)
    def show_orders(request: Request, filters: Annotated[OrderFilters, Query()]) -> Response:
        with page.reading() as connection:
            rows = list_orders(
                connection,
                states=() if filters.state is None else (filters.state,),
                reason=filters.reason,
                source=filters.source,
                since=filters.since_at(page.clock()),
                after=filters.after,
                limit=PAGE_ROWS + 1,
            )
            found = list(rows)
        shown = found[:PAGE_ROWS]
        mark = f"{shown[-1].source}/{shown[-1].order_id}" if len(found) > PAGE_ROWS else None
        return page.render(
            request,
            "orders.html",
            orders=shown,
            filters=filters,
            states=tuple(OrderState),
            sources=SOURCES,
            next_path=None if mark is None else filters.next_path(PATH, mark),
            **CHOICES,
        )

    return router
