"""The server's connections: how many there may be, and how long each may take to say what it wants.

Every connection is an open file, and the ledger and the systems need files too: without a cap, connections that never
finish their request stop webhooks and provisioning alike.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

if sys.platform != "win32":
    import resource

HEAD_SECONDS: Final = 10.0
"""From the connection, or the answer before, to the end of a request's head."""
BODY_SECONDS: Final = 15.0
"""From the head to the end of the body: more than a route's own deadline, which answers before it cuts."""
WRITE_SECONDS: Final = 30.0
"""Without a byte being taken of what is to be sent."""
_FILES_OF_THE_WORK: Final = 128
"""Connections to the ledger, the broker and the systems, and what the interpreter has open."""
_MOST_CONNECTIONS: Final = 1000
_FEWEST_CONNECTIONS: Final = 16
_SWEEP_SECONDS: Final = 0.5
_READ_BYTES: Final = 64 * 1024
_FREE_CHUNKS: Final = 200
_SMALLEST_CHUNK_BYTES: Final = 64
"""On average, of a body in more chunks than those. Each takes as long as a small request, and all that come at once are
read before anybody else's turn."""


def most_connections() -> int:
    """How many connections may be open at a time, so that files are left for the work."""
    if sys.platform == "win32":
        return _MOST_CONNECTIONS
    soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft_limit == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    left = soft_limit - max(_FILES_OF_THE_WORK, soft_limit // 4)
    return max(_FEWEST_CONNECTIONS, min(left, _MOST_CONNECTIONS))


@dataclass(frozen=True)
class Deadlines:
    """How long a connection may take for each part of a request."""

    head_seconds: float = HEAD_SECONDS
    body_seconds: float = BODY_SECONDS
    write_seconds: float = WRITE_SECONDS


class _Reader(h11.Connection):
    """What a client says, of which nothing more is read once its body comes in more chunks than a body needs."""

    def __init__(self, most_head_bytes: int) -> None:
        super().__init__(h11.SERVER, most_head_bytes)
        self.is_wasteful = False
        self._chunks = self._chunked_bytes = 0

    def next_event(self) -> Any:
        """The next event; `NEED_DATA` for ever where too many chunks have come."""
        if self.is_wasteful:
            return h11.NEED_DATA
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = self._chunked_bytes = 0
        elif isinstance(event, h11.Data) and event.chunk_end:
            self._chunks += 1
            self._chunked_bytes += len(event.data)
            self.is_wasteful = self._chunks > _FREE_CHUNKS + self._chunked_bytes // _SMALLEST_CHUNK_BYTES
        return event


class GuardedProtocol(H11Protocol):
    """Uvicorn's HTTP/1.1 connection, which is cut when it takes too long or its place is needed.

    A new connection is always let in: where there are as many as there may be, the one that has kept its request to
    itself for longest makes room. A sender that means well has sent its request within milliseconds.
    """

    deadlines = Deadlines()
    most_connections = _MOST_CONNECTIONS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn: _Reader = _Reader(self.config.h11_max_incomplete_event_size or _READ_BYTES)
        self.waiting_since = time.monotonic()
        """Since when the client owes what it owes."""
        self._unsent_bytes = 0
        self._unsent_since = self.waiting_since

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection in; cut another, or this one, where there are too many."""
        if len(self.connections) >= self.most_connections:
            slowest = min(
                (each for each in self.connections if isinstance(each, GuardedProtocol) and each.is_incomplete),
                key=lambda each: each.waiting_since,
                default=None,
            )
            if slowest is not None:
                slowest.cut()
        super().connection_made(transport)
        if hasattr(transport, "max_size"):
            # What is read at a time: by default four times as much, for each connection.
            transport.max_size = _READ_BYTES
        if len(self.connections) > self.most_connections:
            self.cut()

    @property
    def is_incomplete(self) -> bool:
        """Whether the client still owes a whole request: its head, or the rest of its body."""
        return self._awaits_head or self._awaits_body

    @property
    def _awaits_head(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn has None before the first request
        return cycle is None or (cycle.response_complete and self.conn.their_state in {h11.IDLE, h11.DONE})

    @property
    def _awaits_body(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY

    def handle_events(self) -> None:
        """Read what came; a request's head begins the time for its body. A body in crumbs is cut off."""
        cycle = self.cycle
        super().handle_events()
        if self.conn.is_wasteful:
            self.cut()
            return
        if self.cycle is not cycle:
            self.waiting_since = time.monotonic()

    def on_response_complete(self) -> None:
        """The answer is sent: the time for the next request's head begins."""
        self.waiting_since = time.monotonic()
        super().on_response_complete()

    def check(self, now: float) -> None:
        """Cut the connection if a deadline has passed."""
        waited_seconds = now - self.waiting_since
        if self._awaits_head:
            is_late = waited_seconds > self.deadlines.head_seconds
        else:
            is_late = self._awaits_body and waited_seconds > self.deadlines.body_seconds
        if is_late or self._is_stalled(now):
            self.cut()

    def cut(self) -> None:
        """Close at once, whatever is under way; the app sees a client that left."""
        self.connections.discard(self)
        self.transport.abort()

    def _is_stalled(self, now: float) -> bool:
        """Whether the client takes nothing of what waits to be sent."""
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes == 0 or unsent_bytes != self._unsent_bytes:
            self._unsent_bytes, self._unsent_since = unsent_bytes, now
            return False
        return now - self._unsent_since > self.deadlines.write_seconds


def guarded_protocol(deadlines: Deadlines | None = None) -> type[GuardedProtocol]:
    """The protocol of one server, under today's limit on open files."""
    attributes = {"deadlines": deadlines or Deadlines(), "most_connections": most_connections()}
    return type("ServersProtocol", (GuardedProtocol,), attributes)


class Sweep:
    """Looks at every connection now and then: one look for all costs less than a timer for each."""

    def __init__(self) -> None:
        self._swept_at = time.monotonic()

    def look(self, connections: set[Any]) -> None:
        """Cut those that are late, if it is time to look."""
        now = time.monotonic()
        if now - self._swept_at < _SWEEP_SECONDS:
            return
        self._swept_at = now
        for each in list(connections):
            if isinstance(each, GuardedProtocol):
                each.check(now)
