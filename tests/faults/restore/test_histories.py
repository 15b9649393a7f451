"""The states' tables against reality: what SQLite itself noted of simulated companies, and of what they never do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.faults.crash_points.crash_run import CrashRun
from tests.faults.crash_points.scenarios import SCENARIOS
from tests.faults.harness.product import ON_SQLITE, Rig
from tests.faults.restore import histories
from tests.faults.simulation.simulator import play
from tests.faults.simulation.world import FreshLedger
from worker.ledger.states import AttemptKind, Outcome

pytestmark = pytest.mark.faults

SEEDS = range(1, 9)
KILLED_EVERY = 5
"""Boundaries from one kill to the next, in one story: `crash_points/in_process.py` goes through all of all."""


def _one_more(kind: str, outcome: str, step: str) -> str:
    """The statement that adds an attempt after the one there is."""
    columns = "run_id, step, generation, fence, holder, started_at"
    return (
        f"INSERT INTO attempts ({columns}, number, kind, outcome) "  # noqa: S608  (no value of anybody's)
        f"SELECT {columns}, 2, {kind}, {outcome} FROM attempts WHERE step = '{step}'"
    )


@contextmanager
def looking_at(rig: Rig) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(str(rig.ledger.path))) as eyes:
        yield eyes


@pytest.fixture
def observed(rig: Rig) -> Rig:
    assert rig.ledger.path is not None
    histories.observe(rig.ledger.path)
    return rig


@pytest.fixture(scope="module")
def fresh() -> Iterator[FreshLedger]:
    with FreshLedger() as fresh:
        fresh.observe()
        histories.observe(fresh._template)
        yield fresh


def test_every_change_is_in_the_tables_when_companies_are_simulated(fresh: FreshLedger) -> None:
    strayed: list[str] = []
    kinds: set[str] = set()
    for seed in SEEDS:
        play(fresh, seed)
        with closing(fresh.look()) as eyes:
            strayed += [f"seed {seed}: {sentence}" for sentence in histories.strayed(eyes)]
            kinds |= {what for what, *_ in histories.changes(eyes)}
    assert strayed == []
    assert kinds >= {"run", "step", AttemptKind.CALL}


def test_every_change_is_in_the_tables_when_a_process_is_killed_anywhere(fresh: FreshLedger) -> None:
    strayed: list[str] = []
    seen: set[histories.Tried] = set()
    kinds: set[str] = set()
    for scenario in SCENARIOS:
        boundaries = len(CrashRun(fresh, scenario).run().reached) if scenario.name == "request lost" else 0
        for kills in ([], *([number] for number in range(0, boundaries, KILLED_EVERY))):
            result = CrashRun(fresh, scenario, kills).run()
            with closing(fresh.look()) as eyes:
                strayed += [f"{result}: {sentence}" for sentence in histories.strayed(eyes)]
                seen |= set(histories.sequences(eyes))
                kinds |= {what for what, *_ in histories.changes(eyes)}
    assert strayed == []
    assert {
        (AttemptKind.CALL, Outcome.UNKNOWN, AttemptKind.LOOKUP),
        (AttemptKind.LOOKUP, Outcome.ABSENT, AttemptKind.CALL),
    } <= seen
    assert kinds == {"run", "step", *AttemptKind}


@ON_SQLITE
def test_done_step_is_begun_anew_by_the_tables_when_an_operator_repeats_it(observed: Rig) -> None:
    run_id = observed.enrol()
    observed.finish()
    observed.runtime.operations.replay(
        run_id, actor="operator:test", from_step="add_comped_order", again=True, reason="it was deleted"
    )
    observed.finish()
    with looking_at(observed) as eyes:
        assert histories.strayed(eyes) == []
        assert ("step", "add_comped_order", "done", "pending") in histories.changes(eyes)


@ON_SQLITE
def test_done_step_is_begun_anew_by_the_tables_when_the_source_corrects_the_learner(observed: Rig) -> None:
    observed.sandbox.config.learningcart.prices = frozenset({1})
    observed.enrol()
    observed.finish()
    observed.sandbox.config.learningcart.prices = None
    observed.sell(7001, email="jane.doe@example.test")
    observed.ingest(7001)
    observed.finish()
    with looking_at(observed) as eyes:
        assert histories.strayed(eyes) == []
        assert ("step", "add_customer", "done", "pending") in histories.changes(eyes)
        assert (AttemptKind.CALL, Outcome.FINAL, AttemptKind.CALL) in histories.sequences(eyes)


@ON_SQLITE
@pytest.mark.parametrize(
    ("tampering", "sentence"),
    [
        ("UPDATE runs SET state = 'cancelled'", "a run went from succeeded to cancelled"),
        (
            "UPDATE attempts SET outcome = 'unknown' WHERE step = 'add_comped_order'",
            "a call add_comped_order went from ok to unknown",
        ),
        (
            _one_more("'lookup'", "'final'", "add_comped_order"),
            "a lookup add_comped_order went from None to final",
        ),
        (
            _one_more("kind", "NULL", "add_comped_order"),
            "a call followed a call that ended ok",
        ),
        (
            _one_more("kind", "NULL", "add_customer"),
            "a call add_customer went from None to open",
        ),
    ],
)
def test_change_is_told_when_it_is_in_no_table(observed: Rig, tampering: str, sentence: str) -> None:
    observed.enrol()
    observed.finish()
    with looking_at(observed) as eyes:
        assert histories.strayed(eyes) == []
        with eyes:
            eyes.execute(tampering)
        assert sentence in histories.strayed(eyes)
