"""The product in one process, on a SQLite ledger: no server, no socket.

They do not wait for the disk, nor make a ledger's tables anew: each gets an empty ledger that was made once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_socket import disable_socket

from tests.unit.session_ledger import SessionLedger
from worker.ledger import session
from worker.ledger.session import Ledger


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Close the network before the first fixture; pytest-socket opens it again when the test is over."""
    # Unix sockets stay: an asyncio event loop wakes itself through a pair of them.
    disable_socket(allow_unix_socket=True)


@pytest.fixture(scope="session", autouse=True)
def prepared_by_the_product() -> Iterator[Callable[[Any, Any], None]]:
    """Let every ledger leave its commits to the operating system, since none has to outlive a power cut.

    Gives what the product itself does with a new connection to SQLite.
    """
    prepare = session._prepare_sqlite

    def prepare_in_haste(connection: Any, record: Any) -> None:
        prepare(connection, record)
        connection.execute("PRAGMA synchronous=OFF")
        record.info.clear()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "_prepare_sqlite", prepare_in_haste)
        yield prepare


@pytest.fixture
def ledger(session_ledger: SessionLedger) -> Ledger:
    """An empty ledger."""
    return session_ledger.emptied()
