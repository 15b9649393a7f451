from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError

from tests.unit.session_ledger import SessionLedger
from tests.unit.workflows.fakes.storefront import JOHN, NOW, an_order, put_run, record, rows, run_of
from worker.errors import IllegalTransitionError, LeaseHeldError, LeaseLostError
from worker.ledger.runs import claims
from worker.ledger.runs.attempts import effect_open_runs
from worker.ledger.runs.claims import Closing
from worker.ledger.runs.held import HeldRun
from worker.ledger.runs.transitions import Ending
from worker.ledger.session import Ledger
from worker.ledger.states import Outcome, RunState, StepState
from worker.ledger.tables.runs import attempts, events, pauses, steps
from worker.ledger.views import reconcile as views

SEAT = "1109/1107/buyer/501"
SAME_LANE = "1110/1107/buyer/501"
OTHER_LANE = "1111/1107/buyer/501"


def plan_three_runs(ledger: Ledger) -> None:
    """Two runs of one learner, and one of another."""
    record(ledger, an_order())
    record(ledger, an_order("1110"))
    record(ledger, an_order("1111", learner=JOHN))


@pytest.fixture
def ledger(session_ledger: SessionLedger) -> Ledger:
    return session_ledger.filled_by(plan_three_runs)


def claim(ledger: Ledger, key: str = SEAT, *, holder: str = "worker-1", now: datetime = NOW) -> HeldRun:
    run_id = run_of(ledger, key).id
    with ledger.write() as connection:
        return claims.claim_run(connection, run_id, system="learningcart", holder=holder, now=now, lease_seconds=120)


def end(ledger: Ledger, held: HeldRun, state: RunState = RunState.SUCCEEDED, **values: Any) -> str | None:
    detail = values.pop("detail", None)
    with ledger.write() as connection:
        return claims.release_run(connection, held, Ending(state, **values), now=NOW, detail=detail)


def an_attempt(run_id: str, number: int, *, outcome: str | None = None, **values: Any) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "step": "add_comped_order",
        "number": number,
        "kind": "call",
        "generation": 0,
        "fence": 1,
        "holder": "gone",
        "started_at": NOW,
        "outcome": outcome,
    } | values


def add_attempts(ledger: Ledger, *given: dict[str, Any]) -> None:
    with ledger.write() as connection:
        for each in given:
            connection.execute(attempts.insert().values(**each))


def effect_open(ledger: Ledger) -> bool:
    with ledger.read() as connection:
        return bool(effect_open_runs(connection, [run_of(ledger, SEAT).id]))


# Claiming


def test_run_is_held_with_all_it_needs_when_it_is_claimed(ledger: Ledger) -> None:
    held = claim(ledger)
    assert (held.key, held.workflow, held.fence, held.generation) == (f"studiocart/{SEAT}", "enrolment", 1, 0)
    assert (held.holder, held.claimed_at, held.lease_until) == ("worker-1", NOW, NOW + timedelta(seconds=120))
    assert held.learner["email"] == "jane@example.test"
    assert held.grant == {"price_id": 501, "group_ids": [12]}
    assert [step.name for step in held.steps] == ["add_customer", "add_customer_to_group", "add_comped_order"]
    assert held.next_step is held.steps[0]
    assert held.outputs == {}
    row = run_of(ledger, SEAT)
    assert (row.state, row.lease_holder, row.lease_until, row.next_attempt_at) == (
        "running",
        "worker-1",
        held.lease_until,
        None,
    )


@pytest.mark.parametrize(
    "state", [RunState.RUNNING, RunState.SUCCEEDED, RunState.FAILED, RunState.REVIEW, RunState.CANCELLED]
)
def test_run_is_not_claimed_from_any_other_state(ledger: Ledger, state: RunState) -> None:
    put_run(ledger, SEAT, state)
    with pytest.raises(LeaseHeldError):
        claim(ledger)


def test_run_is_not_claimed_before_its_time(ledger: Ledger) -> None:
    put_run(ledger, SEAT, RunState.WAITING, next_attempt_at=NOW + timedelta(seconds=1))
    with pytest.raises(LeaseHeldError):
        claim(ledger)
    assert claim(ledger, now=NOW + timedelta(seconds=1)).fence == 1


def test_run_is_not_claimed_when_there_is_none(ledger: Ledger) -> None:
    with pytest.raises(LeaseHeldError), ledger.write() as connection:
        claims.claim_run(connection, "none", system="learningcart", holder="x", now=NOW, lease_seconds=1)


