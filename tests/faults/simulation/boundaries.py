"""Every point at which a process can die between two things the world can see, found by instrumenting the real code.

A boundary lies before and after each commit, each message and each request. Nothing is listed by hand: whatever code
opens a write transaction, sends a message or a request comes by here, so that a new one is found by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import requests
from sqlalchemy import Connection

from tasks.dispatch import Dispatcher
from worker.clients.base import ApiClient
from worker.clients.transport import Answer, Exchange, NoAnswer, Transport, _RecordingConnection
from worker.ledger.session import Ledger

BEGIN = "begin"
"""A write transaction is about to begin."""
COMMIT = "commit"
"""It is about to be committed: dying here rolls it back."""
COMMITTED = "committed"
"""It is committed, and the code that wrote it does not know yet."""
READ = "read"
"""A transaction that only reads is about to begin."""
PUBLISH, PUBLISHED = "publish", "published"
"""A message is about to be handed to the broker; it was handed over."""
RECEIVED = "received"
"""A worker was given a message and has not begun its task."""
ACKNOWLEDGE, ACKNOWLEDGED = "acknowledge", "acknowledged"
"""The task is done and its message not yet taken off the queue; it is off."""
REQUEST = "request"
"""A request is about to be sent; its last check has not been made."""
SENT = "sent"
"""The request has left, and may be carried out."""
ANSWERED = "answered"
"""Its answer has arrived whole, and the caller does not know yet."""

_OURS = ("workflows.", "tasks.", "worker.")
_PLUMBING = ("worker.ledger.session", "worker.clients.base", "worker.clients.transport", "worker.observability.logs")


@dataclass(frozen=True)
class Boundary:
    """What is about to happen or has just happened, and at which place of the code."""

    kind: str
    place: str
    """`workflows.execution.recorder.commit_intent` for a transaction, `learningcart addCompOrder` for a request, the
    task's name for a message."""

    def __str__(self) -> str:
        return f"{self.kind} {self.place}"


Reach = Callable[[Boundary], None]
"""Told of each boundary as it is reached; what it raises comes out of the code at that very place."""


@contextmanager
def watching(reach: Reach) -> Iterator[None]:
    """Tell `reach` of every boundary that code of this process comes to, in whichever thread it runs."""
    originals: list[tuple[type, str, Any]] = []

    def patch(owner: type, name: str, around: Callable[[Any], Any]) -> None:
        original = owner.__dict__[name]
        originals.append((owner, name, original))
        setattr(owner, name, around(original))

    patch(Ledger, "write", lambda original: _write(original, reach))
    patch(Ledger, "read", lambda original: _read(original, reach))
    patch(Dispatcher, "_send", lambda original: _publish(original, reach))
    patch(Exchange, "begin_send", lambda original: _begin_send(original, reach))
    patch(_RecordingConnection, "send", lambda original: _write_bytes(original, reach))
    patch(Transport, "send", lambda original: _send(original, reach))
    try:
        yield
    finally:
        for owner, name, original in reversed(originals):
            setattr(owner, name, original)


def _write(original: Callable[..., AbstractContextManager[Connection]], reach: Reach) -> Any:
    @contextmanager
    def write(self: Ledger, **how: bool) -> Iterator[Connection]:
        place = _place()
        reach(Boundary(BEGIN, place))
        with original(self, **how) as connection:
            yield connection
            if self.is_sqlite or not how.get("alone"):  # else it was committed by its statement
                reach(Boundary(COMMIT, place))
        reach(Boundary(COMMITTED, place))

    return write


def _read(original: Callable[[Ledger], AbstractContextManager[Connection]], reach: Reach) -> Any:
    @contextmanager
    def read(self: Ledger) -> Iterator[Connection]:
        reach(Boundary(READ, _place()))
        with original(self) as connection:
            yield connection

    return read


def _publish(original: Callable[[Dispatcher, Callable[[], object]], bool], reach: Reach) -> Any:
    def publish(self: Dispatcher, send: Callable[[], object]) -> bool:
        place = _place()
        reach(Boundary(PUBLISH, place))
        sent = original(self, send)
        reach(Boundary(PUBLISHED, place))
        return sent

    return publish


def _begin_send(original: Callable[[Exchange], None], reach: Reach) -> Any:
    def begin_send(self: Exchange) -> None:
        if not self.sent:
            reach(Boundary(REQUEST, _operation()))
        original(self)

    return begin_send


def _write_bytes(original: Callable[[_RecordingConnection, Any], None], reach: Reach) -> Any:
    def write_bytes(self: _RecordingConnection, data: Any) -> None:
        original(self, data)
        reach(Boundary(SENT, _operation()))

    return write_bytes


def _send(original: Callable[[Transport, requests.Request, Exchange], Answer | NoAnswer], reach: Reach) -> Any:
    def send(self: Transport, request: requests.Request, exchange: Exchange) -> Answer | NoAnswer:
        outcome = original(self, request, exchange)
        if isinstance(outcome, Answer):
            reach(Boundary(ANSWERED, _operation()))
        return outcome

    return send


def _place() -> str:
    """The function of ours, outside the plumbing, that the process is in."""
    for frame in _frames():
        module = frame.f_globals.get("__name__", "")
        if module.startswith(_OURS) and module not in _PLUMBING and frame.f_code.co_name != "_is_written_alone":
            return f"{module}.{frame.f_code.co_name}"
    return "outside"


def _operation() -> str:
    """`system operation` of the request that is under way."""
    for frame in _frames():
        if frame.f_code is ApiClient.exchange.__code__:
            return f"{frame.f_locals['self'].system} {frame.f_locals['operation']}"
    return "unknown"


def operation_under_way() -> str:
    """`system operation` of the request this thread is about to send, or has under way."""
    return _operation()


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        yield frame
        frame = frame.f_back
