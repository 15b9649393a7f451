"""Telling a receiver of what happened: sends the outbox's events, each until it is taken or its attempts are spent."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, Protocol

from worker.backoff import backoff_seconds
from worker.errors import ApiConnectionError, ApiError, ApiTimeoutError
from worker.ledger import outbox
from worker.ledger.events import record_event, without_people
from worker.ledger.outbox import TakenEvent
from worker.ledger.session import Ledger
from worker.ledger.states import Actor
from worker.text.control_characters import JSON_CONTROLS
from workflows.execution.attempts import describe

log = logging.getLogger(__name__)

MAX_ATTEMPTS: Final = 40
"""Two days and more, by the waits below: a receiver that is down over a weekend loses nothing."""
FIRST_WAIT_SECONDS: Final = 5.0
LONGEST_WAIT_SECONDS: Final = 4 * 3600.0
LEASE_SECONDS: Final = 120.0
"""Longer than any attempt. After it, what a vanished sender had taken is sent again."""
BATCH: Final = 200


class Messenger(Protocol):
    """What carries an event; `worker.clients.events.EventsClient` does."""

    def send(self, event_id: str, body: str) -> None:
        """Return when the receiver has taken it; raises `ApiError`."""


@dataclass
class Delivered:
    """What one sweep of the outbox came to."""

    sent: int = 0
    failed: int = 0
    given_up: int = 0


def deliver_due(
    ledger: Ledger,
    messenger: Messenger,
    *,
    clock: Callable[[], datetime],
    rng: Random,
    should_stop: Callable[[], bool] = lambda: False,
) -> Delivered:
    """Send what is due, oldest first; stops early at a receiver that does not answer at all.

    At least once: an event whose outcome was not recorded is sent again, under the same id. Safe to repeat and to
    double. A wait is random up to a doubling cap, and never less than the receiver asks for.
    """
    delivered = Delivered()
    with ledger.read() as connection:
        if not outbox.is_any_due(connection, now=clock()):
            return delivered
    for _ in range(BATCH):
        if should_stop():
            break
        with ledger.write() as connection:
            taken = outbox.take_due(connection, now=clock(), lease_seconds=LEASE_SECONDS)
        if taken is None:
            break
        try:
            messenger.send(taken.id, body_of(taken.payload))
        except ApiError as error:
            _note_failure(ledger, taken, error, delivered, now=clock(), rng=rng)
            if isinstance(error, ApiConnectionError | ApiTimeoutError) or error.unreachable:
                break
        else:
            with ledger.write() as connection:
                outbox.mark_sent(connection, taken.id, now=clock())
            delivered.sent += 1
    return delivered


def body_of(payload: dict[str, Any]) -> str:
    """The event as it is signed and sent: the same text at every attempt, with control characters as JSON's escapes."""
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.translate(JSON_CONTROLS)


def _why(ledger: Ledger, error: ApiError, taken: TakenEvent) -> str:
    """What went wrong, as it may be kept and logged: without whom the event is about, whom a receiver may quote."""
    if not error.notice.message:
        return describe(error)
    data = taken.payload.get("data") or {}
    about = {name: data.get(name) for name in ("run_id", "source", "order_id")}
    with ledger.read() as connection:
        return without_people(connection, describe(error), data, **about)


def _note_failure(
    ledger: Ledger, taken: TakenEvent, error: ApiError, delivered: Delivered, *, now: datetime, rng: Random
) -> None:
    why = _why(ledger, error, taken)
    next_attempt_at = None
    if taken.attempts < MAX_ATTEMPTS:
        wait = backoff_seconds(
            taken.attempts,
            base_seconds=FIRST_WAIT_SECONDS,
            max_seconds=LONGEST_WAIT_SECONDS,
            rng=rng,
            retry_after_seconds=error.retry_after_seconds,
        )
        next_attempt_at = now + timedelta(seconds=wait)
    with ledger.write() as connection:
        is_latest = outbox.mark_failed(connection, taken, error=why, next_attempt_at=next_attempt_at)
        if is_latest and next_attempt_at is None:
            detail = {"event_id": taken.id, "kind": taken.kind}
            record_event(connection, at=now, kind="webhook_given_up", actor=Actor.ENGINE, reason=why, detail=detail)
    delivered.failed += 1
    if is_latest and next_attempt_at is None:
        delivered.given_up += 1
        log.error("event %s (%s) was not taken in %d attempts: %s", taken.id, taken.kind, taken.attempts, why)
    else:
        log.warning("event %s (%s) was not taken: %s", taken.id, taken.kind, why)
