from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.workflows.fakes.operations import ANN, SEAT, UNMAPPED
from tests.unit.workflows.fakes.storefront import (
    NOW,
    ONE_OFFER,
    an_order,
    put_run,
    record,
    rows,
    run_of,
    states,
)
from worker.errors import IllegalTransitionError, NotInLedgerError
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.runs import events
from worker.sources.order import Payment
from workflows.operations.replay import PLANNED, Operations
from workflows.planning.offers import Offers


def test_a_resolved_run_is_in_review_and_not_at_work_when_it_is_reopened(
    ledger: Ledger, operations: Operations, seat: str
) -> None:
    put_run(ledger, SEAT, RunState.REVIEW, reason="older_than_start")
    operations.resolve(seat, actor=ANN, note="gave it by hand", result_id="7001")
    assert "would reopen" in operations.reopen(seat, actor=ANN, reason="it was another course", dry_run=True)
    assert run_of(ledger, SEAT).state == "succeeded"
    operations.reopen(seat, actor=ANN, reason="it was another course")
    row = run_of(ledger, SEAT)
    assert (row.state, row.reason, row.finished_at, row.next_attempt_at) == ("review", "older_than_start", None, None)
    assert row.result_id == "7001"  # a lookup accounts for it
    event = rows(ledger, events)[-1]
    assert (event.kind, event.actor, event.reason) == ("run_reopened", ANN, "it was another course")
    assert event.detail == {"from": "succeeded", "reason": "older_than_start"}
    with pytest.raises(IllegalTransitionError, match="nobody has settled it"):
        operations.reopen(seat, actor=ANN, reason="twice")


def test_a_cancelled_run_is_a_question_of_its_own_when_it_asked_nothing_before(
    ledger: Ledger, operations: Operations, seat: str
) -> None:
    operations.cancel(seat, actor=ANN)
    operations.reopen(seat, actor=ANN, reason="a slip")
    assert states(ledger) == {SEAT: ("review", "reopened")}
    record(ledger, an_order(), now=NOW + timedelta(minutes=5))  # the order as it was answers nothing
    assert states(ledger) == {SEAT: ("review", "reopened")}
    record(ledger, an_order(payment=Payment.REFUNDED), now=NOW + timedelta(minutes=6))
    assert states(ledger) == {SEAT: ("cancelled", "refunded_by_source")}


def test_a_placeholder_is_planned_again_when_it_was_reopened_and_its_cause_is_gone(
    ledger: Ledger, operations: Operations, offers_file: Path
) -> None:
    record(ledger, an_order(), rules=Offers())
    placeholder = str(run_of(ledger, UNMAPPED).id)
    operations.resolve(placeholder, actor=ANN, note="by hand")
    operations.reopen(placeholder, actor=ANN, reason="it was not")
    assert states(ledger) == {UNMAPPED: ("review", "unmapped_product")}
    offers_file.write_text(ONE_OFFER)
    assert operations.replay(placeholder, actor=ANN).result == PLANNED
    assert states(ledger) == {UNMAPPED: ("cancelled", "superseded"), SEAT: ("pending", None)}


def test_what_no_operator_ended_stays_as_it_is_when_it_is_to_be_reopened(
    ledger: Ledger, operations: Operations, seat: str
) -> None:
    for state, values, why in (
        (RunState.PENDING, {}, "nobody has settled it"),
        (RunState.SUCCEEDED, {"reason": None}, "--again"),
        (RunState.CANCELLED, {"cancelled_by": "source"}, "Paying the order again"),
        (RunState.CANCELLED, {"cancelled_by": "superseded"}, "was replaced"),
    ):
        put_run(ledger, SEAT, state, **values)
        with pytest.raises(IllegalTransitionError, match=why):
            operations.reopen(seat, actor=ANN, reason="x")
        assert run_of(ledger, SEAT).state == state
    with pytest.raises(NotInLedgerError):
        operations.reopen("nonesuch", actor=ANN, reason="x")
