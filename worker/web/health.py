"""`GET /livez` and `GET /readyz`: whether this process answers, and whether it can take a webhook."""

from __future__ import annotations

from pathlib import Path

import structlog
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError

from tasks.dispatch import Dispatcher
from worker.ledger.session import Ledger, SchemaMismatchError
from worker.ledger.views.writable import why_unwritable
from worker.web.problems import problem, report_ledger_error
from workflows.planning.offers_problem import offers_problem

log = structlog.get_logger(__name__)

_OFFERS_INVALID = "The offers file cannot be used; its last valid rules stay in force. Run: cartbridge offers check"
_METHODS = ["GET", "HEAD"]


def health_routes(ledger: Ledger, dispatcher: Dispatcher, offers_file: Path) -> APIRouter:
    """The routes. Neither tells where a server is or why it does not answer: that is in the log."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/livez", methods=_METHODS)
    async def show_life() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @router.api_route("/readyz", methods=_METHODS)
    def show_readiness() -> JSONResponse:
        """503 unless the ledger can be used. Reported only: the broker, for a webhook must get in while it is away, and
        the offers file, whose last valid rules stay in force.
        """
        state = _ledger_state(ledger)
        is_ready = set(state.values()) == {"ok"}
        report = {"ready": is_ready, **state, "broker": "ok" if dispatcher.broker_ok() else "unreachable"}
        if is_ready:
            has_offers = _offers_usable(ledger, offers_file)
            report["offers"] = "ok" if has_offers else "invalid"
            return JSONResponse(report if has_offers else {"detail": _OFFERS_INVALID, **report})
        detail = "The ledger cannot be reached."
        if state["ledger"] == "read-only":
            detail = "The ledger takes no writes. Run: cartbridge check"
        elif state["ledger"] == "ok":
            detail = "The ledger's schema is not this version's. Run: cartbridge migrate"
        return problem(503, detail, headers={"Retry-After": "5"}, members=report)

    return router


def _offers_usable(ledger: Ledger, offers_file: Path) -> bool:
    try:
        with ledger.read() as connection:
            return offers_problem(connection, offers_file) is None
    except SQLAlchemyError as error:
        report_ledger_error(error)
        return True


def _ledger_state(ledger: Ledger) -> dict[str, str]:
    try:
        ledger.check_schema()
        with ledger.read() as connection:
            unwritable = why_unwritable(connection, ledger.path)
    except SchemaMismatchError as error:
        log.warning("not ready", why=str(error))
        return {"ledger": "ok", "schema": "mismatch"}
    except SQLAlchemyError as error:
        report_ledger_error(error)
        return {"ledger": "unreachable", "schema": "unknown"}
    if unwritable:
        log.warning("not ready", why=f"the ledger takes no writes: {unwritable}")
    return {"ledger": "read-only" if unwritable else "ok", "schema": "ok"}
