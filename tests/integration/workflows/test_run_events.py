"""What became of runs is told by webhook, each once, whoever ends a run and however often is looked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.unit.worker.ledger.rows import NOW, add_order, add_run
from worker.ledger.events import record_event
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import outbox, runs
from workflows.monitoring.run_events import note_run_events


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger that is listened to since a minute, with one run."""
    ledger = Ledger(database_url)
    ledger.migrate()
    with ledger.write() as connection:
        add_order(connection)
        add_run(connection)
        # It ended long before anybody listened.
        add_run(connection, seat="seat-2", state="succeeded", finished_at=NOW - timedelta(days=1))
    assert note_run_events(ledger, now=NOW) == 0
    yield ledger
    ledger.close()


def become(ledger: Ledger, state: str, *, after: float, **values: Any) -> None:
    at = NOW + timedelta(seconds=after)
    values |= {"finished_at": at} if state in {"succeeded", "failed"} else {}
    with ledger.write() as connection:
        connection.execute(update(runs).where(runs.c.seat_id == "buyer").values(state=state, updated_at=at, **values))


def run_events(ledger: Ledger) -> list[dict[str, Any]]:
    with ledger.read() as connection:
        return [row.payload for row in connection.execute(select(outbox).order_by(outbox.c.created_at, outbox.c.id))]


def test_success_is_told_once_when_it_is_looked_at_often(ledger: Ledger) -> None:
    become(ledger, "succeeded", after=5, result_id="700123", fence=1)
    assert [note_run_events(ledger, now=NOW + timedelta(seconds=after)) for after in (6, 7, 200)] == [1, 0, 0]
    (event,) = run_events(ledger)
    assert event["type"] == "enrolment.succeeded"
    data = event["data"]
    assert (data["order_id"], data["email"], data["result_id"]) == ("1109", "jane@example.com", "700123")
    assert data["grant"] == {"price_id": 501, "group_ids": [12]}
    assert data["sentence"] is None


def test_commit_that_comes_late_is_told_when_it_was_stamped_before_the_last_look(ledger: Ledger) -> None:
    note_run_events(ledger, now=NOW + timedelta(seconds=60))
    become(ledger, "succeeded", after=30, fence=1)
    assert note_run_events(ledger, now=NOW + timedelta(seconds=65)) == 1


def test_each_stop_is_told_when_a_run_comes_to_several(ledger: Ledger) -> None:
    become(ledger, "review", after=5, reason="outcome_unprovable", fence=1)
    note_run_events(ledger, now=NOW + timedelta(seconds=6))
    become(ledger, "review", after=20, reason="outcome_unprovable", fence=2)
    note_run_events(ledger, now=NOW + timedelta(seconds=21))
    become(ledger, "failed", after=30, reason="attempts_spent", fence=3)
    note_run_events(ledger, now=NOW + timedelta(seconds=31))
    assert [event["type"] for event in run_events(ledger)] == [
        "enrolment.review",
        "enrolment.review",
        "enrolment.failed",
    ]
    assert all(event["data"]["sentence"] and event["data"]["action"] for event in run_events(ledger))
    assert run_events(ledger)[-1]["data"]["actions"][0]["kind"] == "check"


def test_note_on_a_review_is_no_news_when_it_waits_already(ledger: Ledger) -> None:
    become(ledger, "review", after=5, reason="unmapped_product")
    note_run_events(ledger, now=NOW + timedelta(seconds=6))
    become(ledger, "review", after=8, reason="unmapped_product", note="looked at it")
    assert note_run_events(ledger, now=NOW + timedelta(seconds=9)) == 0


def test_a_question_that_is_asked_anew_is_told_anew_when_nobody_claimed_it_between(ledger: Ledger) -> None:
    """A refund whose order was paid again, and refunded again; an answer that was taken back, and given again."""
    for number, (kind, state) in enumerate(
        [
            ("run_review", "review"),
            ("run_review", "review"),
            ("run_resolved", "succeeded"),
            ("run_resolved", "succeeded"),
        ]
    ):
        become(ledger, "cancelled", after=10 * number + 1)
        become(ledger, state, after=10 * number + 2, reason="refunded_after_provisioning")
        with ledger.write() as connection:
            run_id = connection.scalar(select(runs.c.id).where(runs.c.seat_id == "buyer"))
            record_event(connection, at=NOW, kind=kind, actor="source", run_id=run_id)
        assert note_run_events(ledger, now=NOW + timedelta(seconds=10 * number + 3)) == 1
        assert note_run_events(ledger, now=NOW + timedelta(seconds=10 * number + 4)) == 0
