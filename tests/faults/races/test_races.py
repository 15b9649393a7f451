"""Races: a few trials of what `python -m tests.faults.races` does by the hundred, and that its verdict can fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.faults.harness.product import ON_SQLITE
from tests.faults.harness.sales import Sale
from tests.faults.races.actors import Storm
from tests.faults.races.batch import POSTGRESQL, SQLITE, batches_of, engine_of
from tests.faults.races.deployment import Company
from tests.faults.races.trial import run_trial
from tests.faults.races.verdict import judge
from worker.ledger.states import DeliveryState
from worker.ledger.tables.runs import attempts, deliveries, runs

pytestmark = pytest.mark.faults

TRIALS = 5


@pytest.fixture
def company(ledger_url: str, tmp_path: Path) -> Iterator[Company]:
    with Company(ledger_url, tmp_path) as running:
        yield running


@pytest.fixture
def stormed(company: Company) -> tuple[Company, list[Sale], Storm]:
    """A company after an undisturbed storm about one purchase."""
    sales = company.sell(Random(1), seed=1)
    storm = Storm(company, sales, Random(1))
    storm.break_loose()
    assert storm.calm_down()
    return company, sales, storm


def test_each_seat_is_one_run_and_one_comped_order_when_everything_meets(company: Company) -> None:
    trials = [run_trial(company, seed) for seed in range(1, TRIALS + 1)]
    assert [sentence for trial in trials for sentence in trial.verdict.violations] == []
    assert [trial.verdict.runs for trial in trials] == [trial.verdict.comped_orders for trial in trials]
    assert min(trial.verdict.runs for trial in trials) >= 1


@ON_SQLITE
def test_violation_is_told_when_a_comped_order_is_doubled(stormed: tuple[Company, list[Sale], Storm]) -> None:
    company, sales, storm = stormed
    seat = sales[0].seats[0]
    customer = company.sandbox.learningcart.customer_of(seat.email)
    assert customer is not None
    company.processes[0].clients["learningcart"].add_comp_order(
        customer.id, seat.price_ids[0], f"{seat.source} order {seat.order_id}"
    )
    verdict = judge(company, sales, storm.arrivals, disturbed=False)
    assert (verdict.lost, verdict.doubled) == (0, 1)
    assert any("2 comped orders" in sentence for sentence in verdict.violations)


@ON_SQLITE
def test_violation_is_told_when_the_ledger_is_tampered_with(stormed: tuple[Company, list[Sale], Storm]) -> None:
    company, sales, storm = stormed
    assert judge(company, sales, storm.arrivals, disturbed=False).violations == []
    with company.ledger.write() as connection:
        connection.execute(runs.update().values(fence=runs.c.fence + 1))
        connection.execute(deliveries.update().values(state=DeliveryState.WAITING))
        connection.execute(attempts.update().values(finished_at=None))
    reported = " ".join(judge(company, sales, storm.arrivals, disturbed=False).violations)
    for words in ("claims; its history tells of", "is waiting", "in one lane"):
        assert words in reported


@ON_SQLITE
def test_violation_is_told_when_two_calls_for_one_customer_overlap(company: Company) -> None:
    company.site.longest_delay_seconds = 0.05
    client = company.processes[0].clients["learningcart"]
    customer = company.sandbox.learningcart.add_customer("jane@example.test")
    futures = [company.actors.submit(client.add_customer_to_group, customer.id, group_id) for group_id in range(1, 9)]
    for future in futures:
        future.result(30)
    assert company.site.overlaps


@ON_SQLITE
def test_trial_fails_when_a_worker_does(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object, **__: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(company.processes[0].executor, "claim", break_down)
    monkeypatch.setattr(company.processes[1].executor, "claim", break_down)
    violations = [sentence for seed in range(1, TRIALS + 1) for sentence in run_trial(company, seed).verdict.violations]
    assert any("RuntimeError: planted" in sentence for sentence in violations)


def test_three_of_five_seeds_are_on_postgresql_when_seeds_follow_one_another() -> None:
    engines = [engine_of(seed) for seed in range(1, 501)]
    assert (engines.count(POSTGRESQL), engines.count(SQLITE)) == (300, 200)


def test_every_seed_is_in_one_batch_of_its_engine_when_batches_are_made() -> None:
    batches = batches_of(range(1, 124))
    assert sorted(seed for batch in batches for seed in batch.seeds) == list(range(1, 124))
    assert all(engine_of(seed) == batch.engine for batch in batches for seed in batch.seeds)
