"""`/api/v1`: the listings and actions of the command line, in the same shapes, for programs.

Listings are read page by page: `limit` rows after the row `after`; the `Link` header leads to the next page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection
from starlette.exceptions import HTTPException

from worker.errors import NotInLedgerError
from worker.ledger.follow_on.completions import CompletionItem, list_completions
from worker.ledger.session import Ledger
from worker.ledger.views import details, listing, overview
from worker.ledger.views.details import DeliveryDetail, OrderDetail, RunDetail
from worker.ledger.views.history import Story, why
from worker.ledger.views.overview import Status
from worker.ledger.views.page.activity import ActivityItem, list_activity
from worker.ledger.views.page.offers import waiting_for_offer
from worker.ledger.views.records import DeliveryItem, OrderItem, RunItem
from worker.ledger.views.serializers import to_json
from worker.ledger.web.operators import OperatorItem, list_operators
from worker.reasons import Reason
from worker.settings.settings import Settings
from worker.web.api.access import token_check
from worker.web.api.actions import action_routes
from worker.web.api.docs import docs_routes
from worker.web.api.intake import intake_routes
from worker.web.api.queries import (
    ActivityQuery,
    CompletionQuery,
    DeliveryQuery,
    Listed,
    OrderQuery,
    PageQuery,
    RunQuery,
    SubjectQuery,
)
from worker.web.json_answer import JsonAnswer
from worker.web.lockout import API_FREE_FAILURES, Lockout
from worker.web.page.actions.operator import Operator
from worker.web.problems import MEDIA_TYPE
from workflows.monitoring.unmapped_products import Unmapped, unmapped_products
from workflows.planning.offers import OffersError
from workflows.planning.offers_file import load_offers
from workflows.planning.offers_problem import offers_problem


class ProblemDetail(BaseModel):
    """RFC 9457: why a request was refused."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str


_PREFIX = "/api/v1"
OPENAPI_PATH = f"{_PREFIX}/openapi.json"
_REFUSALS = {
    401: "No token, or not the right one; or none is set, and the API is closed.",
    404: "Nothing of this id is in the ledger.",
    422: "A parameter is not what it should be.",
    429: "Too many requests of this address failed to authenticate.",
    503: "The ledger cannot be read at the moment.",
}
_ACTION_REFUSALS = {
    400: "The body cannot be read.",
    408: "The body did not come within ten seconds.",
    409: "It cannot be done; `detail` says why.",
    413: "The body is larger than 1 MiB.",
}


