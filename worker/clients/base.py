"""What every call to one of the four systems goes through: rate limit, deadline, and one map from answers to errors."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import requests

from worker.clients.charset import charset_of
from worker.clients.outcomes import error_for_answer, error_for_no_answer, unexpected
from worker.clients.rate import RateLimit, SharedSlots
from worker.clients.reading import UnreadableError, read_document, read_tolerantly
from worker.clients.transport import Answer, Exchange, Transport
from worker.errors import ApiError, ConfigurationError, UnexpectedResponseError
from worker.observability.tracing import tracing
from worker.settings.systems import SystemSettings
from worker.text.redaction import SecretRegistry

__all__ = ["Answer", "ApiClient", "Budget", "CallLimits", "SystemClient"]

USER_AGENT = "cartbridge"
_LAST_STATUS: ContextVar[int | None] = ContextVar("answer_status", default=None)
"""The HTTP status of the last answer to a call of this thread, for the record of an attempt that succeeded."""
NOTES_KEPT = 20
_ROUTE: Final = re.compile(r"rest_route=/[\w./~-]*")
"""The one query that a base URL may have: a WordPress with plain permalinks takes its routes there."""


class Budget:
    """The seconds that are left of a deadline which spans several requests. Its clock stops while `paused`."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Seconds to the deadline; 0 or less once it is over."""
        return self._end - self._clock()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count what happens meanwhile: waiting for a slot."""
        began = self._clock()
        try:
            yield
        finally:
            self._end += self._clock() - began


@dataclass(frozen=True)
class CallLimits:
    """What a caller asks of one call, beyond its parameters."""

    deadline_seconds: float | None = None
    """For the whole call: connect, send, every read, a token's renewal and the repeat after it; not for waiting for a
    slot. None: the connect and the read timeout together."""
    read_timeout_seconds: float | None = None
    """For each read. None: that of the settings."""
    before_send: Callable[[], None] | None = None
    """Called immediately before the request's bytes are written on an already open connection. What it raises comes out
    of the call as it is, and then nothing was sent. Called again before a repeat; not for a token's own request."""
    slot_taken: bool = False
    """The caller already waited for the rate limit's slot."""


NO_LIMITS = CallLimits()


