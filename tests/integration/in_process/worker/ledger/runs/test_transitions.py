from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Row

from tests.unit.session_ledger import SessionLedger
from tests.unit.workflows.fakes.storefront import JOHN, NOW, an_order, put_run, record, rows, run_of
from worker.errors import IllegalTransitionError
from worker.ledger.runs import transitions
from worker.ledger.runs.run_rows import change_grant, change_learner
from worker.ledger.runs.transitions import Ending, SeenRun
from worker.ledger.session import Ledger
from worker.ledger.sql import record_of
from worker.ledger.states import RUN_TRANSITIONS, Actor, RunState, StepState
from worker.ledger.tables.runs import Run, steps
from workflows.planning.model import KnownRun
from workflows.recording.known_runs import known_run

ROOT = Path(__file__).parents[6]
WRITER = "worker/ledger/runs/transitions.py"
INSERTER = "worker/ledger/runs/run_rows.py"
SEAT = "1109/1107/buyer/501"
LATER = NOW + timedelta(hours=1)
USED = {
    "reason": "some_reason",
    "note": "a note",
    "lease_holder": "worker-1",
    "lease_until": NOW,
    "next_attempt_at": NOW,
    "lane_shut_until": NOW,
    "dispatched_at": NOW,
    "dispatches": 3,
    "finished_at": NOW,
    "cancel_reason": "refunded_by_source",
    "cancelled_by": "source",
    "result_id": "7001",
}
"""What the state of before may have left."""


@pytest.fixture
def ledger(session_ledger: SessionLedger) -> Ledger:
    return session_ledger.filled_by(lambda ledger: record(ledger, an_order()))


Transition = Callable[[Connection, SeenRun], bool]

WAITING = Ending(RunState.WAITING, "worker_vanished", next_attempt_at=LATER)
TRANSITIONS: dict[str, tuple[Transition, dict[str, Any], frozenset[RunState]]] = {
    "recover": (
        lambda connection, run: transitions.recover(connection, run.id, WAITING, fence=run.fence, now=LATER),
        {"state": RunState.WAITING, "reason": "worker_vanished", "next_attempt_at": LATER, "lane_shut_until": NOW},
        frozenset({RunState.RUNNING}),
    ),
    "adopt": (
        lambda connection, run: transitions.adopt(connection, run.id, before=run.state, result_id="8", now=LATER),
        {"state": RunState.SUCCEEDED, "finished_at": LATER, "result_id": "8", "lane_shut_until": None},
        frozenset({RunState.WAITING, RunState.FAILED, RunState.REVIEW}),
    ),
    "cancel": (
        lambda connection, run: transitions.cancel(
            connection, run, actor=Actor.SOURCE, by="superseded", reason="superseded", now=LATER
        ),
        {"state": RunState.CANCELLED, "reason": "superseded", "finished_at": LATER, "cancelled_by": "superseded"},
        frozenset({RunState.PENDING, RunState.WAITING, RunState.FAILED, RunState.REVIEW}),
    ),
    "revive": (
        lambda connection, run: transitions.revive(
            connection, run, actor=Actor.SOURCE, reason=None, note=None, now=LATER
        ),
        {"state": RunState.PENDING, "next_attempt_at": LATER, "cancelled_by": None, "cancel_reason": None},
        frozenset({RunState.CANCELLED, RunState.FAILED, RunState.REVIEW}),
    ),
    "revive into review": (
        lambda connection, run: transitions.revive(
            connection, run, actor=Actor.OPERATOR, reason="unnamed_seat", note="who?", now=LATER
        ),
        {"state": RunState.REVIEW, "reason": "unnamed_seat", "note": "who?", "cancelled_by": None},
        frozenset({RunState.PENDING, RunState.WAITING, RunState.FAILED, RunState.CANCELLED}),
    ),
    "start over": (
        lambda connection, run: transitions.start_over(connection, run, actor=Actor.SOURCE, now=LATER),
        {"state": RunState.PENDING, "next_attempt_at": LATER, "cancel_reason": "refunded_by_source"},
        frozenset({RunState.FAILED, RunState.REVIEW, RunState.CANCELLED}),
    ),
    "restart": (
        lambda connection, run: transitions.restart(
            connection, run, keeps_lane_shut=True, cancel_reason="refunded_by_source", now=LATER
        ),
        {"state": RunState.PENDING, "next_attempt_at": LATER, "lane_shut_until": NOW, "cancelled_by": None},
        frozenset(RunState) - {RunState.RUNNING},
    ),
    "repeat": (
        lambda connection, run: transitions.repeat(
            connection,
            run,
            step_names=["add_comped_order"],
            keeps_lane_shut=False,
            generation=4,
            result_id=None,
            now=LATER,
        ),
        {"state": RunState.PENDING, "generation": 4, "result_id": None, "lane_shut_until": None, "cancel_reason": None},
        frozenset(RunState) - {RunState.RUNNING},
    ),
    "resolve": (
        lambda connection, run: transitions.resolve(
            connection, run, reason="done_by_hand", note="done", result_id="9", now=LATER
        ),
        {"state": RunState.SUCCEEDED, "note": "done", "result_id": "9", "finished_at": LATER, "lane_shut_until": None},
        frozenset({RunState.PENDING, RunState.WAITING, RunState.FAILED, RunState.REVIEW}),
    ),
    "cancel by hand": (
        lambda connection, run: transitions.cancel_by_hand(connection, run, reason="by_operator", now=LATER),
        {"state": RunState.CANCELLED, "note": "a note", "cancelled_by": "operator", "lane_shut_until": None},
        frozenset({RunState.PENDING, RunState.WAITING, RunState.FAILED, RunState.REVIEW}),
    ),
    "reopen": (
        lambda connection, run: transitions.reopen(connection, run, reason="reopened", now=LATER),
        {"state": RunState.REVIEW, "reason": "reopened", "note": None, "cancelled_by": None, "result_id": "7001"},
        frozenset({RunState.SUCCEEDED, RunState.CANCELLED}),
    ),
}


