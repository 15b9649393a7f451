"""A sandbox and a rig for each test, on ledgers copied from one that was migrated once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.harness.mail_product import Make, making_rigs
from tests.faults.harness.product import NewRig, Rig
from tests.integration.servers import PostgresServer
from worker.ledger.session import Ledger
from worker.sandbox import Sandbox
from worker.sandbox.mailbox import Mailbox


def _migrate(url: str) -> None:
    ledger = Ledger(url)
    ledger.migrate()
    ledger.close()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite ledger, to be copied."""
    file = tmp_path_factory.mktemp("template") / "cartbridge.db"
    _migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def migrated_database(postgres_server: PostgresServer) -> str:
    """The name of an empty PostgreSQL ledger, to be copied."""
    url = postgres_server.create_database()
    _migrate(url)
    return url.rpartition("/")[2]


@pytest.fixture
def sqlite_ledger(migrated_file: Path, tmp_path: Path) -> str:
    """The URL of an empty, migrated ledger on SQLite."""
    return f"sqlite:///{shutil.copy(migrated_file, tmp_path / 'cartbridge.db')}"


@pytest.fixture
def postgres_ledger(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty, migrated ledger on PostgreSQL."""
    postgres_server.start()
    url = postgres_server.create_database(template=str(request.getfixturevalue("migrated_database")))
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def ledger_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty, migrated ledger: the test runs once on each engine, unless it says which."""
    name = "sqlite_ledger" if request.param == "sqlite" else "postgres_ledger"
    return str(request.getfixturevalue(name))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as running:
        yield running


@pytest.fixture
def new_rig(sandbox: Sandbox, ledger_url: str, tmp_path: Path) -> Iterator[NewRig]:
    """Makes rigs on this test's ledger."""
    with ExitStack() as stack:

        def make(**options: object) -> Rig:
            rig = Rig(sandbox, ledger_url, tmp_path, **options)  # type: ignore[arg-type]
            stack.callback(rig.close)
            return rig

        yield make


@pytest.fixture
def rig(new_rig: NewRig) -> Rig:
    return new_rig()


@pytest.fixture
def other(new_rig: NewRig, rig: Rig) -> Rig:
    """Another process on the same ledger."""
    return new_rig(clock=rig.clock)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox.start() as running:
        yield running


@pytest.fixture
def make(sandbox: Sandbox, ledger_url: str, tmp_path: Path, mailbox: Mailbox) -> Iterator[Make]:
    with making_rigs(sandbox, ledger_url, tmp_path, mailbox) as make:
        yield make
