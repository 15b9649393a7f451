"""The lists as CSV files: the rows that their filters choose, all of them, not the page that is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from worker.ledger.views.csv_rows import DELIVERY_FIELDS, ORDER_FIELDS, RUN_FIELDS, csv_lines
from worker.ledger.views.listing import list_orders
from worker.ledger.views.page.activity import ACTIVITY_FIELDS, ActivityItem, list_activity
from worker.ledger.views.page.runs import page_of_runs
from worker.ledger.views.records import DeliveryItem, OrderItem, RunItem
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import HEADERS, Page
from worker.web.page.views.activity import ActivityFilters
from worker.web.page.views.filters import DeliveryFilters, OrderFilters, RunFilters
from worker.web.page.views.lists import deliveries_of

_ROWS_AT_ONCE = 1_000
_BYTE_ORDER_MARK = "\ufeff"
"""Without it, Excel takes UTF-8 for the encoding of the machine."""
_UNCOUNTED = frozenset({"attempts", "failed_attempts"})
"""What the page's list of runs does not count."""


def download_routes(page: Page) -> APIRouter:
    """The routes. Each thousand rows is a reading transaction of its own, so that a long download holds none open."""
    router = guarded_router(page)

    @router.get("/runs.csv")
    def runs(request: Request, filters: Annotated[RunFilters, Query()]) -> Response:  # noqa: ARG001 -- the guard's
        fields = tuple(name for name in RUN_FIELDS if name not in _UNCOUNTED)
        return csv_file("runs.csv", csv_lines(_runs(page, filters), fields))

    @router.get("/orders.csv")
    def orders(request: Request, filters: Annotated[OrderFilters, Query()]) -> Response:  # noqa: ARG001 -- the guard's
        return csv_file("orders.csv", csv_lines(_orders(page, filters), ORDER_FIELDS))

    @router.get("/deliveries.csv")
    def deliveries(request: Request, filters: Annotated[DeliveryFilters, Query()]) -> Response:  # noqa: ARG001 -- the guard's
        return csv_file("deliveries.csv", csv_lines(_deliveries(page, filters), DELIVERY_FIELDS))

    @router.get("/activity.csv")
    def activity(request: Request, filters: Annotated[ActivityFilters, Query()]) -> Response:  # noqa: ARG001 -- the guard's
        return csv_file("activity.csv", csv_lines(_activity(page, filters), ACTIVITY_FIELDS))

    return router


def csv_file(name: str, lines: Iterator[str]) -> Response:
    """A CSV file as an answer, whose lines are sent as they are read."""
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_marked(lines), media_type="text/csv; charset=utf-8", headers=headers)


def _deliveries(page: Page, filters: DeliveryFilters) -> Iterator[DeliveryItem]:
    after = filters.after
    while found := deliveries_of(page, filters, after=after, limit=_ROWS_AT_ONCE):
        yield from found
        after = found[-1].id


def _marked(lines: Iterator[str]) -> Iterator[str]:
    yield _BYTE_ORDER_MARK
    yield from lines


def _runs(page: Page, filters: RunFilters) -> Iterator[RunItem]:
    after, since = filters.after, filters.since_at(page.clock())
    while True:
        with page.reading() as connection:
            found = page_of_runs(
                connection,
                states=() if filters.state is None else (filters.state,),
                reason=filters.reason,
                source=filters.source,
                system=filters.system,
                since=since,
                after=after,
                size=_ROWS_AT_ONCE,
            )
        yield from found
        if len(found) < _ROWS_AT_ONCE:
            return
        after = found[-1].id


def _orders(page: Page, filters: OrderFilters) -> Iterator[OrderItem]:
    after, since = filters.after, filters.since_at(page.clock())
    while True:
        with page.reading() as connection:
            rows = list_orders(
                connection,
                states=() if filters.state is None else (filters.state,),
                reason=filters.reason,
                source=filters.source,
                since=since,
                after=after,
                limit=_ROWS_AT_ONCE,
            )
            found = list(rows)
        yield from found
        if len(found) < _ROWS_AT_ONCE:
            return
        after = f"{found[-1].source}/{found[-1].order_id}"


def _activity(page: Page, filters: ActivityFilters) -> Iterator[ActivityItem]:
    after = filters.after
    while True:
        with page.reading() as connection:
            found = list(list_activity(connection, **filters.chosen(), after=after, limit=_ROWS_AT_ONCE))
        yield from found
        if len(found) < _ROWS_AT_ONCE:
            return
        after = found[-1].id