def as_known(row: Row[Any], *, effect_open: bool = False) -> KnownRun:
    return known_run(record_of(Run, row), effect_open=effect_open)


@pytest.mark.parametrize("state", RunState)
@pytest.mark.parametrize("name", TRANSITIONS)
def test_columns_go_with_the_state_when_a_run_is_moved(ledger: Ledger, name: str, state: RunState) -> None:
    move, expected, allowed = TRANSITIONS[name]
    put_run(ledger, SEAT, state, **USED)
    before = run_of(ledger, SEAT)
    if state not in allowed and name != "recover":
        with pytest.raises(IllegalTransitionError), ledger.write() as connection:
            move(connection, as_known(before))
        return
    with ledger.write() as connection:
        moved = move(connection, as_known(before))
    row = run_of(ledger, SEAT)
    if state not in allowed:
        assert not moved
        assert row == before
        return
    assert moved
    assert {column: getattr(row, column) for column in expected} == expected
    assert (row.lease_holder, row.lease_until, row.dispatched_at, row.dispatches) == (None, None, None, 0)
    assert row.finished_at == (LATER if row.state in {RunState.SUCCEEDED, RunState.CANCELLED} else None)
    assert row.next_attempt_at == (LATER if row.state in {RunState.PENDING, RunState.WAITING} else None)
    assert (row.updated_at, row.fence) == (LATER, before.fence)


@pytest.mark.parametrize("name", TRANSITIONS)
@pytest.mark.parametrize("changed", [{"fence": 7}, {"state": RunState.SUCCEEDED}])
def test_nothing_is_moved_when_the_run_is_not_what_was_seen(ledger: Ledger, name: str, changed: dict[str, Any]) -> None:
    move, _, allowed = TRANSITIONS[name]
    seen = min(allowed - {RunState.SUCCEEDED, RunState.PENDING})
    put_run(ledger, SEAT, seen)
    known = as_known(run_of(ledger, SEAT))
    put_run(ledger, SEAT, **({"state": seen} | changed))
    before = run_of(ledger, SEAT)
    if name == "adopt" and "fence" in changed:
        return  # its caller has locked the row
    with ledger.write() as connection:
        assert not move(connection, known)
    assert run_of(ledger, SEAT) == before


@pytest.mark.parametrize(("name", "counted"), [("revive", [0, 4, 0]), ("restart", [0, 4, 0]), ("repeat", [4, 4, 0])])
def test_attempts_are_to_be_had_again_when_a_run_starts_anew(ledger: Ledger, name: str, counted: list[int]) -> None:
    put_run(ledger, SEAT, RunState.FAILED)
    with ledger.write() as connection:
        connection.execute(steps.update().values(counted=4))
        connection.execute(steps.update().where(steps.c.position == 1).values(state=StepState.DONE))
        assert TRANSITIONS[name][0](connection, as_known(run_of(ledger, SEAT)))
    found = sorted(rows(ledger, steps), key=lambda step: step.position)
    assert [step.counted for step in found] == counted
    assert found[1].state == StepState.DONE


def test_cancellation_is_asked_for_and_withdrawn_without_a_transition(ledger: Ledger) -> None:
    put_run(ledger, SEAT, RunState.WAITING)
    known = as_known(run_of(ledger, SEAT), effect_open=True)
    for reason in ("refunded_by_source", None):
        with ledger.write() as connection:
            assert transitions.request_cancel(connection, known, reason, now=LATER)
        assert (run_of(ledger, SEAT).state, run_of(ledger, SEAT).cancel_reason) == (RunState.WAITING, reason)
    with ledger.write() as connection:
        assert not transitions.request_cancel(connection, replace(known, state=RunState.FAILED), "why", now=LATER)


