"""The HTTP status of the last answer to a call of this thread, for the record of an attempt that succeeded."""

from __future__ import annotations

from contextvars import ContextVar

_LAST: ContextVar[int | None] = ContextVar("answer_status", default=None)


def note_status(status: int | None) -> None:
    """Keep the status of an answer; None where none came, or before a call is begun."""
    _LAST.set(status)


def last_status() -> int | None:
    """The status of the last answer; None where there was none, as for a mail."""
    return _LAST.get()
