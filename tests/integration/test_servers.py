from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis
import sqlalchemy

from tests.integration.servers import (
    PostgresServer,
    RedisServer,
    ServerUnavailableError,
    postgres_program_folders,
    redis_program,
)

pytestmark = pytest.mark.integration

GONE_WITHIN_SECONDS = 10.0

START_AND_WAIT = """
import sys
sys.path.insert(0, {repository!r})
from tests.integration.servers import {server}
server = {server}()
print(server._process.pid, server.directory, flush=True)
sys.stdin.read()
"""


def test_database_is_new_and_empty_when_a_test_asks_for_one(database_url: str) -> None:
    engine = sqlalchemy.create_engine(database_url)
    assert sqlalchemy.inspect(engine).get_table_names() == []
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE left_behind (id INTEGER)"))
    engine.dispose()


def test_postgres_keeps_its_data_when_stopped_and_started(postgres_server: PostgresServer, postgres_url: str) -> None:
    conninfo = postgres_url.replace("+psycopg", "")
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (id INTEGER)")

    postgres_server.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(conninfo)
    postgres_server.start()

    with psycopg.connect(conninfo) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_postgres_cuts_connections_when_a_database_is_dropped(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database()
    connection = psycopg.connect(url.replace("+psycopg", ""))
    postgres_server.drop_database(url)
    postgres_server.drop_database(url)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()


def test_redis_is_empty_when_a_test_begins(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_redis_is_empty_when_another_test_left_a_key_and_flushed(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        assert client.dbsize() == 0
        client.set("key", "value")
        redis_server.flushall()
        assert client.get("key") is None


def test_redis_refuses_and_returns_when_stopped_and_started(redis_server: RedisServer, redis_url: str) -> None:
    redis_server.stop()
    assert not redis_server.is_running
    with redis_server.client() as client, pytest.raises(redis.ConnectionError):
        client.ping()
    redis_server.stop()
    redis_server.start()
    redis_server.start()
    assert redis_server.url == redis_url
    with redis_server.client() as client:
        assert client.ping()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
@pytest.mark.parametrize("server", ["PostgresServer", "RedisServer"])
@pytest.mark.usefixtures("postgres_server", "redis_server")
def test_server_ends_when_the_process_that_started_it_is_killed(server: str) -> None:
    script = START_AND_WAIT.format(repository=str(Path(__file__).parents[2]), server=server)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid_text, directory = parent.stdout.readline().split()
        parent.send_signal(signal.SIGKILL)

    give_up_at = time.monotonic() + GONE_WITHIN_SECONDS
    while is_alive(int(pid_text)):
        assert time.monotonic() < give_up_at, f"{server} outlived its parent"
        time.sleep(0.02)
    shutil.rmtree(directory)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # A zombie has ended; in a container without an init nobody may collect it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_data_directory_is_removed_when_a_server_is_closed() -> None:
    if redis_program() is None:
        pytest.skip("no Redis on this machine")
    server = RedisServer()
    directory = server.directory
    assert directory.exists()
    server.close()
    server.close()
    assert not directory.exists()


def test_message_names_what_is_missing_when_nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.integration.servers.redis_program", lambda: None)
    monkeypatch.setattr("tests.integration.servers.postgres_program_folders", list)
    with pytest.raises(ServerUnavailableError, match="redis-server on the PATH"):
        RedisServer()
    with pytest.raises(ServerUnavailableError, match="initdb on the PATH"):
        PostgresServer()


def test_every_postgres_found_starts_when_tried_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the package's own programs are known to work on a machine whose system has some, too."""
    folders = list(postgres_program_folders())
    if not folders:
        pytest.skip("no PostgreSQL on this machine")
    for folder in folders:
        monkeypatch.setattr("tests.integration.servers.postgres_program_folders", lambda only=folder: [only])
        with PostgresServer() as server:
            server.drop_database(server.create_database())
