"""A learner is forgotten among others: nobody else is touched, nothing overlooks them, and no look brings them back."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.unit.workflows.fakes.storefront import (
    JANE,
    JOHN,
    NOW,
    Clock,
    FakeSource,
    a_hint_reader,
    a_line,
    an_order,
    offers,
    record,
    rows,
)
from worker.ledger.events import record_event
from worker.ledger.follow_on import completions as completion_rows
from worker.ledger.learners.erasure import find_person, forget
from worker.ledger.outbox import add_event
from worker.ledger.session import Ledger
from worker.ledger.sql import record_of
from worker.ledger.states import RunState
from worker.ledger.tables.follow_on import CompletionRecord, completions
from worker.ledger.tables.runs import events, order_versions, orders, outbox, runs
from worker.ledger.tables.subscriptions import subscriptions
from worker.reasons import Reason
from worker.sources.order import Learner, Order, Payment, Seat
from worker.sources.subscription import Access, Subscription
from workflows.follow_on.completion_progress import Progress
from workflows.follow_on.completions import record_progress
from workflows.operations.replay import Operations
from workflows.planning.offers_file import OffersFile
from workflows.recording.subscription_status import DEFAULT_RULES, record_subscription

ANOTHER_OFFER = """
[[offer]]
source = "studiocart"
product_id = "1107"
grants = [{ price_id = 501, group_ids = [12, 13] }]
"""


def forget_all_of(ledger: Ledger, email: str) -> None:
    with ledger.write() as connection:
        person = find_person(connection, email)
        assert person.is_known
        forget(connection, person, now=NOW, actor="operator:ann", reason=None)


def finish(ledger: Ledger, state: RunState = RunState.SUCCEEDED, **more: Any) -> None:
    with ledger.write() as connection:
        connection.execute(update(runs).values(state=state, finished_at=NOW, next_attempt_at=None, **more))


def everything(ledger: Ledger) -> str:
    return "\n".join(
        repr(tuple(row)) for table in (orders, order_versions, runs, outbox) for row in rows(ledger, table)
    )


@pytest.mark.parametrize(
    "other", ["jo.ann@example.test", "joann@example.test", "ann@example.test.example", "ann@example.tests"]
)
def test_another_is_told_of_as_before_when_their_email_holds_the_forgotten_one(ledger: Ledger, other: str) -> None:
    with ledger.write() as connection:
        for kind, email in (("hers", "ann@example.test"), ("theirs", other)):
            add_event(connection, kind, {"email": email, "sentence": f"{email}."}, now=NOW)
    forget_all_of(ledger, "Ann@example.test")
    reported = {row.kind: row.payload["data"] for row in rows(ledger, outbox)}
    hers, theirs = reported["hers"], reported["theirs"]
    assert theirs == {"email": other, "sentence": f"{other}."}
    assert hers["email"].endswith("@forgotten.invalid")
    assert hers["sentence"] == f"{hers['email']}."


def test_event_is_found_when_the_email_is_beyond_ascii(ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_event(connection, "enrolment.succeeded", {"email": "Zoë@example.test", "name": "Zoë Doe"}, now=NOW)
    forget_all_of(ledger, "zoë@example.test")
    (row,) = rows(ledger, outbox)
    assert row.payload["data"]["name"] == ""
    assert "zoë" not in repr(row.payload).casefold()


def test_participant_is_found_when_they_have_no_run(ledger: Ledger) -> None:
    seats = [Seat(id="participant-1", learner=JOHN), Seat(id="participant-2", learner=JANE)]
    record(
        ledger, an_order(learner=JOHN, lines=[a_line(seats=seats)], created_at=NOW.replace(year=2020)), baseline=True
    )
    assert rows(ledger, runs) == []
    forget_all_of(ledger, JANE.email)
    document = Order.model_validate(rows(ledger, orders)[0].document)
    assert [seat.learner and seat.learner.last_name for seat in document.lines[0].seats] == [JOHN.last_name, ""]
    assert "jane" not in everything(ledger).casefold()


def test_buyer_is_found_when_the_ledger_has_their_subscription_alone(ledger: Ledger) -> None:
    bought = Subscription(source="studiocart", id="9", access=Access.LIVE, buyer_email=JANE.email, product_id="1107")
    with ledger.write() as connection:
        record_subscription(connection, bought, DEFAULT_RULES, fetched_at=NOW, now=NOW)
    forget_all_of(ledger, JANE.email)
    assert JANE.email not in repr([tuple(row) for row in rows(ledger, subscriptions)])


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.CANCELLED])
@pytest.mark.parametrize("rules", [None, ANOTHER_OFFER])
def test_learner_stays_forgotten_when_their_order_is_seen_again_as_it_was(
    ledger: Ledger, state: RunState, rules: str | None
) -> None:
    order = an_order(lines=[a_line(seats=[Seat(id="buyer", learner=JANE), Seat(id="other", learner=JOHN)])])
    record(ledger, order)
    finish(ledger, state, cancelled_by="operator" if state is RunState.CANCELLED else None)
    forget_all_of(ledger, JANE.email)
    record(ledger, order, rules=None if rules is None else offers(rules), polled=True)
    assert "jane" not in everything(ledger).casefold()
    assert JOHN.email in everything(ledger)
    if state is RunState.SUCCEEDED:
        assert [row.state for row in rows(ledger, runs)] == [state, state]


def test_learner_stays_forgotten_when_the_poll_of_completions_reads_them_again(ledger: Ledger) -> None:
    reported = Progress(
        key="5/77/-",
        state=completion_rows.CompletionState.COMPLETED,
        customer_id="5",
        course_id="77",
        email=JANE.email,
        name="Jane Doe",
        course_name="First aid",
        score=95,
    )
    with ledger.write() as connection:
        record_progress(connection, [reported], now=NOW, sends_events=False)
    forget_all_of(ledger, JANE.email)
    with ledger.write() as connection:
        assert record_progress(connection, [reported], now=NOW, sends_events=False) == 0
    (row,) = rows(ledger, completions)
    assert "jane" not in repr(asdict(Progress.stored(record_of(CompletionRecord, row)))).casefold()


def test_trail_holds_no_email_when_an_operator_writes_one_into_a_reason(ledger: Ledger) -> None:
    with ledger.write() as connection:
        said = "asked by <Jane.Doe+x@example.test>, see mail"
        record_event(connection, at=NOW, kind="run_replayed", actor="operator:ann@shop.test", reason=said)
        found = connection.execute(select(events.c.actor, events.c.reason)).one()
    assert tuple(found) == ("operator:ann@shop.test", "asked by <…>, see mail")


def test_learner_of_the_same_name_is_kept_when_another_is_forgotten(ledger: Ledger) -> None:
    twin = Learner(email="jane.too@example.test", first_name="Jane", last_name="Doe")
    record(ledger, an_order(lines=[a_line(seats=[Seat(id="a", learner=JANE), Seat(id="b", learner=twin)])]))
    finish(ledger)
    forget_all_of(ledger, JANE.email)
    document = Order.model_validate(rows(ledger, orders)[0].document)
    assert document.lines[0].seats[1].learner == twin


@pytest.mark.parametrize("way", [{}, {"again": True, "reason": "x"}, {"replan": True}])
def test_nothing_is_made_for_a_pseudonym_when_a_forgotten_learners_run_is_replayed(
    ledger: Ledger, tmp_path: Path, way: dict[str, Any]
) -> None:
    record(ledger, an_order())
    finish(ledger, RunState.CANCELLED, cancelled_by="operator")
    forget_all_of(ledger, JANE.email)
    (run,) = rows(ledger, runs)
    path = tmp_path / "offers.toml"
    path.write_text(ANOTHER_OFFER)
    reader = a_hint_reader(ledger, FakeSource(Clock()), OffersFile(path), Clock())
    Operations(ledger, reader, check_source=str, clock=Clock()).replay(run.id, actor="operator:ann", **way)
    assert {row.state for row in rows(ledger, runs)} <= {RunState.CANCELLED, RunState.REVIEW}


def test_refund_is_asked_of_when_it_comes_after_its_learner_was_forgotten(ledger: Ledger) -> None:
    record(ledger, an_order())
    finish(ledger, result_id="7")
    forget_all_of(ledger, JANE.email)
    record(ledger, an_order(payment=Payment.REFUNDED), now=NOW + timedelta(hours=1))
    assert {(row.state, row.reason) for row in rows(ledger, runs)} == {
        (RunState.SUCCEEDED, None),
        (RunState.REVIEW, Reason.REFUNDED_AFTER_PROVISIONING),
    }


@pytest.mark.parametrize("replan", [False, True])
def test_order_is_what_it_was_when_it_is_planned_again_by_what_the_ledger_kept(
    ledger: Ledger, tmp_path: Path, replan: bool
) -> None:
    record(ledger, an_order())
    finish(ledger, result_id="7")
    forget_all_of(ledger, JANE.email)
    before = rows(ledger, orders)[0]
    path = tmp_path / "offers.toml"
    path.write_text(ANOTHER_OFFER)
    reader = a_hint_reader(ledger, FakeSource(Clock()), OffersFile(path), Clock())
    previewed = reader.preview("studiocart", "1109", replan=replan)
    recorded = reader.replan("studiocart", "1109", replan=replan)
    assert recorded is not None
    assert previewed is not None
    assert (recorded.changed, recorded.plan.actions, previewed.actions) == (False, (), ())
    after = rows(ledger, orders)[0]
    assert (after.version, after.content_hash, after.document) == (before.version, before.content_hash, before.document)
