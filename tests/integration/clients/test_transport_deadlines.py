"""`worker.clients.transport` on real loopback sockets: deadlines that hold, and calls that never left."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.loopback import (
    OK,
    Server,
    answering,
    call,
    dribbling,
    failure,
    free_port,
)
from tests.unit.worker.clients.stub import whole
from worker.clients import transport as transport_module
from worker.clients.base import ApiClient, CallLimits
from worker.errors import (
    ApiConnectionError,
    ApiTimeoutError,
    LeaseLostError,
)


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        (b"", b"HTTP/1.1 200 OK\r\n" + b"X-Slow: y\r\n" * 50),
        (b"HTTP/1.1 200 OK\r\n", b"X-Slow: " + b"y" * 500),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", b"z" * 500),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nz\r\n" * 100),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"z" * 500),
        (b"", b""),
    ],
    ids=["status line", "header", "body", "chunks", "body without length", "nothing"],
)
def test_a_call_ends_at_its_deadline_when_the_server_dribbles(
    serve: Callable[..., Server], connect: Callable[..., ApiClient], head: bytes, tail: bytes
) -> None:
    def behave(server: Server, connection: socket.socket) -> None:
        dribbling(head, tail)(server, connection)
        server.stopping.wait(60)

    client = connect(serve(behave), read_timeout_seconds=30.0)
    began = time.monotonic()
    error = failure(client, deadline_seconds=0.5)
    assert 0.45 <= time.monotonic() - began < 20.0
    assert isinstance(error, ApiTimeoutError)
    assert error.outcome_unknown
    assert not error.retryable


def test_the_next_call_succeeds_when_one_before_outlasted_its_deadline(
    serve: Callable[..., Server], connect: Callable[..., ApiClient]
) -> None:
    def behave(server: Server, connection: socket.socket) -> None:
        while server.receive(connection):
            if len(server.requests) == 1:
                server.stopping.wait(60)
            connection.sendall(OK)

    server = serve(behave)
    client = connect(server)
    failure(client, deadline_seconds=0.5)
    assert call(client, deadline_seconds=20.0).body == b"{}"
    assert server.connections == 2


def test_a_refusal_is_an_unknown_outcome_when_its_body_never_ends(
    serve: Callable[..., Server], connect: Callable[..., ApiClient]
) -> None:
    client = connect(serve(dribbling(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 500\r\n\r\n", b"z" * 500)))
    error = failure(client, deadline_seconds=0.2)
    assert isinstance(error, ApiTimeoutError)
    assert (error.status, error.outcome_unknown, error.retryable) == (400, True, False)


def test_the_read_timeout_holds_when_it_is_shorter_than_the_deadline(
    serve: Callable[..., Server], connect: Callable[..., ApiClient]
) -> None:
    def behave(server: Server, connection: socket.socket) -> None:
        server.receive(connection)
        server.stopping.wait(60)

    error = failure(connect(serve(behave), read_timeout_seconds=0.1))
    assert isinstance(error, ApiTimeoutError)
    assert error.outcome_unknown


def test_nothing_was_sent_when_the_connection_is_refused(connect: Callable[..., ApiClient]) -> None:
    error = failure(connect(free_port()))
    assert isinstance(error, ApiConnectionError)
    assert (error.retryable, error.outcome_unknown) == (True, False)
    assert "ConnectionRefusedError" in str(error)


def test_nothing_was_sent_when_the_name_is_unknown(
    connect: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = failure(connect(80, host="nowhere.invalid"))
    assert isinstance(error, ApiConnectionError)
    assert (error.retryable, error.outcome_unknown) == (True, False)
    assert "gaierror" in str(error)


def test_nothing_was_sent_when_connecting_takes_too_long(
    connect: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> socket.socket:
        raise TimeoutError

    monkeypatch.setattr(transport_module, "create_connection", never)
    error = failure(connect(80))
    assert isinstance(error, ApiTimeoutError)
    assert (error.retryable, error.outcome_unknown) == (True, False)


def test_the_connect_timeout_is_shared_when_a_host_has_many_addresses(
    connect: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[float] = []

    def slow(_: object, seconds: float, **__: object) -> socket.socket:
        tried.append(seconds)
        time.sleep(min(seconds, 0.06))
        raise TimeoutError

    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{number}", 80)) for number in range(1, 9)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    monkeypatch.setattr(transport_module, "create_connection", slow)
    error = failure(connect(80, connect_timeout_seconds=0.1))
    assert isinstance(error, ApiTimeoutError)
    assert len(tried) <= 2  # of eight
    assert tried[0] <= 0.1


def test_the_next_address_is_tried_when_the_first_refuses(
    serve: Callable[..., Server], connect: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(answering(OK))
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in ("127.0.0.2", "127.0.0.1")]
    look_up = socket.getaddrinfo

    def two(host: str, *rest: Any, **options: Any) -> list[Any]:
        return addresses if host == "two.test" else look_up(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", two)
    assert call(connect(server, host="two.test")).status == 200


def test_the_call_is_refused_when_a_host_has_no_address(
    connect: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    assert isinstance(failure(connect(80)), ApiConnectionError)


@pytest.mark.parametrize("deadline_seconds", [0.0, -1.0])
def test_nothing_is_sent_when_the_deadline_is_over_before(
    serve: Callable[..., Server], connect: Callable[..., ApiClient], deadline_seconds: float
) -> None:
    server = serve(answering(OK))
    client = connect(server)
    for _ in range(2):
        error = failure(client, deadline_seconds=deadline_seconds)
        assert isinstance(error, ApiTimeoutError)
        assert (error.retryable, error.outcome_unknown) == (True, False)
        call(client)
    assert len(server.requests) == 2


def test_nothing_is_sent_when_before_send_outlasts_the_deadline(
    serve: Callable[..., Server], connect: Callable[..., ApiClient]
) -> None:
    server = serve(answering(OK))
    error = failure(connect(server), deadline_seconds=0.1, before_send=lambda: time.sleep(0.15))
    assert isinstance(error, ApiTimeoutError)
    assert not error.outcome_unknown
    assert server.requests == []


@pytest.mark.parametrize(
    "refusal", [LeaseLostError("gone"), BrokenPipeError("a database"), TimeoutError(), ValueError("x")]
)
def test_that_very_exception_comes_out_when_before_send_raises(
    serve: Callable[..., Server], connect: Callable[..., ApiClient], refusal: Exception
) -> None:
    server = serve(answering(OK))
    client = connect(server)
    call(client)

    def refuse() -> None:
        raise refusal

    with pytest.raises(type(refusal)) as caught:
        call(client, before_send=refuse)
    assert caught.value is refusal
    assert call(client).status == 200
    assert len(server.requests) == 2


def test_before_send_is_called_once_on_an_open_connection_when_a_call_has_a_body(
    serve: Callable[..., Server], connect: Callable[..., ApiClient]
) -> None:
    server = serve(answering(OK))
    seen: list[int] = []
    whole(
        connect(server),
        "op",
        "GET",
        "/x",
        json={"page": 1},
        safe_to_repeat=True,
        limits=CallLimits(before_send=lambda: seen.append(server.connections)),
    )
    assert len(seen) == 1
    assert b'{"page": 1}' in server.requests[0] or server.requests[0].endswith(b"\r\n\r\n")
