"""The lists: runs, orders and deliveries, each page by page, with filters, and as a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection, Table

from worker.ledger.states import DeliveryState, OrderState, RunState, Via
from worker.ledger.tables.runs import deliveries, orders, runs
from worker.ledger.views.listing import list_deliveries, list_orders
from worker.ledger.views.page.choices import choices
from worker.ledger.views.page.runs import learner_names, page_of_runs
from worker.ledger.views.records import OrderItem
from worker.ledger.views.serializers import DELIVERY_FIELDS, ORDER_FIELDS, RUN_FIELDS, csv_lines
from worker.settings.settings import SENT_TO, SOURCES
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import HEADERS, Page
from worker.web.page.views.filters import (
    PAGE_ROWS,
    SPANS,
    DeliveryFilters,
    Filters,
    ListFilters,
    OrderFilters,
    RunFilters,
)

_ROWS_AT_ONCE = 1_000
_BYTE_ORDER_MARK = "\ufeff"
"""Without it, Excel takes UTF-8 for the encoding of the machine."""
_UNCOUNTED = frozenset({"attempts", "failed_attempts"})
"""What the page's list of runs does not count."""


@dataclass(frozen=True)
class Listing:
    """A list of the ledger: its name, what reads it by filters, `after` and `limit`, and the columns of its file."""

    name: str
    read: Callable[..., Iterable[Any]]
    fields: tuple[str, ...]


RUNS: Final = Listing("runs", page_of_runs, tuple(name for name in RUN_FIELDS if name not in _UNCOUNTED))
ORDERS: Final = Listing("orders", list_orders, ORDER_FIELDS)
DELIVERIES: Final = Listing("deliveries", list_deliveries, DELIVERY_FIELDS)
_KNOWN: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "runs": {"state": tuple(RunState), "source": (*SOURCES, "learningcart"), "system": SENT_TO},
    "orders": {"state": tuple(OrderState), "source": SOURCES},
    "deliveries": {"state": tuple(DeliveryState), "source": SOURCES, "via": tuple(Via)},
}
"""The values that a filter can have; of a reason those that occur are looked for."""


def list_routes(page: Page) -> APIRouter:
    """The routes."""
    router = guarded_router(page)

    @router.get("/runs")
    def show_runs(request: Request, filters: Annotated[RunFilters, Query()]) -> Response:
        with page.reading() as connection:
            shown = _filtered(connection, page, RUNS, runs, filters)
            names = learner_names(connection, [run.id for run in shown["rows"]])
        can_act = page.operator is not None
        return page.render(
            request, "runs.html", **shown, names=names, can_act=can_act, replay_path=filters.path("/replay")
        )

    @router.get("/orders")
    def show_orders(request: Request, filters: Annotated[OrderFilters, Query()]) -> Response:
        with page.reading() as connection:
            shown = _filtered(connection, page, ORDERS, orders, filters)
        return page.render(request, "orders.html", **shown)

    @router.get("/deliveries")
    def show_deliveries(request: Request, filters: Annotated[DeliveryFilters, Query()]) -> Response:
        with page.reading() as connection:
            shown = _filtered(connection, page, DELIVERIES, deliveries, filters)
        return page.render(request, "deliveries.html", **shown)

    @router.get("/runs.csv")
    def download_runs(request: Request, filters: Annotated[RunFilters, Query()]) -> Response:  # noqa: ARG001 -- the guard's
        return file_of(page, RUNS, filters)

    @router.get("/orders.csv")
    def download_orders(request: Request, filters: Annotated[OrderFilters, Query()]) -> Response:  # noqa: ARG001 -- the guard's
        return file_of(page, ORDERS, filters)

    @router.get("/deliveries.csv")
    def download_deliveries(request: Request, filters: Annotated[DeliveryFilters, Query()]) -> Response:  # noqa: ARG001 -- the guard's
        return file_of(page, DELIVERIES, filters)

    return router


def page_of(connection: Connection, page: Page, listing: Listing, filters: ListFilters) -> dict[str, Any]:
    """What a list's template shows: `rows`, `filters`, and the addresses of the page after this one and of the file."""
    # One more is asked for than is shown: it tells whether there is a page after this one.
    limit = PAGE_ROWS + 1
    found = list(listing.read(connection, **filters.chosen(page.clock()), after=filters.after, limit=limit))
    shown = found[:PAGE_ROWS]
    is_last = len(found) == len(shown)
    return {
        "rows": shown,
        "filters": filters,
        "next_path": None if is_last else filters.path(f"/{listing.name}", after=_mark(shown[-1])),
        "csv_path": filters.path(f"/{listing.name}.csv"),
    }


def _filtered(connection: Connection, page: Page, listing: Listing, table: Table, filters: Filters) -> dict[str, Any]:
    """As `page_of`, with what each filter offers."""
    since, known = filters.since_at(page.clock()), _KNOWN[listing.name]
    offered = choices(connection, table, filters.values, known, since=since)
    return {**page_of(connection, page, listing, filters), "choices": offered, "spans": SPANS}


def file_of(page: Page, listing: Listing, filters: ListFilters) -> Response:
    """All rows that the filters choose, after `after`, as a file. Each thousand is a reading transaction of its own, so
    that a long download holds none open.
    """
    arguments = filters.chosen(page.clock())

    def rows() -> Iterator[Any]:
        after = filters.after
        while True:
            with page.reading() as connection:
                found = list(listing.read(connection, **arguments, after=after, limit=_ROWS_AT_ONCE))
            yield from found
            if len(found) < _ROWS_AT_ONCE:
                return
            after = _mark(found[-1])

    return csv_file(f"{listing.name}.csv", csv_lines(rows(), listing.fields))


def _mark(row: Any) -> str:
    """What names a row in `after`."""
    return row.name if isinstance(row, OrderItem) else str(row.id)


def csv_file(name: str, lines: Iterator[str]) -> Response:
    """A CSV file as an answer, whose lines are sent as they are read."""
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_marked(lines), media_type="text/csv; charset=utf-8", headers=headers)


def _marked(lines: Iterator[str]) -> Iterator[str]:
    yield _BYTE_ORDER_MARK
    yield from lines
