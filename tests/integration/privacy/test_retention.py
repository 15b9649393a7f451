"""What is kept for too long goes, what the books need stays, and doing it twice or at once does no harm."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import DBAPIError

from tests.unit.worker.ledger.rows import add_attempt, add_delivery
from tests.unit.workflows.fakes.storefront import JANE, NOW, an_order, record, rows
from worker.ledger import guards
from worker.ledger.events import record_event
from worker.ledger.follow_on import completions as completion_rows
from worker.ledger.follow_on.completions import CompletionState
from worker.ledger.learners import retention
from worker.ledger.learners.retention import RAW, RetentionDays
from worker.ledger.orders.operator_entries import add_note
from worker.ledger.outbox import add_event
from worker.ledger.session import Ledger
from worker.ledger.states import DeliveryState, RunState
from worker.ledger.tables.follow_on import completions
from worker.ledger.tables.operator_entries import order_notes
from worker.ledger.tables.runs import attempts, deliveries, events, order_versions, outbox, runs
from worker.reasons import Reason
from worker.sources.order import Payment
from workflows.follow_on.completion_progress import Progress
from workflows.follow_on.completions import record_progress

DAYS = RetentionDays(order_versions=90, deliveries=180, texts=365, completions=730)
AFTER = NOW + timedelta(days=1000)


@pytest.fixture
def old(ledger: Ledger) -> str:
    """A finished order with all that grows around it; its run's id."""
    record(ledger, an_order())
    record(ledger, an_order(status="edited"), now=NOW + timedelta(hours=1))
    run_id = str(rows(ledger, runs)[0].id)
    with ledger.write() as connection:
        connection.execute(update(runs).values(state=RunState.SUCCEEDED, finished_at=NOW, result_id="7", note="by Ann"))
        add_attempt(connection, run_id, "add_customer", error="InvalidRequestError: jane's mother", started_at=NOW)
        add_delivery(connection, "d1", state=DeliveryState.PLANNED, received_at=NOW, finished_at=NOW)
        add_delivery(connection, "d2", state=DeliveryState.REVIEW, received_at=NOW, finished_at=NOW)
        about: dict[str, Any] = {"at": NOW, "actor": "operator:ann", "run_id": run_id}
        record_event(connection, kind="run_replayed", reason="her mother called", **about)
        record_event(connection, kind="run_resolved", reason="given to the aunt", **about)
        detail = {"step": "add_customer", "error": "InvalidRequestError: the mother"}
        record_event(connection, at=NOW, kind="run_failed", actor="engine", run_id=run_id, detail=detail)
        add_event(connection, "enrolment.succeeded", {"email": JANE.email}, now=NOW)
        connection.execute(update(outbox).values(state="sent"))
        add_note(connection, "studiocart", "1109", "her aunt rang", actor="operator:ann", now=NOW)
        named = {"key": "5/77/-", "state": "began", "customer_id": "5", "course_id": "77"}
        completion_rows.add_completion(connection, {**named, "email": JANE.email, "name": "Jane Doe"}, now=NOW)
    return run_id