def test_run_waits_when_its_destination_is_paused(ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.execute(
            pauses.insert().values(system="learningcart", kind="operator", reason="", actor="", since=NOW)
        )
    with pytest.raises(LeaseHeldError):
        claim(ledger)
    with ledger.write() as connection:
        connection.execute(pauses.update().values(system="threedcart"))
    claim(ledger)


def test_learners_runs_never_overlap_and_anothers_do(ledger: Ledger) -> None:
    held = claim(ledger)
    with pytest.raises(LeaseHeldError):
        claim(ledger, SAME_LANE)
    claim(ledger, OTHER_LANE)
    end(ledger, held)
    claim(ledger, SAME_LANE)


def test_lane_stays_shut_for_others_until_the_call_has_settled(ledger: Ledger) -> None:
    settled_at = NOW + timedelta(seconds=45)
    end(ledger, claim(ledger), RunState.WAITING, next_attempt_at=settled_at, lane_shut_until=settled_at)
    with pytest.raises(LeaseHeldError):
        claim(ledger, SAME_LANE, now=settled_at - timedelta(seconds=1))
    held = claim(ledger, now=settled_at)
    assert held.fence == 2
    assert run_of(ledger, SEAT).lane_shut_until is None


def test_database_refuses_two_running_runs_in_a_lane(ledger: Ledger) -> None:
    put_run(ledger, SEAT, RunState.RUNNING)
    with pytest.raises(IntegrityError):
        put_run(ledger, SAME_LANE, RunState.RUNNING)


class Refusing:
    """A connection on which another claim of the lane has just won."""

    dialect = sqlite.dialect()

    def __init__(self, message: str) -> None:
        self._message = message

    def execute(self, _statement: object, _values: object) -> None:
        raise IntegrityError("UPDATE runs", None, sqlite3.IntegrityError(self._message))


@pytest.mark.parametrize(
    ("message", "expected"),
    [("UNIQUE constraint failed: runs.lane", LeaseHeldError), ("FOREIGN KEY constraint failed", IntegrityError)],
)
def test_claim_is_refused_when_the_index_decides_between_two(message: str, expected: type[Exception]) -> None:
    refusing: Any = Refusing(message)
    with pytest.raises(expected):
        claims.claim_run(refusing, "r", system="learningcart", holder="x", now=NOW, lease_seconds=1)


# Holding


def test_progress_is_written_with_the_lease_when_the_holder_still_holds(ledger: Ledger) -> None:
    held = claim(ledger)
    step = held.steps[0]
    step.state, step.output, step.finished_at = StepState.DONE, {"customer_id": 7}, NOW
    held.dirty.append(step)
    held.outcomes.append(held.attempt(step, started_at=NOW, number=1, outcome=Outcome.OK))
    later = NOW + timedelta(seconds=60)
    with ledger.write() as connection:
        assert claims.write_progress(connection, held, now=later, lease_seconds=120) is None
    assert held.lease_until == later + timedelta(seconds=120)
    assert (held.dirty, held.outcomes) == ([], [])
    assert rows(ledger, steps, steps.c.run_id == held.id)[0].output == {"customer_id": 7}
    assert held.outputs == {"add_customer": {"customer_id": 7}}
    with ledger.write() as connection:
        claims.write_progress(connection, held, now=later)
    assert run_of(ledger, SEAT).lease_until == held.lease_until


def test_holder_learns_of_a_cancellation_when_it_writes(ledger: Ledger) -> None:
    held = claim(ledger)
    put_run(ledger, SEAT, RunState.RUNNING, cancel_reason="refunded_by_source")
    with ledger.write() as connection:
        assert claims.write_progress(connection, held, now=NOW) == "refunded_by_source"
    assert held.cancel_reason == "refunded_by_source"
    assert end(ledger, held) == "refunded_by_source"


@pytest.mark.parametrize("taken", [{"fence": 2}, {"lease_holder": "worker-2"}, {"state": RunState.WAITING}])
def test_nothing_is_written_when_the_holder_was_fenced_out(ledger: Ledger, taken: dict[str, Any]) -> None:
    held = claim(ledger)
    held.outcomes.append(an_attempt(held.id, 1, outcome=Outcome.OK))
    put_run(ledger, SEAT, taken.pop("state", RunState.RUNNING), **taken)
    before = (run_of(ledger, SEAT), len(rows(ledger, events)))
    with pytest.raises(LeaseLostError), ledger.write() as connection:
        claims.write_progress(connection, held, now=NOW, lease_seconds=120)
    with pytest.raises(LeaseLostError):
        end(ledger, held)
    assert (run_of(ledger, SEAT), len(rows(ledger, events))) == before
    assert rows(ledger, attempts) == []


def test_intent_counts_from_the_moment_it_is_written(ledger: Ledger) -> None:
    held = claim(ledger)
    step = held.steps[2]
    with ledger.write() as connection:
        claims.write_intent(connection, held, step, reference="cb-x", now=NOW, lease_seconds=120)
    (attempt,) = rows(ledger, attempts)
    assert (attempt.number, attempt.kind, attempt.outcome, attempt.reference) == (1, "call", None, "cb-x")
    assert (attempt.fence, attempt.holder, attempt.finished_at) == (1, "worker-1", None)
    assert [row.counted for row in rows(ledger, steps, steps.c.run_id == held.id)] == [0, 0, 1]
    assert effect_open(ledger)


def test_attempt_keeps_its_outcome_when_it_has_one(ledger: Ledger) -> None:
    held = claim(ledger)
    step = held.steps[2]
    with ledger.write() as connection:
        claims.write_intent(connection, held, step, reference="cb-x", now=NOW, lease_seconds=120)
        for outcome in (Outcome.UNKNOWN, Outcome.OK):
            closing = Closing(step=step, outcome=outcome, finished_at=NOW)
            claims.write_progress(connection, held, now=NOW, closing=closing)
    assert rows(ledger, attempts)[0].outcome == Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("state", "finished"),
    [
        (RunState.SUCCEEDED, True),
        (RunState.FAILED, True),
        (RunState.CANCELLED, True),
        (RunState.WAITING, False),
        (RunState.REVIEW, False),
    ],
)
def test_run_and_lane_are_let_go_of_when_the_hold_ends(ledger: Ledger, state: RunState, *, finished: bool) -> None:
    held = claim(ledger)
    end(ledger, held, state, reason="why", note="since", detail={"step": "x"})
    row = run_of(ledger, SEAT)
    assert (row.state, row.reason, row.note, row.lease_holder, row.lease_until) == (state, "why", "since", None, None)
    assert row.finished_at == (NOW if finished else None)
    assert row.cancelled_by == ("source" if state is RunState.CANCELLED else None)
    event = rows(ledger, events)[-1]
    assert (event.kind, event.actor, event.run_id, event.detail) == (f"run_{state}", "engine", held.id, {"step": "x"})


