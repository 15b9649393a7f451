"""The operator's acts, and a planned seat."""

from __future__ import annotations

import pytest

from tests.unit.workflows.fakes.operations import SEAT
from tests.unit.workflows.fakes.storefront import Clock, an_order, record, run_of
from worker.ledger.session import Ledger
from workflows.ingest.deliveries import DeliveryReader
from workflows.operations.replay import Operations


@pytest.fixture
def operations(ledger: Ledger, reader: DeliveryReader, clock: Clock) -> Operations:
    return Operations(ledger, reader, check_source=str, clock=clock)


@pytest.fixture
def seat(ledger: Ledger) -> str:
    """The id of a planned run."""
    record(ledger, an_order())
    return str(run_of(ledger, SEAT).id)
