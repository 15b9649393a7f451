"""PostgreSQL: connections are kept, not pinged, and replaced when the server closed them; and what it only reads."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, text

from worker.ledger.session import Ledger
from worker.ledger.views.writable import forgets, why_unwritable

pytestmark = pytest.mark.integration


@pytest.fixture
def ledger(postgres_url: str) -> Iterator[Ledger]:
    opened = Ledger(postgres_url)
    yield opened
    opened.close()


def backend_of(ledger: Ledger) -> int:
    with ledger.read() as connection:
        return int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)


def terminate(postgres_url: str, backend: int) -> None:
    """Close a session from the server's side, and return once it is gone."""
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [backend])


@pytest.mark.parametrize("is_writing", [False, True])
def test_transaction_goes_on_when_the_server_closed_the_idle_connection(
    ledger: Ledger, postgres_url: str, *, is_writing: bool
) -> None:
    before = backend_of(ledger)
    terminate(postgres_url, before)
    with ledger.write() if is_writing else ledger.read() as connection:
        assert connection.scalar(text("SELECT pg_backend_pid()")) not in {None, before}


def test_connection_is_used_again_when_it_lives_and_is_not_pinged(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = backend_of(ledger)
    sent: list[str] = []
    event.listen(ledger.engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
    monkeypatch.setattr(ledger.engine.dialect, "do_ping", lambda _connection: pytest.fail("pinged"))
    assert backend_of(ledger) == before
    assert sent == ["SELECT pg_backend_pid()"]


@pytest.mark.parametrize(("said", "seconds"), [("", 30), ("?tcp_user_timeout=7000", 7)])
def test_server_that_vanished_without_a_word_is_noticed_within_half_a_minute(
    postgres_url: str, said: str, seconds: int
) -> None:
    """After a failover nobody answers, and nobody closes: by the system's own times a worker waits for two hours."""
    ledger = Ledger(postgres_url + said)
    with ledger.read() as connection:
        found: Any = connection.connection.dbapi_connection
        wire = socket.socket(fileno=os.dup(found.fileno()))
        with wire:
            assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == seconds * 1000
            idle, interval, count = (
                wire.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            assert idle + interval * count <= 30
    ledger.close()


def told(postgres_url: str, **settings: str) -> tuple[str, str]:
    """What is told where the server has these settings for the database."""
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as server:
        for name, value in settings.items():
            server.execute(f"ALTER DATABASE {server.info.dbname} SET {name} = '{value}'")
    ledger = Ledger(postgres_url)
    try:
        with ledger.read() as connection:
            return why_unwritable(connection, ledger.path), forgets(connection)
    finally:
        ledger.close()


def test_server_that_only_reads_is_told(postgres_url: str) -> None:
    assert told(postgres_url)[0] == ""
    assert "only reads" in told(postgres_url, default_transaction_read_only="on")[0]


def test_server_that_may_forget_what_it_acknowledged_is_told(postgres_url: str) -> None:
    assert "synchronous_commit" not in told(postgres_url, synchronous_commit="on")[1]
    assert "synchronous_commit" in told(postgres_url, synchronous_commit="off")[1]


def test_migration_is_ended_by_no_statement_timeout(postgres_url: str) -> None:
    """One that is set for the role would end each try at the same place: here, while another process migrates."""
    told(postgres_url, statement_timeout="200ms")
    plain = postgres_url.replace("+psycopg", "")
    ledger = Ledger(postgres_url)
    with psycopg.connect(plain) as other, ThreadPoolExecutor() as pool:
        other.execute("SELECT pg_advisory_xact_lock(4027110977)")
        migrating = pool.submit(ledger.migrate)
        with pytest.raises(TimeoutError):
            migrating.result(timeout=1.0)
        other.rollback()
        migrating.result()
    ledger.close()
