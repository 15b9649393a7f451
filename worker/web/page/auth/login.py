"""`/login` and `/logout`: an operator's name and password, or the admin password, make a session of twelve hours."""

from __future__ import annotations

from functools import partial

import structlog
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request, Response

from worker.ledger.events import record_event
from worker.ledger.web import operators
from worker.ledger.web import sessions as web_sessions
from worker.web.client_address import address_of
from worker.web.lockout import Lockout
from worker.web.page.auth.guard import LOGIN_COOKIE, LOGIN_PATH, SESSION_COOKIE, guarded_router, open_router
from worker.web.page.auth.session import SESSION_HOURS, Session
from worker.web.page.cookies import PageCookie
from worker.web.page.page import Page, field, see_other, session_of
from workflows.operations.operators import LONGEST_NAME, LONGEST_PASSWORD

ADMIN = "admin"
"""Whom the audit trail names where the admin password came without a name."""
_UNKNOWN_OPERATOR = "operator:unknown"

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
        if len(name) > LONGEST_NAME or not name.isprintable():
            sentence = f"A name has at most {LONGEST_NAME} characters, in one line."
            return form(request, 422, error=sentence, target=target)
        address = address_of(request)
        wait_seconds = await to_thread.run_sync(lockout.admit, address, limiter=threads)
        if wait_seconds is not None:
            sentence = f"Too many wrong passwords came from this address. Try again in {wait_seconds} s."
            answer = form(request, 429, error=sentence, name=name, target=target)
            answer.headers["Retry-After"] = str(wait_seconds)
            return answer
        check = partial(_sign_in, page, name, password, address)
        session = await to_thread.run_sync(check, limiter=threads)
        if session is None:
            return form(request, 401, error="That name and password do not belong together.", name=name, target=target)
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


def _sign_in(page: Page, name: str, password: str, address: str) -> Session | None:
    """The session where name and password belong together; commits that to the audit trail, and each refusal.

    Raises `SQLAlchemyError`: then nobody is in.
    """
    with page.ledger.read() as connection:
        found = operators.credentials_of(connection, name)
        is_by_name = operators.has_operators(connection)
    is_admin = found is None and operators.name_key(name) in {"", ADMIN}
    given = password if len(password) <= LONGEST_PASSWORD else ""
    if is_admin or not is_by_name:
        matches = page.password.matches(given)
    else:  # where operators have names, nobody takes another one
        matches = page.password.matches_hash(given, None if found is None else found.password_hash)
    now = page.clock()
    session = page.sessions.begin(ADMIN if is_admin else name if found is None else found.name)
    with page.ledger.write() as connection:
        if matches and (found is None or operators.sign_in(connection, found, now=now)):
            record_event(connection, at=now, kind="login", actor=session.actor, detail={"client": address})
            key = None if found is None else found.name_key
            web_sessions.begin(connection, session.nonce, expires_at=session.expires_at, now=now, operator_key=key)
            return session
        # Of a name that is no operator's nothing is kept: what stands in its field may be the password.
        detail = {"client": address} | ({} if found is None else {"operator": found.name})
        record_event(connection, at=now, kind="login_refused", actor=_UNKNOWN_OPERATOR, detail=detail)
    log.warning("login refused", client=address)
    return None


def _give(request: Request, answer: Response, cookie: PageCookie, value: str) -> None:
    cookie.set(request, answer, value, max_age_seconds=SESSION_HOURS * 3600)


def _own_path(target: str) -> str:
    """A path of this server to go on to; anything that a browser could take for another's is `/`."""
    is_ours = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if is_ours and "\\" not in target else "/"
