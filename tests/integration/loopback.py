"""Servers on loopback that answer, dribble, cut off or speak TLS, and a client to call them."""

from __future__ import annotations

import socket
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.unit.worker.clients.stub import whole
from worker.clients.base import Answer, ApiClient, CallLimits
from worker.errors import (
    ApiError,
)

SECRET = "hunter2-very-secret"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

Behaviour = Callable[["Server", socket.socket], None]


class Server:
    """Accepts connections and lets `behave` treat each in a thread of its own; counts what arrives."""

    def __init__(self, behave: Behaviour, *, tls: ssl.SSLContext | None = None) -> None:
        self._behave = behave
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.connections = 0
        self.requests: list[bytes] = []
        self.stopping = threading.Event()
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def receive(self, connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = connection.recv(65_536)
            if not chunk:
                return b""
            data += chunk
        self.requests.append(data)
        return data

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                if self._tls is None:
                    self._behave(self, connection)
                else:
                    with self._tls.wrap_socket(connection, server_side=True) as wrapped:
                        self._behave(self, wrapped)
        except OSError:
            pass

    def stop(self) -> None:
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                connection.close()
        for thread in self._threads:
            thread.join(5)


def dribble(server: Server, connection: socket.socket, data: bytes) -> None:
    for byte in data:
        if server.stopping.wait(0.02):
            return
        connection.sendall(bytes([byte]))


def answering(data: bytes, *, then_close: bool = False) -> Behaviour:
    def behave(server: Server, connection: socket.socket) -> None:
        while server.receive(connection):
            connection.sendall(data)
            if then_close:
                return

    return behave


def dribbling(head: bytes, tail: bytes) -> Behaviour:
    def behave(server: Server, connection: socket.socket) -> None:
        server.receive(connection)
        connection.sendall(head)
        dribble(server, connection, tail)

    return behave


@contextmanager
def serving() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(behave: Behaviour, **options: Any) -> Server:
        servers.append(Server(behave, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@contextmanager
def connecting() -> Iterator[Callable[..., ApiClient]]:
    clients: list[ApiClient] = []

    def make(server: Server | int, *, scheme: str = "http", host: str = "127.0.0.1", **options: Any) -> ApiClient:
        port = server if isinstance(server, int) else server.port
        clients.append(ApiClient("learningcart", base_url=f"{scheme}://{host}:{port}", **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def call(client: ApiClient, *, safe: bool = False, method: str = "GET", **limits: Any) -> Answer:
    return whole(
        client,
        "addCompOrder",
        method,
        "/addCompOrder",
        params={"password": SECRET},
        safe_to_repeat=safe,
        limits=CallLimits(**({"deadline_seconds": 5.0} | limits)),
    )


def failure(client: ApiClient, **options: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call(client, **options)
    error = caught.value
    assert SECRET not in "".join(traceback.format_exception(error))
    assert error.__cause__ is None
    assert error.__context__ is None
    return error


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
