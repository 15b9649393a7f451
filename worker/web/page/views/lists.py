"""The lists: runs, orders and deliveries, each page by page, with filters, and as a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from worker.ledger.states import DeliveryState, OrderState, RunState, Via
from worker.ledger.views.listing import list_deliveries, list_orders
from worker.ledger.views.page.runs import learner_names, page_of_runs
from worker.ledger.views.records import DeliveryItem
from worker.settings.settings import SOURCES
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page
from worker.web.page.views.filters import CHOICES, PAGE_ROWS, DeliveryFilters, Filters, OrderFilters, RunFilters


def list_routes(page: Page) -> APIRouter:
    """The routes."""
    router = guarded_router(page)
    _add_runs(page, router)
    _add_orders(page, router)
    _add_deliveries(page, router)
    return router


def _add_runs(page: Page, router: APIRouter) -> None:
    @router.get("/runs")
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
            names = learner_names(connection, [run.id for run in found])
        return page.render(
            request,
            "runs.html",
            runs=found[:PAGE_ROWS],
            names=names,
            filters=filters,
            states=tuple(RunState),
            can_act=page.operator is not None,
            replay_query=urlencode(filters.model_dump(mode="json", exclude_none=True, exclude={"after"})),
            sources=SOURCES,
            next_path=_next(filters, "/runs", [run.id for run in found]),
            **CHOICES,
        )


def _add_orders(page: Page, router: APIRouter) -> None:
    @router.get("/orders")
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
        return page.render(
            request,
            "orders.html",
            orders=found[:PAGE_ROWS],
            filters=filters,
            states=tuple(OrderState),
            sources=SOURCES,
            next_path=_next(filters, "/orders", [order.name for order in found]),
            **CHOICES,
        )


def _add_deliveries(page: Page, router: APIRouter) -> None:
    @router.get("/deliveries")
    def show_deliveries(request: Request, filters: Annotated[DeliveryFilters, Query()]) -> Response:
        found = deliveries_of(page, filters, after=filters.after, limit=PAGE_ROWS + 1)
        return page.render(
            request,
            "deliveries.html",
            deliveries=found[:PAGE_ROWS],
            filters=filters,
            states=tuple(DeliveryState),
            vias=tuple(Via),
            sources=SOURCES,
            next_path=_next(filters, "/deliveries", [delivery.id for delivery in found]),
            **CHOICES,
        )


def deliveries_of(page: Page, filters: DeliveryFilters, *, after: str | None, limit: int) -> list[DeliveryItem]:
    """The deliveries that the filters choose, newest first, in a reading transaction of their own."""
    with page.reading() as connection:
        rows = list_deliveries(
            connection,
            states=() if filters.state is None else (filters.state,),
            reason=filters.reason,
            source=filters.source,
            via=filters.via,
            since=filters.since_at(page.clock()),
            after=after,
            limit=limit,
        )
        return list(rows)


def _next(filters: Filters, path: str, marks: Sequence[str]) -> str | None:
    """The address of the page after this one; None on the last. One row more than it shows was asked for."""
    return filters.next_path(path, marks[PAGE_ROWS - 1]) if len(marks) > PAGE_ROWS else None
