"""A migrated ledger on each database, copied from one that was migrated once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.servers import PostgresServer
from worker.ledger.session import Ledger


@pytest.fixture(scope="session")
def migrated_database(postgres_server: PostgresServer) -> str:
    """The name of an empty ledger on the session's PostgreSQL, to be copied."""
    url = postgres_server.create_database()
    ledger = Ledger(url)
    ledger.migrate()
    ledger.close()
    return url.rpartition("/")[2]


@pytest.fixture
def postgres_ledger_url(postgres_server: PostgresServer, migrated_database: str) -> Iterator[str]:
    url = postgres_server.create_database(template=migrated_database)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def ledger(request: pytest.FixtureRequest, migrated_file: Path, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "sqlite":
        url = f"sqlite:///{shutil.copy(migrated_file, tmp_path / 'cartbridge.db')}"
    else:
        url = request.getfixturevalue("postgres_ledger_url")
    ledger = Ledger(url)
    yield ledger
    ledger.close()
