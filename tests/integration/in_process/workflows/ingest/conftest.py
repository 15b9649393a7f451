"""A reader of notifications that trusts their bodies."""

from __future__ import annotations

import pytest

from tests.unit.workflows.fakes.storefront import START, Clock, FakeSource, a_hint_reader
from worker.ledger.session import Ledger
from workflows.ingest.deliveries import DeliveryReader, SourcePolicy
from workflows.planning.offers_file import OffersFile


@pytest.fixture
def trusting(ledger: Ledger, source: FakeSource, offers_reader: OffersFile, clock: Clock) -> DeliveryReader:
    return a_hint_reader(ledger, source, offers_reader, clock, policy=SourcePolicy(start_at=START, trust_webhook=True))
