"""What the end of a hold says about the destination as a whole, and how the breaker learns of it."""

from __future__ import annotations

from datetime import datetime
from enum import Enum, auto

from sqlalchemy import Connection

from worker.errors import (
    ApiConnectionError,
    ApiTimeoutError,
    InvalidRequestError,
    NotFoundError,
    RequestRefusedError,
    ServerError,
    UnexpectedResponseError,
)
from worker.ledger.runs import breaker
from worker.ledger.runs.held import HeldRun


class Evidence(Enum):
    """What one outcome says of a destination."""

    DOWN = auto()
    """No answer, or none that a working system gives; to a lookup or a request for a token as to a call."""
    ANSWERED = auto()
    """It refused this one request, in its own words: it works."""
    NOTHING = auto()
    """A refused rate (which names its own wait), refused credentials (which pause the destination), our own faults."""


def evidence_of(error: BaseException) -> Evidence:
    """Judge an error. A TLS failure counts as down, as nothing can be sent."""
    if isinstance(error, ApiConnectionError | ApiTimeoutError | ServerError | UnexpectedResponseError):
        return Evidence.DOWN
    if isinstance(error, InvalidRequestError | NotFoundError | RequestRefusedError) and error.status is not None:
        return Evidence.ANSWERED
    return Evidence.NOTHING


def tell(
    connection: Connection,
    held: HeldRun,
    evidence: Evidence,
    *,
    error: str,
    unreachable: bool,
    is_own: bool,
    now: datetime,
    probe_seconds: float,
) -> None:
    """Tell the destination's breaker. `is_own`: others are answered, so that the failure is the run's own.

    The last write of its transaction, so that its row is locked for a moment only. Writes nothing for an answer of a
    destination nothing is wrong with.
    """
    if evidence is Evidence.DOWN:
        breaker.note_failure(
            connection,
            held.system,
            held.id,
            error=error,
            unreachable=unreachable,
            is_own=is_own,
            now=now,
            probe_seconds=probe_seconds,
        )
    elif evidence is Evidence.ANSWERED and held.breaker is not None:
        breaker.note_answer(connection, held.system, now=now)
