from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Any

import pytest

from tests.unit.workflows.fakes.storefront import NOW, Clock, rows
from worker.errors import ApiConnectionError, ApiError, InvalidRequestError, RateLimitedError, VendorNotice
from worker.ledger.outbox import OutboxCounts, add_event, mark_failed, outbox_counts, take_due
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import events, outbox
from workflows.monitoring.event_delivery import LEASE_SECONDS, MAX_ATTEMPTS, Delivered, deliver_due


class Receiver:
    """Takes events, after it has failed as often as it is told to."""

    def __init__(self, *broken: ApiError) -> None:
        self.broken = list(broken)
        self.heard: list[tuple[str, str]] = []

    def send(self, event_id: str, body: str) -> None:
        self.heard.append((event_id, body))
        if self.broken:
            raise self.broken.pop(0)


Deliver = Callable[[Receiver], Delivered]


@pytest.fixture
def deliver(ledger: Ledger, clock: Clock) -> Deliver:
    return lambda receiver: deliver_due(ledger, receiver, clock=clock, rng=Random(1))


def add(ledger: Ledger, *kinds: str, at: datetime = NOW) -> list[str]:
    with ledger.write() as connection:
        return [add_event(connection, kind, {"course_id": "77"}, now=at) for kind in kinds]


def test_events_are_sent_once_when_they_are_taken(ledger: Ledger, deliver: Deliver) -> None:
    added = add(ledger, "completion.began", "completion.completed")
    receiver = Receiver()
    assert deliver(receiver) == Delivered(sent=2)
    assert deliver(receiver) == Delivered()
    assert sorted(event_id for event_id, _ in receiver.heard) == sorted(added)
    assert json.loads(dict(receiver.heard)[added[0]]) == {
        "type": "completion.began",
        "timestamp": "2026-03-10T12:00:00Z",
        "data": {"course_id": "77"},
    }
    assert {(row.state, row.attempts, row.sent_at) for row in rows(ledger, outbox)} == {("sent", 1, NOW)}


def test_event_is_sent_again_in_the_same_words_when_it_was_not_taken(
    ledger: Ledger, deliver: Deliver, clock: Clock
) -> None:
    add(ledger, "completion.completed")
    receiver = Receiver(
        InvalidRequestError("no"), RateLimitedError("slower", notice=VendorNotice(retry_after_seconds=600))
    )
    assert deliver(receiver) == Delivered(failed=1)
    assert rows(ledger, outbox)[0].last_error == "InvalidRequestError: no"
    clock.advance(seconds=10)
    assert deliver(receiver) == Delivered(failed=1)
    clock.advance(seconds=599)
    assert deliver(receiver) == Delivered()
    clock.advance(seconds=1)
    assert deliver(receiver) == Delivered(sent=1)
    assert len(set(receiver.heard)) == 1
    (row,) = rows(ledger, outbox)
    assert (row.state, row.attempts, row.last_error) == ("sent", 3, None)


def test_nobody_is_named_when_the_receiver_quotes_whom_the_event_is_about(
    ledger: Ledger, deliver: Deliver, caplog: pytest.LogCaptureFixture
) -> None:
    with ledger.write() as connection:
        add_event(connection, "completion.began", {"email": "jane@shop.test", "name": "Jane Dough"}, now=NOW)
    quote = "Jane Dough <jane@shop.test> is unknown"
    deliver(Receiver(InvalidRequestError(f"no: {quote}", notice=VendorNotice(quote))))
    (row,) = rows(ledger, outbox)
    assert row.last_error == "InvalidRequestError: no: [person] <…> is unknown"
    assert "was not taken" in caplog.text
    assert "Dough" not in caplog.text


def test_others_wait_when_the_receiver_does_not_answer_at_all(ledger: Ledger, deliver: Deliver) -> None:
    add(ledger, "completion.began", "completion.completed")
    receiver = Receiver(ApiConnectionError("refused"))
    assert deliver(receiver) == Delivered(failed=1)
    assert deliver(Receiver()) == Delivered(sent=1)


def test_event_is_given_up_and_said_so_when_its_attempts_are_spent(ledger: Ledger, deliver: Deliver) -> None:
    (event_id,) = add(ledger, "completion.completed")
    with ledger.write() as connection:
        connection.execute(outbox.update().values(attempts=MAX_ATTEMPTS - 1))
    assert deliver(Receiver(InvalidRequestError("no"))) == Delivered(failed=1, given_up=1)
    assert deliver(Receiver()) == Delivered()
    (event,) = rows(ledger, events)
    assert (event.kind, event.reason) == ("webhook_given_up", "InvalidRequestError: no")
    assert event.detail == {"event_id": event_id, "kind": "completion.completed"}
    with ledger.read() as connection:
        assert outbox_counts(connection) == OutboxCounts(pending=0, oldest_at=None, failed=1)


def test_event_is_sent_again_when_its_sender_vanished(ledger: Ledger, deliver: Deliver, clock: Clock) -> None:
    add(ledger, "completion.completed")
    with ledger.write() as connection:
        taken = take_due(connection, now=NOW, lease_seconds=LEASE_SECONDS)
        assert take_due(connection, now=NOW, lease_seconds=LEASE_SECONDS) is None
        assert outbox_counts(connection) == OutboxCounts(pending=1, oldest_at=NOW, failed=0)
    assert taken is not None
    assert deliver(Receiver()) == Delivered()
    clock.advance(seconds=LEASE_SECONDS)
    assert deliver(Receiver()) == Delivered(sent=1)
    with ledger.write() as connection:
        assert not mark_failed(connection, taken, error="late", next_attempt_at=None)
    assert rows(ledger, outbox)[0].state == "sent"


def test_nothing_more_is_sent_when_the_process_stops(ledger: Ledger, clock: Clock) -> None:
    add(ledger, "completion.completed")
    receiver: Any = Receiver()
    assert deliver_due(ledger, receiver, clock=clock, rng=Random(1), should_stop=lambda: True) == Delivered()
    assert receiver.heard == []