def test_result_is_kept_when_a_later_end_has_none(ledger: Ledger) -> None:
    end(ledger, claim(ledger), RunState.WAITING, result_id="7001", next_attempt_at=NOW)
    end(ledger, claim(ledger), RunState.WAITING)
    assert run_of(ledger, SEAT).result_id == "7001"


def test_hold_cannot_end_where_the_table_does_not_allow(ledger: Ledger) -> None:
    held = claim(ledger)
    with pytest.raises(IllegalTransitionError):
        end(ledger, held, RunState.PENDING)


# Attempts that a second holder finds


def test_second_holder_finds_what_the_first_left_open(ledger: Ledger) -> None:
    first = claim(ledger)
    add_attempts(
        ledger,
        an_attempt(first.id, 1, outcome=Outcome.OK, step="add_customer"),
        an_attempt(first.id, 1, outcome=Outcome.UNKNOWN, started_at=NOW - timedelta(seconds=9)),
        an_attempt(first.id, 2),
    )
    end(ledger, first, RunState.WAITING)
    held = claim(ledger)
    customer, group, order = held.steps
    assert (customer.attempts, customer.unresolved) == (1, False)
    assert (group.attempts, group.first_sent_at) == (0, None)
    assert (order.attempts, order.unresolved, order.spent_unknown) == (2, True, True)
    assert order.first_sent_at == NOW - timedelta(seconds=9)


