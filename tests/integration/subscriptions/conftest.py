"""A shop whose subscriptions are polled."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.in_process.conftest import ledger
from tests.integration.in_process.workflows.conftest import clock, offers_reader, reader, shop, source
from tests.integration.subscriptions.watched import IGNORING_TEXT, Watched
from tests.unit.workflows.fakes.storefront import Clock
from worker.ledger.session import Ledger
from workflows.planning.offers_file import OffersFile

__all__ = ["clock", "ledger", "offers_reader", "reader", "shop", "source"]


@pytest.fixture
def offers_file(tmp_path: Any) -> Any:
    path = tmp_path / "offers.toml"
    path.write_text(IGNORING_TEXT)
    return path


@pytest.fixture
def watched(ledger: Ledger, offers_reader: OffersFile, clock: Clock) -> Watched:
    return Watched(ledger, offers_reader, clock)
