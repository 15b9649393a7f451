"""The operator's page on an empty ledger, asked without a socket; `operator` is signed in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.web.browsing import Browser, Hour, app_with
from worker.ledger.session import Ledger


@pytest.fixture
def hour() -> Hour:
    return Hour()


@pytest.fixture
def ledger(migrated_file: Path, tmp_path: Path) -> Iterator[Ledger]:
    path = tmp_path / "ledger.db"
    path.write_bytes(migrated_file.read_bytes())
    ledger = Ledger(f"sqlite:///{path}")
    yield ledger
    ledger.close()


@pytest.fixture
def anonymous(ledger: Ledger, hour: Hour) -> Iterator[Browser]:
    """A browser that nobody has signed in with."""
    browser = Browser(app_with(ledger, hour))
    yield browser
    browser.close()


@pytest.fixture
def operator(anonymous: Browser) -> Browser:
    """A browser in which Ann is signed in."""
    assert anonymous.sign_in("Ann").status_code == 303
    return anonymous
