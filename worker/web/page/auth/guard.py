"""Who may use the page: whoever is signed in, and posts what stood in a form of our own. Refusals are pages, too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any
from urllib.parse import quote, urlencode

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from worker.errors import CartbridgeError, NotInLedgerError
from worker.web.page.auth.forms import FORM_TOKEN, first, is_from_here, read_form
from worker.web.page.auth.session import Session
from worker.web.page.cookies import PageCookie
from worker.web.page.page import Page, is_fragment, see_other, session_of
from worker.web.problems import RETRY_AFTER_SECONDS, report_ledger_error

SESSION_COOKIE = PageCookie("cartbridge_session")
LOGIN_COOKIE = PageCookie("cartbridge_login")
LOGIN_PATH = "/login"

Answer = Callable[[Request], Coroutine[Any, Any, Response]]

_TITLES = {
    400: "That cannot be read",
    403: "That did not come from this page",
    404: "There is nothing here",
    405: "Not this way",
    408: "That took too long",
    413: "That is too much",
    415: "That is no form",
    422: "That cannot be asked",
}


def guarded_router(page: Page) -> APIRouter:
    """A router whose views only signed-in operators reach; everybody else is sent to sign in, and back.

    Before a view is called: the page is open (else a page says what to set), the session holds, and of a POST the
    origin and the form's token are ours; `page.form_of(request)` then holds its fields. `NotInLedgerError` becomes a
    404, another `CartbridgeError` a 409, a ledger that cannot be read a 503: pages all of them, or fragments for HTMX.
    """
    return APIRouter(include_in_schema=False, route_class=_route_class(page, _admit_operator))


def open_router(page: Page) -> APIRouter:
    """A router for the views before login: the form's token is tied to a cookie of its own."""
    return APIRouter(include_in_schema=False, route_class=_route_class(page, _admit_anybody))


def _route_class(page: Page, admit: Callable[[Page, Request], Awaitable[Response | None]]) -> type[APIRoute]:
    class GuardedRoute(APIRoute):
        def get_route_handler(self) -> Answer:
            view = super().get_route_handler()

            async def answer(request: Request) -> Response:
                problem = page.password.problem
                if problem is not None:
                    return page.say(request, 403, "This page is closed", problem)
                return await _answer(page, request, admit, view)

            return answer

    return GuardedRoute


async def _answer(
    page: Page, request: Request, admit: Callable[[Page, Request], Awaitable[Response | None]], view: Answer
) -> Response:
    try:
        return await admit(page, request) or await view(request)
    except HTTPException as error:
        title = _TITLES.get(error.status_code, "That did not work")
        detail = "" if error.detail == error.__class__(error.status_code).detail else error.detail
        return page.say(request, error.status_code, title, detail, headers=error.headers)
    except RequestValidationError:
        return page.say(request, 422, _TITLES[422], "One of the filters in the address is not one this page knows.")
    except NotInLedgerError as error:
        return page.say(request, 404, "Not in the ledger", str(error))
    except CartbridgeError as error:
        return page.say(request, 409, "That cannot be done", str(error))
    except SQLAlchemyError as error:
        report_ledger_error(error)
        sentence = "The ledger cannot be used at the moment. Nothing was changed; the log says why."
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return page.say(request, 503, "The ledger does not answer", sentence, headers=headers)


async def _admit_operator(page: Page, request: Request) -> Response | None:
    session = await _signed_in(page, request)
    if session is None:
        if request.headers.get("sec-fetch-site") == "cross-site" and request.method == "GET":
            return page.render(request, "once_more.html", target=_target(request))
        return see_other(request, _login_path(request))
    request.state.session = session
    _refuse_nul(request)
    return await _check_form(page, request)


async def _admit_anybody(page: Page, request: Request) -> Response | None:
    request.state.session = next(_read_sessions(page, request, LOGIN_COOKIE), None) or page.sessions.begin()
    return await _check_form(page, request)


async def _signed_in(page: Page, request: Request) -> Session | None:
    for session in _read_sessions(page, request, SESSION_COOKIE):
        is_signed_in = bool(session.name) and await to_thread.run_sync(page.is_signed_in, session)
        if is_signed_in:
            return session
    return None


def _read_sessions(page: Page, request: Request, cookie: PageCookie) -> Iterator[Session]:
    """The sessions that were signed here, of all that the browser sent."""
    return filter(None, map(page.sessions.read, cookie.values(request)))


async def _check_form(page: Page, request: Request) -> Response | None:
    if request.method not in {"POST", "PUT", "PATCH", "DELETE"}:
        return None
    if not is_from_here(request):
        raise HTTPException(403, "The browser says that another site sent this. A proxy must keep the Host header.")
    request.state.form = await read_form(request)
    if not page.sessions.accepts(session_of(request), first(request.state.form, FORM_TOKEN)):
        raise HTTPException(403, "The form has expired. Open the page again, and send it once more.")
    return None


def _refuse_nul(request: Request) -> None:
    """PostgreSQL takes no NUL in a text."""
    if any("\0" in value for value in (*request.path_params.values(), *request.query_params.values())):
        raise HTTPException(404)


def _login_path(request: Request) -> str:
    """Where to sign in, and to come back from; not to a fragment, nor to what was posted."""
    if is_fragment(request) or request.method != "GET" or request.url.path == "/":
        return LOGIN_PATH
    return f"{LOGIN_PATH}?{urlencode({'next': _target(request)}, quote_via=quote)}"


def _target(request: Request) -> str:
    """The path that was asked for, with its query."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
