"""What stands in for a socket or a server: gives the answers it is told to, and remembers what was asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from requests.structures import CaseInsensitiveDict

from worker.clients.base import ApiClient
from worker.clients.rate import OwnSlots, SharedSlots, SlotsAwayError, Window
from worker.clients.transport import Answer, Exchange, NoAnswer, Transport


@dataclass
class Asked:
    """One request as it would have left."""

    url: str
    path: str
    query: dict[str, str]
    headers: dict[str, Any]
    body: Any
    exchange: Exchange = field(repr=False)

    @property
    def method(self) -> str:
        """The last part of the path: LearningCart's method."""
        return self.path.rpartition("/")[2]


Reply = Answer | NoAnswer | Callable[[Asked], Answer]


class StubTransport(Transport):
    """Gives `replies` in their order; the last one for ever. Asks `before_send` as the real one does."""

    def __init__(self, *replies: Reply) -> None:
        super().__init__()
        self.replies = list(replies)
        self.asked: list[Asked] = []
        self.closed = False

    def send(self, request: requests.Request, exchange: Exchange) -> Answer | NoAnswer:
        parts = urlsplit(str(request.url))
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        asked = Asked(str(request.url), parts.path, query, dict(request.headers or {}), request.json, exchange)
        if exchange._before_send is not None:
            exchange._before_send()
        self.asked.append(asked)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return reply(asked) if callable(reply) else reply

    def close(self) -> None:
        self.closed = True


def answer(body: object = b"", status: int = 200, **headers: str) -> Answer:
    """An answer; anything but bytes is written as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, CaseInsensitiveDict({key.replace("_", "-"): value for key, value in headers.items()}), raw)


class SlotsInMemory(SharedSlots):
    """A shared window without its server, which may be away."""

    def __init__(self, *, away: bool = False) -> None:
        self.away, self.asked = away, 0
        self._own: OwnSlots | None = None

    def take(self, window: Window, name: str, *, slots: int, now: float, kept_seconds: float) -> float | None:
        self.asked += 1
        if self.away:
            raise SlotsAwayError("away")
        self._own = self._own or OwnSlots(window)
        return self._own.take(now)

    def forget(self) -> None:
        """As if the window had passed."""
        self._own = None


def whole(api: ApiClient, operation: str, method: str, path: str, *, safe_to_repeat: bool, **options: Any) -> Answer:
    """Send one request and return its whole 2xx answer; raise the error that any other stands for."""
    got = api.exchange(operation, method, path, safe_to_repeat=safe_to_repeat, **options)
    error = api.error_for(operation, got, safe_to_repeat=safe_to_repeat)
    if error is not None:
        raise error
    return got
