"""What every answer has in common: security headers, its time in the metrics, and no word about our own mistakes.

Plain ASGI: Starlette's class-based middleware would hold back what runs after an answer.
"""

from __future__ import annotations

import time
import traceback

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.web.metrics.routes import Metrics
from worker.web.problems import unexpected_problem

log = structlog.get_logger(__name__)

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FRAMES_LOGGED = 5


class AnswerMiddleware:
    """Wraps the whole app. An exception nobody answered becomes a 500 that tells nothing of it."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            elif not message.get("more_body", False):
                self._observe(scope, status, time.perf_counter() - begun)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            _report(error)
            if status:
                # Half an answer is sent: all that is left is to cut the connection.
                raise
            await unexpected_problem()(scope, receive, send_with_headers)

    def _observe(self, scope: Scope, status: int, duration_seconds: float) -> None:
        # What a client made up must not make a new time series.
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = getattr(scope.get("route"), "path", None) or "other"
        self._metrics.observe_request(route=route, method=method, status=status, duration_seconds=duration_seconds)


def _report(error: Exception) -> None:
    """Log which error it was and where. Not what it says: an exception's text may quote the request."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_LOGGED:]
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    log.error("unexpected error", error=type(error).__name__, at=places)