def test_what_is_too_old_goes_and_the_books_stay(ledger: Ledger, old: str) -> None:
    counted = retention.count_expired(ledger, DAYS, now=AFTER)
    assert counted == {
        "order_versions": 2,
        "deliveries": 1,
        "attempt_texts": 1,
        "run_notes": 0,
        "event_texts": 2,
        "sent_messages": 1,
        "order_notes": 1,
        "completions": 1,
    }
    reported: list[tuple[str, int]] = []
    assert retention.expire(ledger, DAYS, now=AFTER, progress=lambda *each: reported.append(each)) == counted
    assert dict(reported) == {name: count for name, count in counted.items() if count}
    assert set(retention.expire(ledger, DAYS, now=AFTER).values()) == {0}
    assert [row.raw for row in rows(ledger, order_versions)] == [RAW, RAW]
    assert [row.id for row in rows(ledger, deliveries)] == ["d2"]
    assert [row.error for row in rows(ledger, attempts)] == ["InvalidRequestError: [expired]"]
    reasons = {row.kind: (row.reason, row.detail.get("error")) for row in rows(ledger, events)}
    assert reasons["run_replayed"] == ("[expired]", None)
    assert reasons["run_resolved"] == ("given to the aunt", None)
    assert reasons["run_failed"] == (None, "InvalidRequestError: [expired]")
    assert [row.text for row in rows(ledger, order_notes)] == ["[expired]"]
    assert rows(ledger, outbox)[0].payload == RAW
    assert (rows(ledger, completions)[0].email, rows(ledger, completions)[0].name) == ("", "[expired]")
    (run,) = rows(ledger, runs)
    assert (run.email, run.result_id, run.order_id, run.note) == (JANE.email, "7", "1109", "by Ann")
    with ledger.read() as connection:
        assert guards.guard_warning(connection) is None


@pytest.mark.parametrize("days", [89, 91])
def test_record_of_a_finished_order_goes_when_it_is_older_than_its_days(ledger: Ledger, old: str, days: int) -> None:
    retention.expire(ledger, DAYS, now=NOW + timedelta(days=days))
    assert (RAW in [row.raw for row in rows(ledger, order_versions)]) is (days > 90)


def test_nothing_goes_when_the_settings_say_for_good(ledger: Ledger, old: str) -> None:
    assert retention.expire(ledger, RetentionDays(0, 0, 0, 0), now=AFTER) == {}
    assert RAW not in [row.raw for row in rows(ledger, order_versions)]


@pytest.mark.parametrize("state", [RunState.REVIEW, RunState.WAITING, RunState.FAILED])
def test_newest_record_stays_when_a_run_of_its_order_is_open(ledger: Ledger, old: str, state: RunState) -> None:
    with ledger.write() as connection:
        connection.execute(update(runs).values(state=state))
    retention.expire(ledger, DAYS, now=AFTER)
    assert [row.raw == RAW for row in rows(ledger, order_versions)] == [True, False]
    assert [row.error for row in rows(ledger, attempts)] == ["InvalidRequestError: jane's mother"]


def test_newest_record_stays_when_its_order_waits_for_payment(ledger: Ledger) -> None:
    record(ledger, an_order(payment=Payment.WAITING))
    retention.expire(ledger, DAYS, now=AFTER)
    assert RAW not in [row.raw for row in rows(ledger, order_versions)]


def test_order_is_no_news_when_its_record_was_dropped(ledger: Ledger, old: str) -> None:
    retention.expire(ledger, DAYS, now=AFTER)
    recorded = record(ledger, an_order(status="edited"), now=AFTER, polled=True)
    assert (recorded.changed, recorded.plan.actions) == (False, ())
    assert len(rows(ledger, runs)) == 1