@pytest.mark.parametrize(
    ("history", "is_open"),
    [
        ([], False),
        ([("call", None)], True),
        ([("call", "unknown")], True),
        ([("call", "retryable")], False),
        ([("call", "final")], False),
        ([("call", "unknown"), ("lookup", "absent")], False),
        ([("call", "unknown"), ("lookup", "adopted")], False),
        ([("call", "unknown"), ("lookup", "retryable")], True),
        ([("call", "unknown"), ("lookup", "unknown")], True),
        ([("call", "unknown"), ("lookup", "absent"), ("call", "unknown")], True),
        ([("call", "unknown"), ("call", "retryable")], True),
        ([("call", "unknown"), ("lookup", "absent"), ("call", "retryable")], False),
        ([("call", "unknown"), ("death", "retryable")], True),
    ],
)
def test_effect_is_open_until_a_lookup_has_told(
    ledger: Ledger, history: list[tuple[str, str | None]], *, is_open: bool
) -> None:
    first = claim(ledger)
    add_attempts(
        ledger,
        *(
            an_attempt(first.id, number, kind=kind, outcome=outcome)
            for number, (kind, outcome) in enumerate(history, start=1)
        ),
    )
    end(ledger, first, RunState.WAITING)
    assert effect_open(ledger) is is_open
    step = claim(ledger).steps[2]
    assert (step.unresolved, step.attempts) == (is_open, len(history))


def test_effect_is_closed_when_its_step_is_done_or_its_generation_over(ledger: Ledger) -> None:
    held = claim(ledger)
    add_attempts(ledger, an_attempt(held.id, 1, outcome=Outcome.UNKNOWN))
    end(ledger, held, RunState.WAITING)
    put_run(ledger, SEAT, RunState.WAITING, generation=1)
    assert not effect_open(ledger)
    again = claim(ledger).steps[2]
    assert (again.attempts, again.unresolved, again.first_sent_at) == (1, False, None)
    put_run(ledger, SEAT, RunState.WAITING, generation=0)
    assert effect_open(ledger)
    with ledger.write() as connection:
        connection.execute(steps.update().values(state=StepState.DONE))
    assert not effect_open(ledger)


def test_attempts_of_a_step_that_is_gone_are_passed_over(ledger: Ledger) -> None:
    held = claim(ledger)
    add_attempts(ledger, an_attempt(held.id, 1, outcome=Outcome.UNKNOWN, step="add_customer_to_group_9"))
    end(ledger, held, RunState.WAITING)
    assert not effect_open(ledger)
    assert [step.attempts for step in claim(ledger).steps] == [0, 0, 0]


def test_nothing_is_asked_when_there_is_nothing_to_ask(ledger: Ledger) -> None:
    with ledger.read() as connection:
        assert effect_open_runs(connection, []) == set()
        assert views.accounted_results(connection, []) == set()


def test_effects_are_accounted_for_by_runs_and_by_attempts(ledger: Ledger) -> None:
    put_run(ledger, SEAT, RunState.SUCCEEDED, result_id="7001")
    add_attempts(ledger, an_attempt(run_of(ledger, OTHER_LANE).id, 1, outcome=Outcome.ADOPTED, result_id="7002"))
    with ledger.read() as connection:
        assert views.accounted_results(connection, ["7001", "7002", "7003"]) == {"7001", "7002"}


def test_oldest_due_run_of_the_lane_is_next_when_a_run_is_let_go(ledger: Ledger) -> None:
    def next_after(key: str) -> str | None:
        held = claim(ledger, key)
        end(ledger, held, RunState.WAITING, next_attempt_at=NOW)
        return held.next_in_lane

    assert next_after(SEAT) == run_of(ledger, SAME_LANE).id
    assert next_after(OTHER_LANE) is None
    put_run(ledger, SAME_LANE, RunState.WAITING, next_attempt_at=NOW + timedelta(seconds=1))
    assert next_after(SEAT) is None
    put_run(ledger, SAME_LANE, RunState.REVIEW)
    assert next_after(SEAT) is None


def test_run_is_locked_by_its_id_or_not_at_all(ledger: Ledger) -> None:
    with ledger.write() as connection:
        row = claims.lock_run(connection, run_of(ledger, SEAT).id, now=NOW + timedelta(days=1))
        assert row is not None
        assert row.updated_at == NOW + timedelta(days=1)
        assert claims.lock_run(connection, "none", now=NOW) is None


def test_trail_is_only_added_to(ledger: Ledger) -> None:
    for statement in (events.update().values(reason="x"), events.delete()):
        with pytest.raises(IntegrityError, match="events is only added to"), ledger.write() as connection:
            connection.execute(statement)
    with ledger.read() as connection:
        assert connection.execute(select(events)).all()
