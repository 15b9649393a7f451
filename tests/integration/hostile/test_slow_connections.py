"""Connections that never finish their request: what they may hold, and for how long."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.integration.product import ENOUGH_SECONDS, Product
from tests.unit.worker.web.asking import RecordingDispatcher, settings_with
from worker.ledger.session import Ledger
from worker.sandbox import Sandbox
from worker.sandbox.config import SandboxConfig
from worker.web.app import create_app
from worker.web.connections import Deadlines
from worker.web.server import WebServer

pytestmark = pytest.mark.integration

FILES_OF_A_TEST = 2048
HEADS = [
    b"",
    b"POST /webhooks/studiocart HTTP/1.1\r\nHost: x\r\n",
    b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n",
    (
        b"POST /webhooks/studiocart HTTP/1.1\r\nHost: x\r\nX-Webhook-Secret: planted-hook-secret\r\n"
        b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    ),
    (
        b"POST /login HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nname="
    ),
    b"POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
]
"""Nothing, half a head, and a head without the whole body, for a route of each kind."""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(config=SandboxConfig(seeded=False)) as running:
        yield running


@contextlib.contextmanager
def server_on(tmp_path: Path, deadlines: Deadlines) -> Iterator[WebServer]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'web.db'}")
    ledger.migrate()
    settings = settings_with(web={"port": 0, "admin_password": "planted-admin-password"})
    app = create_app(settings, ledger, RecordingDispatcher(), clock=lambda: datetime.now(UTC))
    server = WebServer(settings, app, deadlines=deadlines)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        ledger.close()


def opened(port: int, head: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=ENOUGH_SECONDS)
    connection.sendall(head)
    return connection


def is_over(connection: socket.socket) -> bool:
    """Whether the server has ended the connection; reads what it said before."""
    connection.settimeout(ENOUGH_SECONDS)
    with contextlib.suppress(ConnectionError):
        while connection.recv(65536):
            pass
    return True


@pytest.mark.parametrize("head", HEADS)
def test_connection_ends_when_its_request_does_not(tmp_path: Path, head: bytes) -> None:
    with server_on(tmp_path, Deadlines(head_seconds=0.2, body_seconds=0.4)) as server:
        with opened(server.port, head) as connection:
            assert is_over(connection)
        assert httpx.get(f"{server.url}/livez").status_code == 200


def test_connection_ends_when_bytes_trickle_in(tmp_path: Path) -> None:
    with server_on(tmp_path, Deadlines(head_seconds=0.3, body_seconds=0.3)) as server:
        for head in (b"GET /livez HTTP/1.1\r\nX: ", HEADS[4]):
            connection = opened(server.port, head)
            with contextlib.suppress(ConnectionError), connection:
                give_up_at = time.monotonic() + ENOUGH_SECONDS
                while time.monotonic() < give_up_at:
                    connection.sendall(b"x")
                    time.sleep(0.02)
                pytest.fail("still open")


def test_connection_ends_when_the_client_takes_nothing_of_the_answer(tmp_path: Path) -> None:
    with server_on(tmp_path, Deadlines(write_seconds=0.3)) as server:
        connection = opened(server.port, b"")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        with contextlib.suppress(ConnectionError), connection:
            # Each asks for a page, none of which is read.
            connection.settimeout(1.0)
            give_up_at = time.monotonic() + ENOUGH_SECONDS
            while time.monotonic() < give_up_at:
                with contextlib.suppress(TimeoutError):
                    connection.sendall(b"GET /login HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
            pytest.fail("still open")


def chunked(sizes: Iterable[int]) -> bytes:
    head = (
        b"POST /webhooks/studiocart HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked"
    )
    return head + b"\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (size, b" " * size) for size in sizes) + b"0\r\n\r\n"


def test_connection_ends_when_a_body_comes_in_crumbs(tmp_path: Path) -> None:
    """Ten thousand of them fit in one read, and were half a second in which nobody else had a turn."""
    with server_on(tmp_path, Deadlines()) as server, opened(server.port, chunked([1] * 10_000)) as connection:
        received = b""
        connection.settimeout(ENOUGH_SECONDS)
        with contextlib.suppress(ConnectionError):
            while chunk := connection.recv(65536):
                received += chunk
        assert received == b""


@pytest.mark.parametrize("sizes", [[1] * 200, [64] * 900, [10] * 150 + [8192] * 7])
def test_body_is_read_when_it_comes_in_chunks_as_programs_send_them(tmp_path: Path, sizes: list[int]) -> None:
    with server_on(tmp_path, Deadlines()) as server, opened(server.port, chunked(sizes)) as connection:
        connection.settimeout(ENOUGH_SECONDS)
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


@pytest.fixture
def files_for_many_sockets() -> Iterator[None]:
    """As many open files for this process as the sockets of one test need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES_OF_A_TEST:
        pytest.skip(f"this process may not open {FILES_OF_A_TEST} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES_OF_A_TEST), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("files_for_many_sockets")
def test_webhooks_and_provisioning_go_on_when_there_are_more_slow_connections_than_files(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """As many half-sent requests as the process may have files, and more of them all the time."""
    with Product(
        sandbox,
        f"sqlite:///{tmp_path / 'cartbridge.db'}",
        tmp_path,
        CARTBRIDGE_STUDIOCART__WEBHOOK_SECRET="planted-hook-secret",
    ) as product:
        process = product.start_limited("up", files=1024)
        port = product.port_of(process)
        held = [opened(port, HEADS[number % len(HEADS)]) for number in range(1100)]
        answers = []
        for number in range(20):
            held += [opened(port, HEADS[1]) for _ in range(10)]
            answer = httpx.post(
                f"http://127.0.0.1:{port}/webhooks/studiocart",
                json={"id": 9000 + number},
                headers={"X-Webhook-Secret": "planted-hook-secret"},
                timeout=ENOUGH_SECONDS,
            )
            answers.append(answer.status_code)
        assert answers == [202] * 20
        product.sell(5)
        product.wait_until_done(5)
        assert "Too many open files" not in product.log_of(process)
        assert process.poll() is None
    for connection in held:
        connection.close()