def api_routes(
    settings: Settings, ledger: Ledger, *, clock: Callable[[], datetime], operator: Operator | None = None
) -> APIRouter:
    """The routes. They need the bearer token, and answer 503 while the ledger cannot be read.

    Without an `operator` there are listings alone.
    """
    schema = ProblemDetail.model_json_schema()
    lockout = Lockout(ledger, "api", API_FREE_FAILURES, clock)
    check = token_check(settings, lockout)
    described: dict[int | str, dict[str, Any]] = {
        status: {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status, description in {**_REFUSALS, **_ACTION_REFUSALS}.items()
    }
    router = APIRouter(
        prefix=_PREFIX,
        dependencies=[Depends(check), Depends(_refuse_nul)],
        responses={status: described[status] for status in _REFUSALS},
    )

    @router.get(OPENAPI_PATH.removeprefix(_PREFIX), include_in_schema=False)
    def show_openapi(request: Request) -> JsonAnswer:
        """What this API answers, for programs."""
        return JsonAnswer(request.app.openapi())

    @router.get("/runs", responses=_page_of(RunItem))
    def list_runs(query: Annotated[RunQuery, Query()]) -> JsonAnswer:
        """Runs, newest first."""
        return _page(ledger, query, listing.list_runs)

    @router.get("/orders", responses=_page_of(OrderItem))
    def list_orders(query: Annotated[OrderQuery, Query()]) -> JsonAnswer:
        """Orders, those with the latest news first."""
        return _page(ledger, query, listing.list_orders)

    @router.get("/deliveries", responses=_page_of(DeliveryItem))
    def list_deliveries(query: Annotated[DeliveryQuery, Query()]) -> JsonAnswer:
        """Deliveries, newest first."""
        return _page(ledger, query, listing.list_deliveries)

    _add_details(router, ledger)
    _add_overviews(router, ledger, settings, clock)

    @router.get("/completions", responses=_page_of(CompletionItem))
    def show_completions(query: Annotated[CompletionQuery, Query()]) -> JsonAnswer:
        """Who began and completed which course, those with the latest news first."""
        return _page(ledger, query, list_completions)

    if operator is not None:
        refused: dict[int | str, dict[str, Any]] = {status: described[status] for status in _ACTION_REFUSALS}
        for routes in (
            action_routes(operator, check, refused),
            intake_routes(settings, ledger, operator, check, refused),
        ):
            router.include_router(routes)
    whole = APIRouter()
    whole.include_router(router)
    whole.include_router(docs_routes(check))
    return whole


def _add_overviews(router: APIRouter, ledger: Ledger, settings: Settings, clock: Callable[[], datetime]) -> None:
    @router.get("/why", responses=_one(Story))
    def explain(query: Annotated[SubjectQuery, Query()]) -> JsonAnswer:
        """Why somebody has access or has none, of an email, an order or a run; as `cartbridge why`."""
        return _shown(ledger, lambda connection: why(connection, query.subject, now=clock()))

    @router.get("/offers/unmapped", responses=_one(list[Unmapped]))
    def show_unmapped() -> JsonAnswer:
        """The products that no offer matches, and what waits for each."""
        try:
            offers = load_offers(settings.offers_file)
        except OffersError:  # `status` says so
            offers = None
        with ledger.read() as connection:
            found = unmapped_products(waiting_for_offer(connection, Reason.UNMAPPED_PRODUCT), offers)
        return JsonAnswer([to_json({**asdict(each), "orders": sorted(each.orders)}) for _, each in found])

    @router.get("/operators", responses=_one(list[OperatorItem]))
    def show_operators() -> JsonAnswer:
        """Who signs in to the page by a name of their own, by name."""
        with ledger.read() as connection:
            return JsonAnswer(to_json(list_operators(connection)))

    @router.get("/status", responses=_one(Status))
    def show_status() -> JsonAnswer:
        """Counts by state, what waits for a person, what is due, what is paused, and each source's last poll."""
        webhook_sources = settings.webhook_sources()
        return _shown(
            ledger,
            lambda connection: overview.status(
                connection,
                clock(),
                webhook_sources=webhook_sources,
                offers_problem=offers_problem(connection, settings.offers_file),
            ),
        )


def _add_details(router: APIRouter, ledger: Ledger) -> None:
    @router.get("/activity", responses=_page_of(ActivityItem))
    def show_activity(query: Annotated[ActivityQuery, Query()]) -> JsonAnswer:
        """Who did what, newest first: acts of operators, sign-ins, pauses, changes of the offers file."""
        return _page(ledger, query, list_activity)

    @router.get("/runs/{run_id}", responses=_one(RunDetail))
    def show_run(run_id: str) -> JsonAnswer:
        """One run with its steps, their attempts, and its events."""
        return _shown(ledger, lambda connection: details.show_run(connection, run_id))

    @router.get("/orders/{source}/{order_id}", responses=_one(OrderDetail))
    def show_order(source: str, order_id: str) -> JsonAnswer:
        """One order with its lines, versions, runs, deliveries and events."""
        return _shown(ledger, lambda connection: details.show_order(connection, source, order_id))

    @router.get("/deliveries/{delivery_id}", responses=_one(DeliveryDetail))
    def show_delivery(delivery_id: str) -> JsonAnswer:
        """One delivery, with its order and the runs it caused."""
        return _shown(ledger, lambda connection: details.show_delivery(connection, delivery_id))


def _page(ledger: Ledger, query: PageQuery, read: Callable[..., Iterator[Listed]]) -> JsonAnswer:
    """One page. One row more is read than shown: it tells whether there is a next page."""
    try:
        with ledger.read() as connection:
            rows = list(read(connection, limit=query.limit + 1, after=query.after, **query.filters()))
    except NotInLedgerError as error:
        raise HTTPException(422, "after: there is no such row to go on after.") from error
    shown = rows[: query.limit]
    headers = {"Link": query.next_link(shown[-1])} if len(rows) > len(shown) else None
    return JsonAnswer(to_json(shown), headers=headers)


def _shown(
    ledger: Ledger, show: Callable[[Connection], RunDetail | OrderDetail | DeliveryDetail | Status | Story]
) -> JsonAnswer:
    try:
        with ledger.read() as connection:
            return JsonAnswer(to_json(show(connection)))
    except NotInLedgerError as error:
        raise HTTPException(404, "The ledger holds nothing of this id.") from error


def _refuse_nul(request: Request) -> None:
    """PostgreSQL takes no NUL in a text: nothing in the ledger holds one, and asking for it is a mistake."""
    if any("\0" in value for value in (*request.path_params.values(), *request.query_params.values())):
        raise HTTPException(422, "A parameter holds a NUL character.")


def _one(model: type[Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model}}


def _page_of(model: type[Any]) -> dict[int | str, dict[str, Any]]:
    link = {"description": "The next page, if there is one, as rel=next.", "schema": {"type": "string"}}
    return {200: {"model": list[model], "headers": {"Link": link}}}  # type: ignore[valid-type]