def test_rows_of_several_batches_go_when_there_are_many(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_BATCH", 3)
    with ledger.write() as connection:
        for number in range(10):
            add_delivery(connection, f"d{number}", state=DeliveryState.PLANNED, received_at=NOW, finished_at=NOW)
    stops = iter([False, True])
    done = retention.expire(ledger, DAYS, now=AFTER, should_stop=lambda: next(stops, False))
    assert done["deliveries"] == 6
    assert retention.expire(ledger, DAYS, now=AFTER)["deliveries"] == 4


def test_one_of_two_does_it_when_both_ask_on_one_day(ledger: Ledger) -> None:
    asked = [retention.is_due(ledger, now=NOW + timedelta(hours=hours), holder="a") for hours in (0, 1, 23, 24, 25)]
    assert asked == [True, False, False, True, False]


def test_event_stays_as_it_is_when_anything_but_a_mark_is_written(ledger: Ledger, old: str) -> None:
    changes: list[dict[str, Any]] = [
        {"reason": "another"},
        {"detail": {"a": 1}},
        {"reason": "[expired]", "actor": "operator:eve"},
        {"kind": "x"},
    ]
    for change in changes:
        with pytest.raises(DBAPIError, match="only added to"), ledger.write() as connection:
            connection.execute(update(events).where(events.c.kind == "run_replayed").values(**change))


def test_message_goes_when_it_could_not_be_sent(ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_event(connection, "enrolment.succeeded", {"email": JANE.email}, now=NOW)
        add_event(connection, "enrolment.failed", {"email": JANE.email}, now=NOW)
        connection.execute(
            update(outbox)
            .where(outbox.c.kind == "enrolment.failed")
            .values(state="failed", last_error="no <jane@example.test>")
        )
    retention.expire(ledger, DAYS, now=AFTER)
    assert {row.state: (row.payload == RAW, row.last_error) for row in rows(ledger, outbox)} == {
        "pending": (False, None),
        "failed": (True, None),
    }


def reported(state: CompletionState) -> Progress:
    return Progress("5/77/-", state, customer_id="5", course_id="77", email=JANE.email, name="Jane Doe")


def test_completion_stays_nameless_when_learningcart_tells_it_again(ledger: Ledger) -> None:
    events_sent: dict[str, Any] = {"sends_events": False}
    began, completed = (reported(state) for state in (CompletionState.BEGAN, CompletionState.COMPLETED))
    with ledger.write() as connection:
        record_progress(connection, [began], now=NOW, **events_sent)
    retention.expire(ledger, DAYS, now=AFTER)
    with ledger.write() as connection:
        assert record_progress(connection, [began], now=AFTER, **events_sent) == 0
    assert retention.count_expired(ledger, DAYS, now=AFTER)["completions"] == 0
    assert (rows(ledger, completions)[0].email, rows(ledger, completions)[0].name) == ("", "[expired]")
    with ledger.write() as connection:  # what is new tells whose it is
        assert record_progress(connection, [completed], now=AFTER, **events_sent) == 1
    assert (rows(ledger, completions)[0].email, rows(ledger, completions)[0].name) == (JANE.email, "Jane Doe")


def test_error_in_the_note_of_a_run_goes_when_it_has_ended(ledger: Ledger, old: str) -> None:
    for state, note in ((RunState.CANCELLED, "InvalidRequestError: her mother"), (RunState.REVIEW, "FaultError: her")):
        with ledger.write() as connection:
            connection.execute(update(runs).values(state=state, note=note))
        expected = note if state is RunState.REVIEW else "InvalidRequestError: [expired]"
        retention.expire(ledger, DAYS, now=AFTER)
        assert rows(ledger, runs)[0].note == expected
        assert retention.count_expired(ledger, DAYS, now=AFTER)["run_notes"] == 0


@pytest.mark.parametrize("typed", ["Przybylski", "przybylski", "王小明来电", "p@x"])
def test_typed_reason_goes_when_it_is_one_word(ledger: Ledger, typed: str) -> None:
    about: dict[str, Any] = {"at": NOW, "actor": "operator:ann"}
    with ledger.write() as connection:
        record_event(connection, kind="system_paused", system="learningcart", reason=typed, **about)
        record_event(connection, kind="run_planned", source="studiocart", reason=Reason.UNMAPPED_PRODUCT, **about)
        record_event(connection, kind="run_failed", at=NOW, actor="engine", reason=Reason.REFUSED)
        # What only looks like an error's text is left, and not counted for ever.
        record_event(connection, kind="x", at=NOW, actor="engine", detail={"error": None, "changes": ["error"]})
    retention.expire(ledger, DAYS, now=AFTER)
    assert [row.reason for row in rows(ledger, events)] == ["[expired]", "unmapped_product", "refused", None]
    assert set(retention.count_expired(ledger, DAYS, now=AFTER).values()) == {0}
