"""`/api/v1`: taking orders in, and forgetting a learner, for programs. What takes long is begun, and reported on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import structlog
from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException

from worker.errors import CartbridgeError, ConfigurationError, NotInLedgerError
from worker.ledger.compaction import FileInUseError, rewrite_file
from worker.ledger.session import Ledger
from worker.ledger.views.serializers import to_json
from worker.settings.settings import Settings
from worker.settings.types import UtcDatetime
from worker.web.api.access import TokenCheck, bounded_route
from worker.web.api.actions import ACTOR, ReasonBody, Short
from worker.web.json_answer import JsonAnswer
from worker.web.page.actions.operator import Operator
from workflows.ingest.requested_backfills import BackfillItem, find_backfill, list_backfills
from workflows.operations.forgetting import (
    Forgotten,
    forget_person,
    person_to_forget,
    refuse_if_needed,
    what_is_held,
)
from workflows.operations.intake import AskedOrder

SourceName = Literal["studiocart", "frontcore", "threedcart"]
OrderId = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
_Answer = TypeVar("_Answer")
MOST_ORDERS = 100
MOST_PREVIEWED = 10
"""Each is fetched while the request waits."""

log = structlog.get_logger(__name__)


class IngestBody(ReasonBody):
    """Which orders are to be looked at."""

    source: SourceName
    order_ids: list[OrderId] = Field(min_length=1, max_length=MOST_ORDERS, description="The source's own ids.")


class BackfillBody(ReasonBody):
    """Which window of a source's history is to be taken in."""

    source: SourceName
    since: UtcDatetime = Field(description="From this moment on; ISO 8601, without a zone it is UTC.")
    until: UtcDatetime | None = Field(None, description="Before this moment; without it, until now.")


class ForgetBody(ReasonBody):
    """Who is to be forgotten. It cannot be undone: `yes` says that this was considered."""

    email: Short
    yes: bool = Field(default=False, description="Needed, where it is not a dry run.")


class Erasure(BaseModel):
    """What a forgetting came to; with `dry_run` what is held, and nothing was changed."""

    result: Literal["done", "nothing"]
    message: str
    receipt: Forgotten | None = None


def intake_routes(
    settings: Settings,
    ledger: Ledger,
    operator: Operator,
    check: TokenCheck,
    described: dict[int | str, dict[str, Any]],
) -> APIRouter:
    """The routes."""
    router = APIRouter(route_class=bounded_route(check), responses=described)
    _add_ingest(router, operator)
    _add_backfills(router, ledger, operator)
    _add_forget(router, settings, ledger, operator)
    return router


def _add_ingest(router: APIRouter, operator: Operator) -> None:
    @router.post("/ingest", response_model=list[AskedOrder], status_code=202)
    def ingest(body: IngestBody) -> JsonAnswer:
        """Ask for orders by name; as `cartbridge ingest`. A worker fetches and plans them: `GET /deliveries/{id}` says
        what came of each. With `dry_run` up to ten are fetched at once, and `plan` says what would be done.
        """
        wanted = list(dict.fromkeys(body.order_ids))
        if body.dry_run and len(wanted) > MOST_PREVIEWED:
            raise HTTPException(422, f"order_ids: a dry run takes at most {MOST_PREVIEWED}.")
        how: dict[str, Any] = {"actor": ACTOR, "reason": body.reason, "dry_run": body.dry_run}
        asked = _done(lambda: operator.operations.intake.ask(body.source, wanted, **how))
        if not body.dry_run:
            for each in asked:
                operator.dispatcher.send_order(each.source, each.order_id)
        return JsonAnswer(to_json(asked), status_code=202)


def _add_backfills(router: APIRouter, ledger: Ledger, operator: Operator) -> None:
    intake = operator.operations.intake

    @router.post("/backfills", response_model=BackfillItem, status_code=202)
    def backfill(body: BackfillBody) -> JsonAnswer:
        """Take in the orders of a window that the ledger lacks; as `cartbridge backfill`. A worker does it, also the
        dry run: `GET /backfills/{id}` says what became of it.
        """
        how: dict[str, Any] = {"actor": ACTOR, "reason": body.reason, "dry_run": body.dry_run}
        item = _done(lambda: intake.backfill(body.source, body.since, body.until, **how))
        operator.dispatcher.send_backfills()
        return JsonAnswer(to_json(item), status_code=202)

    @router.get("/backfills", response_model=list[BackfillItem])
    def show_backfills() -> JsonAnswer:
        """The backfills that were asked for in the last seven days, newest first."""
        with ledger.read() as connection:
            return JsonAnswer(to_json(list_backfills(connection, now=operator.operations.now())))

    @router.get("/backfills/{backfill_id}", response_model=BackfillItem)
    def show_backfill(backfill_id: str) -> JsonAnswer:
        """One of them: `requested`, `running`, `done` or `failed`, and what it came to."""
        with ledger.read() as connection:
            found = _done(lambda: find_backfill(connection, backfill_id, now=operator.operations.now()))
            return JsonAnswer(to_json(found))


def _add_forget(router: APIRouter, settings: Settings, ledger: Ledger, operator: Operator) -> None:
    @router.post("/learners/forget", response_model=Erasure)
    def forget(body: ForgetBody) -> JsonAnswer:
        """Take a learner's personal data out of the ledger; as `cartbridge forget`. It cannot be undone."""
        person = _done(lambda: person_to_forget(ledger, body.email))
        _done(lambda: refuse_if_needed(person))
        if body.dry_run:
            return JsonAnswer({"result": "nothing", "message": what_is_held(person), "receipt": None})
        if not body.yes:
            raise HTTPException(422, "yes: it cannot be undone. Say that it is meant.")
        receipt = _done(
            lambda: forget_person(
                ledger,
                body.email,
                erasures_path=settings.erasures_path,
                actor=ACTOR,
                reason=body.reason,
                now=operator.operations.now(),
                rewrites=False,
            )
        )
        message = f"Forgotten. In their place stands {receipt.pseudonym}"
        answer = JsonAnswer({"result": "done", "message": message, "receipt": to_json(receipt)})
        answer.background = BackgroundTask(_rewrite, ledger)
        return answer


def _rewrite(ledger: Ledger) -> None:
    """SQLite's file, after the answer: it takes as long as the file is large."""
    try:
        rewrite_file(ledger)
    except FileInUseError as error:
        log.warning("not rewritten after a forgetting", why=str(error))


def _done(act: Callable[[], _Answer]) -> _Answer:
    """What was to be done, or why it was not. Raises `HTTPException`: 404, 409, 422."""
    try:
        return act()
    except NotInLedgerError as error:
        raise HTTPException(404, "The ledger holds nothing of this name.") from error
    except ConfigurationError as error:
        raise HTTPException(422, str(error)) from error
    except CartbridgeError as error:
        raise HTTPException(409, str(error)) from error
