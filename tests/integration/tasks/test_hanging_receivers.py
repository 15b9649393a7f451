"""A receiver of alerts that takes its time holds up neither the other receivers nor the worker."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic

import pytest
from pytest_httpserver import HTTPServer

from worker.clients.alerts import AlertsClient
from worker.errors import ApiError


@pytest.fixture
def dripping() -> Iterator[int]:
    """The port of a receiver that answers with a byte now and then, for ever: each read of it is in time."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not over.wait(0.05):
                connection.sendall(b"x")

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    over.set()
    listener.close()


def test_others_are_told_in_time_when_a_receiver_never_ends_its_answer(dripping: int, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/ok", method="POST").respond_with_data("ok")
    addresses = [f"json://127.0.0.1:{dripping}/", f"json://127.0.0.1:{httpserver.port}/ok"]
    client = AlertsClient(addresses, longest_seconds=0.5)
    begun = monotonic()
    assert client.send("title", "text") == ["1 (json)"]
    assert client.send("title", "text") == ["1 (json)"]
    assert monotonic() - begun < 60
    assert len(httpserver.log) == 2


def test_nobody_took_it_when_the_one_receiver_never_ends_its_answer(dripping: int) -> None:
    with pytest.raises(ApiError, match=r"1 \(json\)"):
        AlertsClient([f"json://127.0.0.1:{dripping}/"], longest_seconds=0.2).send("title", "text")
