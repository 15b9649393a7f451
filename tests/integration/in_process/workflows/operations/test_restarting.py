from __future__ import annotations

import pytest

from tests.unit.workflows.fakes.operations import ANN, SEAT, UNMAPPED, contents, note_down
from tests.unit.workflows.fakes.storefront import an_order, put_run, record, rows, run_of, states
from worker.errors import IllegalTransitionError
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.runs import events
from worker.reasons import Reason
from worker.sources.order import Payment
from workflows.operations.replay import NOTHING, PLANNED, REFUSED, REPLAYED, Operations
from workflows.operations.restarting import Seen
from workflows.planning.offers import Offers


@pytest.mark.parametrize("is_down", [False, True])
def test_replay_says_what_holds_the_run_back_when_its_system_is_paused_or_down(
    ledger: Ledger, operations: Operations, seat: str, is_down: bool
) -> None:
    """Neither a run that is due already nor one that is made due is sent within seconds."""
    if is_down:
        note_down(ledger)
    else:
        operations.pause("learningcart", actor=ANN)
    told = "learningcart is down since" if is_down else "learningcart is paused; it goes on after: cartbridge resume"
    due = operations.replay(seat, actor=ANN)
    assert (due.result, due.ready, told in due.message) == (NOTHING, (seat,), True)
    assert "seconds" not in due.message
    put_run(ledger, SEAT, RunState.FAILED)
    replayed = operations.replay(seat, actor=ANN)
    assert (replayed.result, told in replayed.message) == (REPLAYED, True)


def test_replay_makes_no_second_order_when_the_run_was_resolved_with_one_and_reopened(
    ledger: Ledger, operations: Operations, seat: str
) -> None:
    put_run(ledger, SEAT, RunState.FAILED)
    operations.resolve(seat, actor=ANN, note="made by hand", result_id="7001")
    operations.reopen(seat, actor=ANN, reason="wrong button")
    for more in ({}, {"from_step": "add_customer"}):
        refused = operations.replay(seat, actor=ANN, **more)  # type: ignore[arg-type]
        assert (refused.result, "LearningCart order 7001" in refused.message) == (REFUSED, True)
    assert states(ledger) == {SEAT: ("review", "reopened")}
    again = operations.replay(seat, actor=ANN, again=True, reason="7001 is another's")
    assert (again.result, again.ready) == (REPLAYED, (seat,))


def test_replay_starts_a_reopened_run_when_it_was_resolved_without_an_order(
    ledger: Ledger, operations: Operations, seat: str
) -> None:
    put_run(ledger, SEAT, RunState.FAILED)
    operations.resolve(seat, actor=ANN, note="she needs none")
    operations.reopen(seat, actor=ANN, reason="she does")
    assert operations.replay(seat, actor=ANN).result == REPLAYED


def test_replay_gives_access_when_a_person_says_that_the_webhook_which_took_it_back_was_an_old_one(
    ledger: Ledger, operations: Operations, seat: str
) -> None:
    record(ledger, an_order(payment=Payment.CANCELLED))
    assert operations.replay(seat, actor=ANN).result == REFUSED
    put_run(ledger, SEAT, RunState.REVIEW, reason=Reason.REPEATED_WEBHOOK, cancelled_by=None)
    assert operations.replay(seat, actor=ANN).result == REPLAYED


@pytest.mark.parametrize("more", [{"again": True}, {"from_step": "add_customer"}])
def test_replay_is_refused_when_it_is_to_plan_again_and_to_repeat(
    ledger: Ledger, operations: Operations, seat: str, more: dict[str, object]
) -> None:
    put_run(ledger, SEAT, RunState.SUCCEEDED)
    before = contents(ledger)
    replayed = operations.replay(seat, actor=ANN, reason="x", replan=True, **more)  # type: ignore[arg-type]
    assert (replayed.result, "one of the two" in replayed.message) == (REFUSED, True)
    assert contents(ledger) == before


def test_replay_names_the_way_on_when_an_operator_cancelled_the_placeholder(
    ledger: Ledger, operations: Operations
) -> None:
    record(ledger, an_order(), rules=Offers())
    placeholder = run_of(ledger, UNMAPPED).id
    operations.cancel(placeholder, actor=ANN)
    replayed = operations.replay(placeholder, actor=ANN)
    assert (replayed.result, f"cartbridge runs reopen {placeholder}" in replayed.message) == (NOTHING, True)


def test_the_reason_of_a_replay_is_kept_in_the_commit_that_plans_the_order_again(
    ledger: Ledger, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that ends after it has planned, and before it has said why, leaves runs nobody accounts for."""
    record(ledger, an_order(), rules=Offers())
    placeholder = run_of(ledger, UNMAPPED).id
    begin, begun = ledger.write, []

    def only_one(**how: bool) -> object:
        begun.append(how)
        assert len(begun) == 1, "another transaction"
        return begin(**how)

    monkeypatch.setattr(ledger, "write", only_one)
    assert operations.replay(placeholder, actor=ANN, reason="offer added").result == PLANNED
    assert [row.reason for row in rows(ledger, events) if row.kind == "run_replayed"] == ["offer added"]


@pytest.mark.parametrize("now", [("pending", None), ("review", "paid_after_cancel"), ("failed", "refused")])
def test_what_was_a_question_for_another_reason_is_not_answered_when_it_changed_meanwhile(
    ledger: Ledger, operations: Operations, seat: str, now: tuple[str, str | None]
) -> None:
    """The operator agreed to what was listed: a run that gives access by now would have been cancelled unseen."""
    put_run(ledger, SEAT, RunState.REVIEW, reason="read_anew")
    shown = Seen.of(run_of(ledger, SEAT))
    assert Seen.read(shown.text) == shown
    put_run(ledger, SEAT, RunState(now[0]), reason=now[1])
    before = contents(ledger)
    for dry_run in (True, False):
        with pytest.raises(IllegalTransitionError, match="by now, not in review as read_anew"):
            operations.cancel(seat, actor=ANN, seen=shown, dry_run=dry_run)
        with pytest.raises(IllegalTransitionError, match="by now, not in review as read_anew"):
            operations.resolve(seat, actor=ANN, note="by hand", seen=shown, dry_run=dry_run)
        assert operations.replay(seat, actor=ANN, seen=shown, dry_run=dry_run).result == NOTHING
    assert contents(ledger) == before
    assert operations.cancel(seat, actor=ANN, seen=Seen.of(run_of(ledger, SEAT))).startswith("cancelled")
