"""What every view of the operator's page stands on: the ledger to read, the sessions, and how an answer is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import Connection, text

from worker.ledger.session import Ledger
from worker.ledger.web import sessions as web_sessions
from worker.settings.settings import Settings
from worker.web.page.actions.operator import Operator
from worker.web.page.auth.flash import COOKIE as NOTICE_COOKIE
from worker.web.page.auth.flash import Notices
from worker.web.page.auth.forms import Form, first
from worker.web.page.auth.password import AdminPassword
from worker.web.page.auth.session import Session, Sessions
from worker.web.page.rendering import environment
from worker.web.page.static_files import static_path
from workflows.planning.offers_file import OffersFile

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    # Not `no-referrer`: under that, browsers post forms with `Origin: null`, and nothing would tell ours from others'.
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Vary": "HX-Request",
}


@dataclass(frozen=True)
class NavItem:
    """One entry of the page's head."""

    label: str
    path: str


class Page:
    """Shared by all views. Safe to share between threads; opens nothing before it is asked."""

    def __init__(
        self, settings: Settings, ledger: Ledger, *, clock: Callable[[], datetime], operator: Operator | None = None
    ) -> None:
        self.settings = settings
        self.operator = operator
        self.ledger = ledger
        self.clock = clock
        self.password = AdminPassword(settings.web.admin_password)
        self.sessions = Sessions(lambda: self.password.session_key, clock=clock)
        self.notices = Notices(lambda: self.password.session_key)
        self.nav: tuple[NavItem, ...] = ()
        self.offers = OffersFile(settings.offers_file, ledger)
        self._templates = environment()

    def is_signed_in(self, session: Session) -> bool:
        """Whether the ledger knows the session: it was begun at login, and not signed out. Raises `SQLAlchemyError`."""
        with self.ledger.read() as connection:
            return web_sessions.is_open(connection, session.nonce, now=self.clock())

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One reading transaction. On PostgreSQL each statement is planned for its own values, and none runs for long.

        Raises `SQLAlchemyError`.
        """
        with self.ledger.read(in_transaction=True) as connection:
            if not self.ledger.is_sqlite:
                # A generic plan cannot use the partial indexes, and compiling costs more than any of these statements.
                connection.execute(_FOR_SHORT_QUESTIONS)
            yield connection

    def render(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **context: Any,
    ) -> HTMLResponse:
        """A template as an answer.

        Beside `context` it knows `now, path, nav, session, notice, form_token, search_text, static`,
        and `offers_problems`, which every page shows first.
        """
        session: Session | None = getattr(request.state, "session", None)
        notice = None if session is None or is_fragment(request) else self.notices.read(request)
        common = {
            "now": self.clock(),
            "path": request.url.path,
            "nav": self.nav if session is not None and session.name else (),
            "session": session,
            "notice": notice,
            "form_token": "" if session is None else self.sessions.form_token(session),
            "offers_problems": self.offers.problems() if session is not None and session.name else (),
            "search_text": "",
            "static": static_path,
        }
        body = self._templates.get_template(template).render({**common, **context})
        answer = HTMLResponse(body, status, {**HEADERS, **(headers or {})})
        if notice is not None:
            NOTICE_COOKIE.delete(request, answer)
        return answer

    def say(
        self, request: Request, status: int, title: str, sentence: str, *, headers: Mapping[str, str] | None = None
    ) -> HTMLResponse:
        """A page that says one thing: what is not there, what went wrong, what to do."""
        return self.render(request, "message.html", status=status, headers=headers, title=title, sentence=sentence)


_FOR_SHORT_QUESTIONS = text(
    "SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true), "
    "set_config('statement_timeout', '10s', true)"
)


def see_other(request: Request, path: str) -> Response:
    """Send the browser to another page of ours, with a GET; what HTMX asked for is left as a whole page too."""
    answer = RedirectResponse(path, 303, HEADERS)
    if is_fragment(request):
        # Its address is quoted: a header takes neither a line break nor a letter beyond Latin-1.
        return Response(None, 204, {**HEADERS, "HX-Redirect": answer.headers["location"]})
    return answer


def is_fragment(request: Request) -> bool:
    """Whether HTMX asks, which wants a part of a page."""
    return request.headers.get("hx-request") == "true"


def session_of(request: Request) -> Session:
    """The browser's session: in a guarded view one that is signed in, in an open one perhaps without a name."""
    session: Session = request.state.session
    return session


def operator_of(request: Request) -> str:
    """Whom the audit trail is to name for what a guarded view does: `operator:<name>`."""
    return session_of(request).actor


def form_of(request: Request) -> Form:
    """The fields of a posted form, which the guard has read and checked."""
    form: Form = request.state.form
    return form


def field(request: Request, name: str) -> str:
    """A posted field's first value, trimmed; empty when it is not there."""
    return first(form_of(request), name)
