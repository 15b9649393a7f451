"""A migrated ledger on each database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from worker.ledger.session import Ledger


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    ledger = Ledger(database_url)
    ledger.migrate()
    yield ledger
    ledger.close()
