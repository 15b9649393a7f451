"""Steps of each kind of repeat, as the last of a run and before others: what an unknown outcome leads to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from tests.unit.session_ledger import SessionLedger
from tests.unit.workflows.fakes.learningcart import LEASE_SECONDS, PATIENCE, FakeLearningCart, api_error, step_of
from tests.unit.workflows.fakes.storefront import JANE, NOW, Clock, rows
from worker.errors import ApiTimeoutError, ServerError
from worker.ledger.runs import claims, due
from worker.ledger.runs.assignment import Share
from worker.ledger.runs.held import HeldRun
from worker.ledger.runs.run_rows import NewRun, insert_run
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.runs import attempts, pauses, runs, steps
from worker.reasons import Reason
from workflows.execution.executor import Executor, Timing
from workflows.execution.retry_policy import RetryPolicy
from workflows.execution.steps import Call, Lookup, PlannedStep, Repeat, StepDefinition, StepResult, StopError, Workflow


@dataclass
class TwoSteps:
    """Two steps that do what they are told: `errors` are raised by the next calls of a step, and `calls` counted."""

    first: Repeat
    second: Repeat = Repeat.SAFE
    errors: dict[str, list[Exception]] = field(default_factory=dict)
    finds: tuple[str, ...] = ()
    calls: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    """By step: what its result has noted in its transaction."""

    def workflow(self) -> Workflow:
        definitions = tuple(
            StepDefinition(
                name,
                "learningcart",
                self.act,
                self.look_up if repeat is Repeat.ASK else None,
                repeat,
            )
            for name, repeat in (("first", self.first), ("second", self.second))
        )
        return Workflow("two_steps", definitions, lambda _planned: tuple(PlannedStep(d.kind, d) for d in definitions))

    def act(self, call: Call) -> StepResult:
        self.calls.append(call.step)
        if self.errors.get(call.step):
            raise self.errors[call.step].pop(0)
        note = self.notes.get(call.step)
        return StepResult({"attempt": call.attempt}, f"id-{call.step}", None if note is None else noting(note))

    def look_up(self, call: Call, _since: datetime) -> Lookup:
        self.calls.append(f"look up {call.step}")
        if self.errors.get("look_up"):
            raise self.errors["look_up"].pop(0)
        return Lookup(found=self.finds, output={"was": "there"}, result_name="number")


def noting(text: str) -> Any:
    def then(connection: Connection, now: datetime) -> None:
        connection.execute(insert(pauses).values(system=text, kind="note", reason="", actor="engine", since=now))

    return then


@pytest.fixture
def ledger(session_ledger: SessionLedger) -> Ledger:
    return session_ledger.emptied()


def executor(ledger: Ledger, two_steps: TwoSteps, clock: Clock, holder: str = "worker-1") -> Executor:
    return Executor(
        ledger,
        {"two_steps": two_steps.workflow()},
        {"learningcart": FakeLearningCart()},
        timing=Timing(lease_seconds=LEASE_SECONDS, call_seconds={"learningcart": 35.0}),
        retry_policy=RetryPolicy(PATIENCE, Random(1)),
        holder=holder,
        clock=clock,
    )


def plan(ledger: Ledger, grant: Mapping[str, Any] | None = None) -> str:
    with ledger.write() as connection:
        run_id = insert_run(
            connection,
            NewRun(
                key="two_steps/1",
                workflow="two_steps",
                state=RunState.PENDING,
                source="learningcart",
                order_id=None,
                line_id="-",
                seat_id="-",
                learner=JANE,
                grant=dict(grant or {"any": "thing"}),
                step_names=["first", "second"],
            ),
            now=NOW,
        )
    assert run_id is not None
    return run_id


def work(by: Executor, run_id: str) -> HeldRun:
    held = by.claim(run_id, "learningcart")
    assert held is not None
    while (planned := next(iter(by.steps_left(held)), None)) is not None and by.perform(held, planned):
        pass
    return held


def state(ledger: Ledger) -> tuple[str, str | None]:
    (run,) = rows(ledger, runs)
    return run.state, run.reason


def tried(ledger: Ledger, step: str = "first") -> list[tuple[str, str | None]]:
    return [(row.kind, row.outcome) for row in rows(ledger, attempts) if row.step == step]


@pytest.mark.parametrize("repeat", Repeat)
def test_effect_of_the_run_is_its_last_steps_when_all_goes_well(ledger: Ledger, clock: Clock, repeat: Repeat) -> None:
    two_steps = TwoSteps(repeat)
    run_id = plan(ledger)
    work(executor(ledger, two_steps, clock), run_id)
    (run,) = rows(ledger, runs)
    assert (run.state, run.result_id) == ("succeeded", "id-second")
    assert [row.output["attempt"] for row in rows(ledger, steps)] == [0 if repeat is Repeat.SAFE else 1, 0]


def test_harmless_call_is_repeated_after_the_settle_time_when_its_outcome_is_unknown(
    ledger: Ledger, clock: Clock
) -> None:
    two_steps = TwoSteps(Repeat.HARMLESS, errors={"first": [api_error(ApiTimeoutError, unknown=True)]})
    run_id = plan(ledger)
    by = executor(ledger, two_steps, clock)
    work(by, run_id)
    (run,) = rows(ledger, runs)
    assert (run.state, run.reason, run.lane_shut_until) == ("waiting", "settling", run.next_attempt_at)
    assert by.claim(run_id, "learningcart") is None
    clock.advance(seconds=PATIENCE.settle_seconds)
    work(by, run_id)
    assert state(ledger) == ("succeeded", None)
    assert tried(ledger) == [("call", "unknown"), ("call", "ok")]


def test_harmless_call_has_failed_when_every_outcome_stays_unknown(ledger: Ledger, clock: Clock) -> None:
    lost: list[Exception] = [api_error(ApiTimeoutError, unknown=True) for _ in range(9)]
    two_steps = TwoSteps(Repeat.HARMLESS, errors={"first": lost})
    run_id = plan(ledger)
    for _ in range(PATIENCE.max_attempts + 1):
        work(executor(ledger, two_steps, clock), run_id)
        clock.advance(hours=1)
    assert state(ledger) == ("failed", "attempts_spent")
    assert two_steps.calls == ["first"] * PATIENCE.max_attempts


@pytest.mark.parametrize("error", [api_error(ApiTimeoutError, unknown=True), RuntimeError("ours")])
def test_run_is_in_review_when_a_call_that_is_never_repeated_has_an_unknown_outcome(
    ledger: Ledger, clock: Clock, error: Exception
) -> None:
    two_steps = TwoSteps(Repeat.NEVER, errors={"first": [error]})
    run_id = plan(ledger)
    work(executor(ledger, two_steps, clock), run_id)
    (run,) = rows(ledger, runs)
    assert (run.state, run.reason, run.next_attempt_at) == ("review", "outcome_unknown", None)
    assert run.note == "Whether first was carried out by learningcart cannot be asked."
    with ledger.write() as connection:
        connection.execute(runs.update().values(state="pending", lane_shut_until=None))
    work(executor(ledger, two_steps, clock), run_id)
    assert state(ledger) == ("review", "outcome_unknown")
    assert two_steps.calls == ["first"]


def test_call_that_is_never_repeated_is_tried_again_when_it_was_not_carried_out(ledger: Ledger, clock: Clock) -> None:
    two_steps = TwoSteps(Repeat.NEVER, errors={"first": [api_error(ServerError, status=503)]})
    run_id = plan(ledger)
    work(executor(ledger, two_steps, clock), run_id)
    assert state(ledger) == ("waiting", "retrying")
    clock.advance(hours=1)
    work(executor(ledger, two_steps, clock), run_id)
    assert state(ledger) == ("succeeded", None)


@pytest.mark.parametrize(
    ("repeat", "ended", "calls"),
    [
        (Repeat.ASK, ("succeeded", None), ["look up first", "second"]),
        (Repeat.HARMLESS, ("succeeded", None), ["first", "second"]),
        (Repeat.NEVER, ("review", "outcome_unknown"), []),
    ],
)
def test_open_intent_is_an_unknown_outcome_when_its_worker_vanished(
    ledger: Ledger, clock: Clock, repeat: Repeat, ended: tuple[str, str | None], calls: list[str]
) -> None:
    two_steps = TwoSteps(repeat, finds=("77",))
    run_id = plan(ledger)
    held = executor(ledger, two_steps, clock).claim(run_id, "learningcart")
    assert held is not None
    with ledger.write() as connection:
        step = step_of(held, "first")
        claims.write_intent(connection, held, step, reference="cb-x", now=clock(), lease_seconds=LEASE_SECONDS)
    clock.advance(seconds=LEASE_SECONDS)
    with ledger.write() as connection:
        due.recover_orphans(connection, now=clock(), settle_seconds=45, max_attempts=12, backoff_seconds=2)
    clock.advance(seconds=45)
    work(executor(ledger, two_steps, clock, "worker-2"), run_id)
    assert state(ledger) == ended
    assert two_steps.calls == calls


def test_found_effect_is_kept_and_the_next_step_follows_when_another_comes_after(ledger: Ledger, clock: Clock) -> None:
    two_steps = TwoSteps(Repeat.ASK, finds=("77",), errors={"first": [api_error(ApiTimeoutError, unknown=True)]})
    run_id = plan(ledger)
    work(executor(ledger, two_steps, clock), run_id)
    clock.advance(seconds=PATIENCE.settle_seconds)
    work(executor(ledger, two_steps, clock), run_id)
    assert state(ledger) == ("succeeded", None)
    assert two_steps.calls == ["first", "look up first", "second"]
    assert rows(ledger, steps)[0].output == {"was": "there", "number": "77"}


# What is committed with a result


@pytest.mark.parametrize("repeat", Repeat)
def test_what_a_result_wants_committed_is_there_before_the_next_step_when_it_is_not_the_last(
    ledger: Ledger, clock: Clock, repeat: Repeat
) -> None:
    two_steps = TwoSteps(repeat, errors={"second": [KeyboardInterrupt()]}, notes={"first": "kept"})  # type: ignore[list-item]
    run_id = plan(ledger)
    with pytest.raises(KeyboardInterrupt):
        work(executor(ledger, two_steps, clock), run_id)
    assert [row.system for row in rows(ledger, pauses)] == ["kept"]
    assert [row.state for row in rows(ledger, steps)] == ["done", "pending"]


@pytest.mark.parametrize("second", [Repeat.SAFE, Repeat.NEVER])
def test_what_the_last_result_wants_committed_is_there_once_when_the_run_ends(
    ledger: Ledger, clock: Clock, second: Repeat
) -> None:
    two_steps = TwoSteps(Repeat.SAFE, second, notes={"second": "kept"})
    work(executor(ledger, two_steps, clock), plan(ledger))
    assert [row.system for row in rows(ledger, pauses)] == ["kept"]
    assert state(ledger) == ("succeeded", None)


@pytest.mark.parametrize(("repeat", "kept"), [(Repeat.SAFE, []), (Repeat.NEVER, ["kept"])])
def test_result_of_a_lost_run_is_kept_when_its_step_is_not_safe_to_repeat(
    ledger: Ledger, clock: Clock, repeat: Repeat, kept: list[str]
) -> None:
    two_steps = TwoSteps(repeat, notes={"first": "kept"})
    run_id = plan(ledger)
    by = executor(ledger, two_steps, clock)
    held = by.claim(run_id, "learningcart")
    assert held is not None
    planned = next(iter(by.steps_left(held)), None)
    assert planned is not None
    act = two_steps.act

    def lose_it(call: Call) -> StepResult:
        with ledger.write() as connection:
            connection.execute(runs.update().values(fence=9, lease_holder="worker-2"))
        return act(call)

    lost = StepDefinition("first", "learningcart", lose_it, repeat=repeat)
    assert by.perform(held, PlannedStep("first", lost)) is False
    assert [row.system for row in rows(ledger, pauses)] == kept
    assert rows(ledger, runs)[0].result_id is None  # an earlier step's effect is not the run's
    assert state(ledger) == ("running", None)


# What ends a run


@pytest.mark.parametrize("repeat", Repeat)
@pytest.mark.parametrize("end", [RunState.REVIEW, RunState.CANCELLED])
def test_run_ends_as_a_call_says_when_it_finds_that_nothing_is_to_be_sent(
    ledger: Ledger, clock: Clock, repeat: Repeat, end: RunState
) -> None:
    found = StopError("It is there.", reason=Reason.ALREADY_BOUGHT, state=end)
    run_id = plan(ledger)
    work(executor(ledger, TwoSteps(repeat, errors={"first": [found]}), clock), run_id)
    (run,) = rows(ledger, runs)
    assert (run.state, run.reason, run.note, run.lease_holder) == (end, "already_bought", "It is there.", None)
    assert tried(ledger) == [("call", "final")]
    assert rows(ledger, attempts)[0].error == "It is there."


def test_run_ends_as_a_lookup_says_when_what_it_finds_is_for_a_person(ledger: Ledger, clock: Clock) -> None:
    stop = StopError("There are two.", reason=Reason.CART_DIFFERS)
    errors = {"first": [api_error(ApiTimeoutError, unknown=True)], "look_up": [stop]}
    two_steps = TwoSteps(Repeat.ASK, errors=errors)  # type: ignore[arg-type]
    run_id = plan(ledger)
    work(executor(ledger, two_steps, clock), run_id)
    clock.advance(seconds=PATIENCE.settle_seconds)
    work(executor(ledger, two_steps, clock), run_id)
    assert state(ledger) == ("review", "cart_differs")
    assert tried(ledger) == [("call", "unknown"), ("lookup", "unknown")]


# Whose turn it is


def test_run_is_taken_for_the_destination_of_its_next_step_when_its_workflow_has_several(
    ledger: Ledger, clock: Clock
) -> None:
    run_id = plan(ledger)
    shares = {
        "learningcart": Share(frozenset({"enrolment"}), {"two_steps": ("first",)}),
        "mail": Share(steps={"two_steps": ("second",)}),
        "threedcart": Share(frozenset({"follow_on"})),
    }

    def taken() -> list[str]:
        found = []
        with ledger.write() as connection:
            for system, share in shares.items():
                ids = due.take_due_runs(connection, now=clock(), system=system, limit=9, share=share)
                found += [system for each in ids if each == run_id]
        clock.advance(minutes=2)
        return found

    assert taken() == ["learningcart"]
    with ledger.write() as connection:
        connection.execute(steps.update().where(steps.c.name == "first").values(state="done"))
    assert taken() == ["mail"]