def test_holder_is_fenced_out_when_a_person_is_asked_about_a_run(ledger: Ledger) -> None:
    put_run(ledger, SEAT, RunState.RUNNING, **USED)
    before = run_of(ledger, SEAT)
    with ledger.write() as connection:
        transitions.ask_about(connection, [before.id], reason="learner_erased", note="who was it?", now=LATER)
    row = run_of(ledger, SEAT)
    assert (row.state, row.reason, row.note, row.fence) == ("review", "learner_erased", "who was it?", before.fence + 1)
    assert (row.lease_holder, row.lease_until, row.next_attempt_at, row.finished_at) == (None, None, None, None)


def test_steps_stay_when_the_run_to_be_changed_was_claimed_meanwhile(ledger: Ledger) -> None:
    put_run(ledger, SEAT, RunState.RUNNING, fence=1)
    run_id = run_of(ledger, SEAT).id
    with ledger.write() as connection:
        connection.execute(steps.update().values(state=StepState.DONE))
        for state, fence in ((RunState.PENDING, 1), (RunState.RUNNING, 0)):
            seen = {"state": state, "fence": fence}
            assert not change_learner(connection, run_id, JOHN, **seen, now=LATER)  # type: ignore[arg-type]
            assert not change_grant(connection, run_id, {}, ["other"], **seen, now=LATER)  # type: ignore[arg-type]
    assert [(step.name, step.state) for step in rows(ledger, steps)] == [
        ("add_customer", "done"),
        ("add_customer_to_group", "done"),
        ("add_comped_order", "done"),
    ]
    with ledger.write() as connection:
        assert change_learner(connection, run_id, JOHN, state=RunState.RUNNING, fence=1, now=LATER)
        assert change_grant(connection, run_id, {"price_id": 1}, ["other"], state=None, fence=None, now=LATER)
    assert run_of(ledger, SEAT).grant == {"price_id": 1}
    assert [(step.name, step.state) for step in rows(ledger, steps)] == [("other", "pending")]


# One writer


def test_every_transition_of_the_table_has_its_function() -> None:
    """Claim and release are what the tests of claims try; together with those above they cover the table."""
    covered = {(before, TRANSITIONS[name][1]["state"]) for name in TRANSITIONS for before in TRANSITIONS[name][2]}
    covered |= {(before, RunState.RUNNING) for before in (RunState.PENDING, RunState.WAITING)}
    covered |= {(RunState.RUNNING, after) for after in RUN_TRANSITIONS[RunState.RUNNING]}
    assert {(before, after) for before, afters in RUN_TRANSITIONS.items() for after in afters} <= covered


def product() -> Iterator[tuple[str, ast.Module]]:
    for package in ("worker", "workflows", "tasks"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def is_table(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"runs", "Run"}


def calls(tree: ast.AST, verb: str) -> Iterator[ast.Call]:
    """The calls that `verb` the table of runs: `update(runs)`, `runs.update()`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        of_table = isinstance(node.func, ast.Attribute) and node.func.attr == verb and is_table(node.func.value)
        named = isinstance(node.func, ast.Name) and node.func.id == verb and any(is_table(each) for each in node.args)
        if of_table or named:
            yield node


def is_lease(node: ast.expr) -> bool:
    """Columns that `worker.ledger.leases` gives: none is a state."""
    return isinstance(node, ast.Call) and ast.unparse(node.func).startswith("leases.")


def writes_state(tree: ast.AST) -> bool:
    """Whether a statement built here sets a run's `state`, or may: it sets columns that nobody can read here."""
    for scope in ast.walk(tree):
        if not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef) or not any(calls(scope, "update")):
            continue
        for node in ast.walk(scope):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr != "values":
                continue
            chained = any(calls(node.func.value, "update")) or isinstance(node.func.value, ast.Name)
            named = {keyword.arg for keyword in node.keywords if not is_lease(keyword.value)}
            if chained and (node.args or {"state", None} & named):
                return True
    return False


def test_run_states_have_one_writer() -> None:
    assert {name for name, tree in product() if writes_state(tree)} == {WRITER}


def test_runs_are_inserted_in_one_place() -> None:
    inserters = {
        name
        for name, tree in product()
        for verb in ("insert", "insert_new", "insert_ignoring", "merge")
        if any(calls(tree, verb))
    }
    assert inserters == {INSERTER}


def test_no_written_statement_goes_round_the_writer() -> None:
    texts = {
        name
        for name, tree in product()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and any(words in " ".join(node.value.lower().split()) for words in ("update runs", "insert into runs"))
    }
    assert texts == set()


@pytest.mark.parametrize(
    "code",
    [
        "def f(c):\n    c.execute(update(runs).where(runs.c.id == 1).values(state='failed'))",
        "def f(c):\n    c.execute(runs.update().values({'state': 'failed'}))",
        "def f(c, **values):\n    c.execute(update(runs).values(note='', **values))",
        "def f(c):\n    one = update(runs)\n    c.execute(one.values(state='failed'))",
    ],
)
def test_second_writer_is_found_when_there_is_one(code: str) -> None:
    assert writes_state(ast.parse(code))
