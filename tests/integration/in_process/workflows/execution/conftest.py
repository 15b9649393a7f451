"""A LearningCart in memory, an executor that works at it, and the run that is planned."""

from __future__ import annotations

import pytest

from tests.unit.workflows.fakes.learningcart import KEY, Academy, an_executor
from tests.unit.workflows.fakes.storefront import Clock, run_of
from worker.ledger.session import Ledger
from workflows.execution.executor import Executor


@pytest.fixture
def academy() -> Academy:
    return Academy()


@pytest.fixture
def executor(ledger: Ledger, academy: Academy, clock: Clock) -> Executor:
    return an_executor(ledger, academy, clock)


@pytest.fixture
def run_id(ledger: Ledger) -> str:
    return str(run_of(ledger, KEY).id)
