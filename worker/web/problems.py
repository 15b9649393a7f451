"""RFC 9457 problem details: the one form in which this server says no.

A problem holds no part of the request, and no text of an exception that could: whoever asks may be a stranger.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from starlette.exceptions import HTTPException

from worker.web.json_answer import JsonAnswer

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
"""What a client is asked to wait when the ledger cannot commit."""

log = structlog.get_logger(__name__)

_DETAILS = {
    404: "There is nothing at this address.",
    405: "This address does not take this method.",
}


def problem(
    status: int,
    detail: str,
    *,
    title: str | None = None,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> JsonAnswer:
    """An answer of `type`, `title`, `status` and `detail`, plus `members` of its own; `title` defaults to the status's.

    `detail` is for whoever reads it, a stranger included: it must not be built from the request.
    """
    content = {"type": "about:blank", "title": title or HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JsonAnswer({**content, **(members or {})}, status, headers, MEDIA_TYPE)


def unexpected_problem() -> JsonAnswer:
    """The answer to our own mistake, which tells nothing of it."""
    return problem(500, "Something went wrong here. The log tells what.")


def ledger_unavailable_problem() -> JsonAnswer:
    """The answer while the ledger cannot commit, or not in time."""
    return problem(
        503,
        "The ledger cannot be used at the moment, and nothing was done. Send the same again later.",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


def add_problem_handlers(app: FastAPI) -> None:
    """Give FastAPI's own refusals, and a ledger that cannot be used, the form of a problem."""
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
    app.add_exception_handler(SQLAlchemyError, _answer_ledger_unavailable)


def describe_ledger_error(error: BaseException) -> str:
    """A ledger error for the log, without the statement and its parameters, which hold orders and learners."""
    names = type(error).__name__
    if isinstance(error, DBAPIError) and error.orig is not None:
        names = f"{names}: {type(error.orig).__name__}"
        # These say why there was no connection or no file; the other kinds quote values.
        if isinstance(error, OperationalError | InterfaceError):
            names = f"{names}: {' '.join(str(error.orig).split())}"
    return names


def report_ledger_error(error: SQLAlchemyError) -> None:
    """Log that the ledger could not be used, and why; never the traceback, which would quote the parameters."""
    log.error("ledger unavailable", error=describe_ledger_error(error))


async def _answer_http_exception(_request: Request, error: Exception) -> JsonAnswer:
    if not isinstance(error, HTTPException):
        raise error
    is_default = error.detail == HTTPStatus(error.status_code).phrase
    detail = _DETAILS.get(error.status_code, error.detail) if is_default else error.detail
    return problem(error.status_code, detail, headers=error.headers)


async def _answer_invalid_request(_request: Request, error: Exception) -> JsonAnswer:
    if not isinstance(error, RequestValidationError):
        raise error
    return problem(422, ". ".join(_sentence(detail) for detail in error.errors()) + ".")


def _sentence(detail: Mapping[str, Any]) -> str:
    """The name is ours and the sentence pydantic's, which quotes no value; an unknown parameter's name is not ours."""
    if detail["type"] == "extra_forbidden":
        return "A parameter is not known here"
    name = next((part for part in reversed(detail["loc"]) if isinstance(part, str)), "")
    return f"{name}: {detail['msg']}"


async def _answer_ledger_unavailable(_request: Request, error: Exception) -> JsonAnswer:
    if not isinstance(error, SQLAlchemyError):
        raise error
    report_ledger_error(error)
    return ledger_unavailable_problem()
