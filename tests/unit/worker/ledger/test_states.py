from __future__ import annotations

from itertools import product

import pytest

from worker.errors import IllegalTransitionError
from worker.ledger.states import (
    CLAIMABLE,
    FINISHED,
    NEXT_ATTEMPTS,
    RUN_BEGINNINGS,
    RUN_TRANSITIONS,
    STEP_TRANSITIONS,
    Actor,
    AttemptKind,
    Outcome,
    RunState,
    StepState,
    check_transition,
)


def allowed(actor: Actor) -> set[tuple[str, str]]:
    found = set()
    for before, after in product(RunState, RunState):
        try:
            check_transition(before, after, actor)
        except IllegalTransitionError:
            continue
        found.add((str(before), str(after)))
    return found


def test_every_state_has_its_row() -> None:
    assert set(RUN_TRANSITIONS) == set(RunState)
    assert all(actors for row in RUN_TRANSITIONS.values() for actors in row.values())


def test_source_never_touches_what_runs_or_has_succeeded() -> None:
    assert {before for before, _ in allowed(Actor.SOURCE)}.isdisjoint({"running", "succeeded"})
    assert {before for before, _ in allowed(Actor.OPERATOR)}.isdisjoint({"running"})


def test_source_moves_what_it_may() -> None:
    assert allowed(Actor.SOURCE) == {
        ("pending", "cancelled"),
        ("pending", "review"),
        ("waiting", "cancelled"),
        ("waiting", "review"),
        ("failed", "pending"),
        ("failed", "cancelled"),
        ("failed", "review"),
        ("review", "pending"),
        ("review", "cancelled"),
        ("cancelled", "pending"),
        ("cancelled", "review"),
    }


def test_operator_gets_a_run_out_of_failed_and_review_in_three_ways() -> None:
    for before in ("failed", "review"):
        assert {after for state, after in allowed(Actor.OPERATOR) if state == before} == {
            "pending",
            "succeeded",
            "cancelled",
        }


def test_only_the_operator_begins_a_finished_run_anew() -> None:
    assert ("succeeded", "pending") in allowed(Actor.OPERATOR)
    assert not any(before == "succeeded" for before, _ in allowed(Actor.SOURCE) | allowed(Actor.ENGINE))


def test_only_the_engine_starts_and_ends_work() -> None:
    for actor in (Actor.SOURCE, Actor.OPERATOR):
        assert not any("running" in move for move in allowed(actor))
    running = {after for before, after in allowed(Actor.ENGINE) if before == "running"}
    assert running == {"succeeded", "waiting", "failed", "review", "cancelled"}


@pytest.mark.parametrize("state", list(RunState))
def test_every_state_but_success_has_a_way_out_and_none_leads_to_itself(state: RunState) -> None:
    assert state not in RUN_TRANSITIONS[state]
    assert RUN_TRANSITIONS[state]


def test_work_is_claimed_only_from_pending_and_waiting() -> None:
    assert {RunState.PENDING, RunState.WAITING} == CLAIMABLE
    assert {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED} == FINISHED


def test_refusal_names_the_actor_and_both_states() -> None:
    with pytest.raises(IllegalTransitionError, match="the source may not move a run from succeeded to cancelled"):
        check_transition(RunState.SUCCEEDED, RunState.CANCELLED, Actor.SOURCE)


def test_step_is_done_by_the_engine_alone_and_begun_anew_by_others_alone() -> None:
    assert set(STEP_TRANSITIONS) == set(StepState)
    assert STEP_TRANSITIONS[StepState.PENDING] == {StepState.DONE: {Actor.ENGINE}}
    assert STEP_TRANSITIONS[StepState.DONE] == {StepState.PENDING: {Actor.SOURCE, Actor.OPERATOR}}


def test_every_kind_and_every_outcome_is_in_the_table_of_attempts() -> None:
    assert set(NEXT_ATTEMPTS) == set(AttemptKind)
    assert {outcome for ends in NEXT_ATTEMPTS.values() for outcome in ends} == set(Outcome)


def test_nothing_is_sent_after_an_unknown_outcome_until_absence_is_proven() -> None:
    """Followed from an unknown call to whatever may be tried next, a call is reached by a proof of absence alone."""
    proofs = {
        outcome for outcome, following in NEXT_ATTEMPTS[AttemptKind.LOOKUP].items() if AttemptKind.CALL in following
    }
    assert NEXT_ATTEMPTS[AttemptKind.CALL][Outcome.UNKNOWN] == {AttemptKind.LOOKUP}
    assert proofs == {Outcome.ABSENT}


def test_nothing_is_tried_after_an_effect_is_known() -> None:
    assert not NEXT_ATTEMPTS[AttemptKind.CALL][Outcome.OK]
    assert not NEXT_ATTEMPTS[AttemptKind.LOOKUP][Outcome.ADOPTED]


def test_run_is_never_planned_as_if_it_had_been_worked_on() -> None:
    assert {RunState.PENDING, RunState.REVIEW} == RUN_BEGINNINGS