class ApiClient:
    """Calls one system over HTTP. Safe to share between threads: each has a keep-alive connection of its own.

    Follows no redirect, repeats nothing by itself, verifies TLS, and uses no proxy. `base_url` is
    `http(s)://host[/path]`, or a WordPress's `…/?rest_route=/…`; anything else raises `ConfigurationError`. `redact`
    returns a text without any secret, whatever of it is to show in an error; without a `rate_limit` there is none.
    """

    def __init__(
        self,
        system: str,
        *,
        base_url: str,
        connect_timeout_seconds: float = 5.0,
        read_timeout_seconds: float = 30.0,
        rate_limit: RateLimit | None = None,
        redact: Callable[[str], str] | None = None,
        transport: Transport | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        parts = urlsplit(base_url)
        if (
            parts.scheme not in {"http", "https"}
            or not parts.hostname
            or (parts.query and not _ROUTE.fullmatch(parts.query))
            or parts.fragment
            or parts.username
        ):
            raise ConfigurationError(
                f"The base URL of {system} must be http(s)://host/path, without user name, query (other than a "
                "WordPress site's ?rest_route=/…) or fragment. "
                f"Set CARTBRIDGE_{system.upper()}__BASE_URL."
            )
        self.system = system
        self.connect_timeout_seconds = connect_timeout_seconds
        self.read_timeout_seconds = read_timeout_seconds
        self._base_url = base_url.rstrip("/")
        self._is_routed = bool(parts.query)
        self.redact = redact or SecretRegistry().redact
        """Returns a text without any secret of this client."""
        self._now = now
        self._rate_limit = rate_limit or RateLimit(system, 0.0)
        self._transport = transport or Transport()
        self._notes: dict[str, None] = {}
        self._notes_lock = threading.Lock()

    @classmethod
    def of(
        cls,
        system: str,
        settings: SystemSettings,
        base_url: str,
        *,
        redact: Callable[[str], str],
        slots: SharedSlots | None,
    ) -> ApiClient:
        """One that goes by a system's settings, whose `base_url` is set."""
        return cls(
            system,
            base_url=base_url,
            connect_timeout_seconds=settings.connect_timeout_seconds,
            read_timeout_seconds=settings.read_timeout_seconds,
            rate_limit=RateLimit(system, settings.requests_per_second, shared=slots),
            redact=redact,
        )

    def __repr__(self) -> str:
        return f"ApiClient({self.system!r})"

    @property
    def default_deadline_seconds(self) -> float:
        """The deadline of a call that names none."""
        return self.connect_timeout_seconds + self.read_timeout_seconds

    def take_slot(self) -> None:
        """Wait until the rate limit allows one more request."""
        self._rate_limit.take()

    def exchange(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        safe_to_repeat: bool,
        limits: CallLimits = NO_LIMITS,
    ) -> Answer:
        """Send one request, once, and return its answer, of any status, for `error_for` to judge.

        `path` is appended to the base URL and must be escaped already. Where no answer came it raises the `ApiError`
        that fits, with `outcome_unknown` set when the request was or may have been sent and is not `safe_to_repeat`;
        and whatever `limits.before_send` raises.
        """
        if not limits.slot_taken:
            self.take_slot()
        # %20 and not +: the one form every server's query parser agrees on.
        query = f"{'&' if self._is_routed else '?'}{urlencode(params, quote_via=quote)}" if params else ""
        request = requests.Request(
            method,
            f"{self._base_url}{path}{query}",
            json=json,
            headers={
                "User-Agent": USER_AGENT,
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
                "Cache-Control": "no-cache",
            }
            | dict(headers or {}),
        )
        read_timeout_seconds = limits.read_timeout_seconds or self.read_timeout_seconds
        deadline_seconds = limits.deadline_seconds
        if deadline_seconds is None:
            deadline_seconds = self.connect_timeout_seconds + read_timeout_seconds
        with tracing().within(f"{self.system} {operation}", None, system=self.system, operation=operation):
            outcome = self._transport.send(
                request,
                Exchange(
                    connect_timeout_seconds=self.connect_timeout_seconds,
                    read_timeout_seconds=read_timeout_seconds,
                    deadline_seconds=deadline_seconds,
                    before_send=limits.before_send,
                    fresh_connection=not safe_to_repeat,
                ),
            )
            note_status(getattr(outcome, "status", None))
            tracing().note(http_status=last_status())
        if not isinstance(outcome, Answer):
            raise error_for_no_answer(outcome, system=self.system, operation=operation, safe_to_repeat=safe_to_repeat)
        return outcome

    def error_for(self, operation: str, answer: Answer, *, safe_to_repeat: bool) -> ApiError | None:
        """Return the error an answer stands for; None for a whole 2xx."""
        return error_for_answer(
            answer,
            system=self.system,
            operation=operation,
            safe_to_repeat=safe_to_repeat,
            now=self._now(),
            redact=self.redact,
            base_url=self._base_url,
        )

    def read(self, operation: str, answer: Answer, *, safe_to_repeat: bool) -> Any:
        """Return what an answer says, as `reading.read_document` has it. Raises `UnreadableError`.

        Where the call is safe to repeat, JSON is read with notices, comments or byte-order marks around it too, and
        `notes` tells. Where nothing can be read, the error's message says what stands where, redacted.
        """
        charset = charset_of(answer.headers.get("Content-Type"))
        try:
            if not safe_to_repeat:
                return read_document(answer.body, charset)
            found = read_tolerantly(answer.body, charset)
        except UnreadableError as error:
            problem, surroundings = str(error), error.surroundings
        else:
            if found.surroundings:
                self.note(f"{operation}: {self.redact(found.surroundings)}")
            return found.document
        raise UnreadableError(f"{problem}: {self.redact(surroundings)}" if surroundings else problem)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was read all the same, and should not have been sent so: a line each, the latest last, for `check`."""
        with self._notes_lock:
            return tuple(self._notes)

    def note(self, line: str) -> None:
        """Keep a line for `notes`. It must hold no secret and nothing of a record."""
        with self._notes_lock:
            self._notes.pop(line, None)
            self._notes[line] = None
            while len(self._notes) > NOTES_KEPT:
                del self._notes[next(iter(self._notes))]

    def unexpected(
        self, operation: str, what: str, *, safe_to_repeat: bool, answer: Answer | None = None
    ) -> UnexpectedResponseError:
        """Return the error for an answer that does not say what the operation promises; `what` must not quote it."""
        status = None if answer is None else answer.status
        return unexpected(what, system=self.system, operation=operation, safe_to_repeat=safe_to_repeat, status=status)

    def close(self) -> None:
        """Close the idle connections. The client can be used again."""
        self._transport.close()


class SystemClient:
    """What the client of each of the four systems has."""

    _api: ApiClient

    @property
    def notes(self) -> tuple[str, ...]:
        """What was read all the same, though something stood around it; see `ApiClient.notes`."""
        return self._api.notes

    def close(self) -> None:
        """Close the idle connections. The client can be used again."""
        self._api.close()


def note_status(status: int | None) -> None:
    """Keep the status of an answer; None where none came, or before a call is begun."""
    _LAST_STATUS.set(status)


def last_status() -> int | None:
    """The status of the last answer; None where there was none, as for a mail."""
    return _LAST_STATUS.get()
