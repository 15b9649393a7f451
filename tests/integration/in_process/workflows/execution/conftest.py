"""A LearningCart in memory, an executor that works at it, and the run that is planned."""

from __future__ import annotations

import pytest

from tests.unit.session_ledger import SessionLedger
from tests.unit.workflows.fakes.learningcart import KEY, FakeLearningCart, a_run, an_executor
from tests.unit.workflows.fakes.storefront import Clock, run_of
from worker.ledger.session import Ledger
from workflows.execution.executor import Executor


@pytest.fixture
def ledger(session_ledger: SessionLedger) -> Ledger:
    """The ledger with one planned run in it."""
    return session_ledger.filled_by(a_run)


@pytest.fixture
def learningcart() -> FakeLearningCart:
    return FakeLearningCart()


@pytest.fixture
def executor(ledger: Ledger, learningcart: FakeLearningCart, clock: Clock) -> Executor:
    return an_executor(ledger, learningcart, clock)


@pytest.fixture
def run_id(ledger: Ledger) -> str:
    return str(run_of(ledger, KEY).id)
