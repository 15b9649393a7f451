"""What every test stands on: an environment without anybody's settings, and servers of the tests' own where asked for.

The server fixtures serve integration, faults and browser alike, so they live here; `integration/servers.py` starts
the servers.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
from collections.abc import Generator, Iterator
from datetime import UTC
from pathlib import Path

import pytest
import structlog

from tests.integration.servers import PostgresServer, RedisServer, ServerUnavailableError
from tests.unit.session_ledger import SessionLedger
from worker.formatting import show_times_in
from worker.ledger.session import Ledger
from worker.observability.logs import QUIET_LOGGERS

SERVERS_ARE_REQUIRED = os.environ.get("CARTBRIDGE_REQUIRE_SERVERS", "") not in {"", "0"}
"""Set by .ci/run: there, an integration test that would be skipped fails, so that a green run has really run."""

SERVER_FIXTURES = {"postgres_server", "postgres_url", "redis_server", "redis_url"}
NEEDS_SERVERS = ("integration", "faults")


def pytest_configure() -> None:
    """Look for no garbage while everything is imported: there is none, and it would be looked for time and again."""
    gc.disable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Hide the operator's settings from every test, and take back what a command sets for its whole process.

    A command that left its level behind would hide the next test's warnings from it.
    """
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("CARTBRIDGE_")}
    root = logging.getLogger()
    handlers, level, hooks = root.handlers[:], root.level, (sys.excepthook, threading.excepthook)
    try:
        return (yield)
    finally:
        os.environ.update(hidden)
        root.handlers[:] = handlers
        if root.level != level or structlog.is_configured():
            root.setLevel(level)
            logging.captureWarnings(capture=False)
            for name in QUIET_LOGGERS:
                logging.getLogger(name).setLevel(logging.NOTSET)
            structlog.reset_defaults()
        sys.excepthook, threading.excepthook = hooks
        show_times_in(UTC)


def pytest_collection_finish() -> None:
    """Let the garbage collector forget the thousands of collected tests, which it would go through time and again."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as `integration` whatever asks for a server, so that nobody has to remember to."""
    for item in items:
        if SERVER_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("integration")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    skipped = report.skipped and not hasattr(report, "wasxfail")
    if skipped and SERVERS_ARE_REQUIRED and any(item.get_closest_marker(name) for name in NEEDS_SERVERS):
        report.outcome = "failed"
        report.longrepr = f"skipped where CARTBRIDGE_REQUIRE_SERVERS forbids it: {report.longreprtext}"
    return report


@pytest.fixture(scope="session")
def nobodys_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty directory for the tests that ask for none: making one for each costs seconds in all."""
    before = Path.cwd()
    yield tmp_path_factory.mktemp("nobodys")
    os.chdir(before)


@pytest.fixture(autouse=True)
def own_working_directory(request: pytest.FixtureRequest, nobodys_directory: Path) -> None:
    """Run in an empty directory: no `.env` is read by accident, and no ledger is left behind."""
    asks = "tmp_path" in request.fixturenames
    os.chdir(request.getfixturevalue("tmp_path") if asks else nobodys_directory)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an empty SQLite ledger, to be copied."""
    path = tmp_path_factory.mktemp("ledger") / "migrated.db"
    ledger = Ledger(f"sqlite:///{path}")
    ledger.migrate()
    ledger.close()
    return path


@pytest.fixture(scope="session")
def session_ledger(migrated_file: Path) -> Iterator[SessionLedger]:
    """One ledger for all tests of a process that ask for `ledger` and change it by the product alone."""
    session_ledger = SessionLedger(migrated_file, migrated_file.with_name("session.db"))
    yield session_ledger
    session_ledger.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The session's PostgreSQL (one per xdist process). Prefer `postgres_url` or `database_url`."""
    try:
        server = PostgresServer()
    except ServerUnavailableError as error:
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The SQLAlchemy URL of an empty PostgreSQL database of this test's own, on a running server."""
    postgres_server.start()
    url = postgres_server.create_database()
    yield url
    postgres_server.start()
    postgres_server.drop_database(url)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The SQLAlchemy URL of an empty database of this test's own: the test runs once on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'cartbridge.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(scope="session")
def session_redis_server() -> Iterator[RedisServer]:
    """The session's Redis (one per xdist process). Tests ask for `redis_server` or `redis_url`."""
    try:
        server = RedisServer()
    except ServerUnavailableError as error:
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture
def redis_server(session_redis_server: RedisServer) -> RedisServer:
    """An empty running Redis, to `stop()`, `start()` and `flushall()` as the test likes."""
    session_redis_server.start()
    session_redis_server.flushall()
    return session_redis_server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty running Redis."""
    return redis_server.url
