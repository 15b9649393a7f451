"""`/login` and `/logout`: a name for the audit trail and the admin password make a session of twelve hours."""

from __future__ import annotations

from functools import partial
from typing import Literal

import structlog
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request, Response

from worker.ledger.events import record_event
from worker.ledger.web import sessions as web_sessions
from worker.web.client_address import address_of
from worker.web.lockout import Lockout
from worker.web.page.auth.guard import LOGIN_COOKIE, LOGIN_PATH, SESSION_COOKIE, guarded_router, open_router
from worker.web.page.auth.session import SESSION_HOURS, Session
from worker.web.page.cookies import PageCookie
from worker.web.page.page import Page, field, see_other, session_of

LONGEST_NAME = 60
_LONGEST_PASSWORD = 1000
_STRANGER = "operator:unknown"

log = structlog.get_logger(__name__)


def login_routes(page: Page, lockout: Lockout) -> APIRouter:
    """The routes. Each login is committed to the audit trail before the session is given, each refusal as well."""
    router = open_router(page)
    # Threads of their own: guesses must not keep the views waiting, and an argon2 takes its time.
    threads = CapacityLimiter(2)

    def form(request: Request, status: int = 200, *, name: str = "", error: str = "", target: str = "/") -> Response:
        answer = page.render(request, "login.html", status=status, name=name, error=error, next=target)
        _give(request, answer, LOGIN_COOKIE, page.sessions.cookie(session_of(request)))
        return answer

    @router.get(LOGIN_PATH)
    async def show_form(request: Request) -> Response:
        return form(request, target=_own_path(request.query_params.get("next", "/")))

    @router.post(LOGIN_PATH)
    async def sign_in(request: Request) -> Response:
        name, password, target = field(request, "name"), field(request, "password"), _own_path(field(request, "next"))
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            sentence = f"Give your name: the audit trail keeps it with what you do. At most {LONGEST_NAME} characters."
            return form(request, 422, error=sentence, target=target)
        address = address_of(request)
        wait_seconds = await to_thread.run_sync(lockout.admit, address, limiter=threads)
        if wait_seconds is not None:
            sentence = f"Too many wrong passwords came from this address. Try again in {wait_seconds} s."
            answer = form(request, 429, error=sentence, name=name, target=target)
            answer.headers["Retry-After"] = str(wait_seconds)
            return answer
        session = page.sessions.begin(name)
        check = partial(_check, page, session, password, address)
        if not await to_thread.run_sync(check, limiter=threads):
            return form(request, 401, error="That is not the admin password.", name=name, target=target)
        await to_thread.run_sync(lockout.forget, address, limiter=threads)
        answer = see_other(request, target)
        _give(request, answer, SESSION_COOKIE, page.sessions.cookie(session))
        LOGIN_COOKIE.delete(request, answer)
        return answer

    return router


def logout_routes(page: Page) -> APIRouter:
    """The route. The session ends for good: in every process, and whatever copies of its cookie there are."""
    router = guarded_router(page)

    @router.post("/logout")
    async def sign_out(request: Request) -> Response:
        await to_thread.run_sync(_end, page, session_of(request))
        answer = see_other(request, LOGIN_PATH)
        SESSION_COOKIE.delete(request, answer)
        return answer

    return router


def _end(page: Page, session: Session) -> None:
    with page.ledger.write() as connection:
        web_sessions.end(connection, session.nonce)


def _check(page: Page, session: Session, password: str, address: str) -> bool:
    """Whether it is the password; commits that to the audit trail, with the session.

    Raises `SQLAlchemyError`: then nobody is in.
    """
    matches = len(password) <= _LONGEST_PASSWORD and page.password.matches(password)
    # Of who was refused no name is kept: what stands in the field for it may be the password.
    kind: Literal["login", "login_refused"] = "login" if matches else "login_refused"
    actor = session.actor if matches else _STRANGER
    with page.ledger.write() as connection:
        now = page.clock()
        record_event(connection, at=now, kind=kind, actor=actor, detail={"client": address})
        if matches:
            web_sessions.begin(connection, session.nonce, expires_at=session.expires_at, now=now)
    if not matches:
        log.warning("login refused", client=address)
    return matches


def _give(request: Request, answer: Response, cookie: PageCookie, value: str) -> None:
    cookie.set(request, answer, value, max_age_seconds=SESSION_HOURS * 3600)


def _own_path(target: str) -> str:
    """A path of this server to go on to; anything that a browser could take for another's is `/`."""
    is_ours = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if is_ours and "\\" not in target else "/"
