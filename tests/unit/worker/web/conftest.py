"""An app on a ledger of the test's own, asked without a socket."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.worker.web.asking import NOW, AppClient, Bell, ClientMaker, settings_with
from worker.ledger.models import LedgerModel
from worker.ledger.session import Ledger
from worker.web.app import create_app


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a ledger with nothing in it: copying it is faster than making its tables."""
    path = tmp_path_factory.mktemp("ledger") / "empty.db"
    ledger = Ledger(f"sqlite:///{path}")
    LedgerModel.metadata.create_all(ledger.engine)
    ledger.close()
    return path


@pytest.fixture
def ledger(empty_ledger: Path, tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{shutil.copy(empty_ledger, tmp_path / 'web.db')}")
    yield ledger
    ledger.close()


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def client_with(ledger: Ledger, bell: Bell) -> Iterator[ClientMaker]:
    """Makes a client of an app whose settings are changed."""
    opened: list[AppClient] = []

    def make(**changes: dict[str, Any]) -> AppClient:
        opened.append(AppClient(create_app(settings_with(**changes), ledger, bell, clock=lambda: NOW)))
        return opened[-1]

    yield make
    for client in opened:
        client.close()


@pytest.fixture
def client(client_with: ClientMaker) -> AppClient:
    return client_with()
