from __future__ import annotations

from itertools import product

import pytest

from worker.errors import IllegalTransitionError
from worker.ledger.states import CLAIMABLE, FINISHED, RUN_TRANSITIONS, Actor, RunState, check_transition


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
