"""`worker.clients.transport` on real loopback sockets: one request, one answer, and a true record of both."""

from __future__ import annotations

import gzip
import logging
import os
import socket
import threading
import traceback
from collections.abc import Callable

import pytest
import requests

from tests.integration.loopback import (
    OK,
    SECRET,
    Server,
    answering,
    call,
    failure,
    free_port,
)
from tests.unit.worker.clients.stub import whole
from worker.clients import transport as transport_module
from worker.clients.base import ApiClient
from worker.clients.transport import Exchange, NoAnswer, Transport
from worker.errors import (
    ApiConnectionError,
    InvalidRequestError,
    UnexpectedResponseError,
)


def test_the_outcome_is_unknown_when_the_connection_is_cut_after_sending(
    serve: Callable[..., Server], connect: Callable[..., ApiClient]
) -> None:
    def behave(server: Server, connection: socket.socket) -> None:
        server.receive(connection)

    server = serve(behave)
    client = connect(server)
    error = failure(client)
    assert isinstance(error, ApiConnectionError)
    assert (error.retryable, error.outcome_unknown) == (False, True)
    safe = failure(client, safe=True)
    assert (safe.retryable, safe.outcome_unknown) == (True, False)


def test_a_call_is_sent_once_when_its_kept_connection_turns_out_dead(
    serve: Callable[..., Server], connect: Callable[..., ApiClient]
) -> None:
    def behave(server: Server, connection: socket.socket) -> None:
        server.receive(connection)
        connection.sendall(OK)
        server.receive(connection)  # … and gone, without a word

    server = serve(behave)
    client = connect(server)
    call(client)
    assert failure(client).outcome_unknown
    assert len(server.requests) == 2
    assert server.connections == 1


def test_a_new_connection_is_opened_when_the_server_closed_the_idle_one(
    serve: Callable[..., Server], connect: Callable[..., ApiClient]
) -> None:
    server = serve(answering(OK, then_close=True))
    client = connect(server)
    for number in range(1, 4):
        assert call(client).status == 200
        for thread in list(server._threads):
            thread.join(60)
        assert server.connections == number


@pytest.mark.parametrize(("safe", "connections"), [(False, 2), (True, 1)])
def test_a_change_goes_out_on_a_new_connection_when_its_own_was_idle_for_long(
    serve: Callable[..., Server],
    connect: Callable[..., ApiClient],
    monkeypatch: pytest.MonkeyPatch,
    safe: bool,
    connections: int,
) -> None:
    server = serve(answering(OK))
    client = connect(server)
    call(client)
    call(client)
    assert server.connections == 1
    monkeypatch.setattr(transport_module, "IDLE_LIMIT_SECONDS", 0.0)
    call(client, safe=safe)
    assert server.connections == connections


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_when_the_server_sends_one(
    serve: Callable[..., Server], connect: Callable[..., ApiClient], status: int
) -> None:
    elsewhere = serve(answering(OK))
    reply = f"HTTP/1.1 {status} Moved\r\nLocation: http://127.0.0.1:{elsewhere.port}/\r\nContent-Length: 0\r\n\r\n"
    error = failure(connect(serve(answering(reply.encode()))))
    assert isinstance(error, UnexpectedResponseError)
    assert (error.status, error.outcome_unknown) == (status, True)
    assert elsewhere.connections == 0


def test_no_cookie_and_no_proxy_is_used_when_the_world_offers_them(
    serve: Callable[..., Server], connect: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    server = serve(answering(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n"))
    client = connect(server)
    call(client)
    call(client)
    assert b"cookie" not in server.requests[1].lower()


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    ],
)
def test_half_an_answer_is_unexpected_when_the_connection_is_cut_in_it(
    serve: Callable[..., Server], connect: Callable[..., ApiClient], reply: bytes
) -> None:
    error = failure(connect(serve(answering(reply, then_close=True))))
    assert isinstance(error, UnexpectedResponseError)
    assert (error.status, error.outcome_unknown) == (200, True)


@pytest.mark.parametrize("reply", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00\x01"])
def test_the_outcome_is_unknown_when_the_server_speaks_no_http(
    serve: Callable[..., Server], connect: Callable[..., ApiClient], reply: bytes
) -> None:
    assert failure(connect(serve(answering(reply, then_close=True)))).outcome_unknown


def test_an_answer_is_refused_when_it_is_too_large_once_unpacked(serve: Callable[..., Server]) -> None:
    bomb = gzip.compress(b"a" * 200_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    server = serve(answering(head + bomb))
    transport = Transport(body_limit_bytes=100_000)
    client = ApiClient("studiocart", base_url=f"http://127.0.0.1:{server.port}", transport=transport)
    error = failure(client)
    assert isinstance(error, UnexpectedResponseError)
    assert "too large" in str(error)
    client.close()


def test_a_packed_answer_is_unpacked_when_it_fits(
    serve: Callable[..., Server], connect: Callable[..., ApiClient]
) -> None:
    packed = gzip.compress(b'{"id": 1}')
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    got = call(connect(serve(answering(head + packed))))
    assert got.body == b'{"id": 1}'
    assert got.headers["content-encoding"] == "gzip"
    assert got.elapsed_seconds > 0


def test_each_thread_has_its_own_connection_when_many_call(
    serve: Callable[..., Server], connect: Callable[..., ApiClient]
) -> None:
    server = serve(answering(OK))
    client = connect(server)
    together = threading.Barrier(4)

    def work() -> None:
        together.wait(60)
        for _ in range(5):
            call(client)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(server.requests) == 20
    assert server.connections == 4
    call(client)  # a new thread's adapter also closes those of threads that ended
    assert len(client._transport._adapters) == 1


def test_a_new_session_is_made_when_the_process_was_forked(
    serve: Callable[..., Server], connect: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(answering(OK))
    client = connect(server)
    call(client)
    monkeypatch.setattr(os, "getpid", os.getppid)
    call(client)
    assert server.connections == 2


def test_a_client_works_again_when_it_was_closed(
    serve: Callable[..., Server], connect: Callable[..., ApiClient]
) -> None:
    server = serve(answering(OK))
    client = connect(server)
    call(client)
    client.close()
    assert call(client).status == 200
    assert server.connections == 2


@pytest.mark.parametrize("headers", [{"x-api-key": f"{SECRET}\n"}, {"x-api-key": f"{SECRET}…"}])
def test_nothing_is_sent_when_a_header_cannot_be_written(
    serve: Callable[..., Server], connect: Callable[..., ApiClient], headers: dict[str, str]
) -> None:
    server = serve(answering(OK))
    with pytest.raises(InvalidRequestError) as caught:
        whole(connect(server), "op", "GET", "/x", headers=headers, safe_to_repeat=False)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert not caught.value.outcome_unknown
    assert server.requests == []


def test_no_query_is_logged_when_urllib3_logs_everything(
    serve: Callable[..., Server], connect: Callable[..., ApiClient], caplog: pytest.LogCaptureFixture
) -> None:
    reply = b"HTTP/1.1 200 OK\r\nBroken header\r\nContent-Length: 0\r\n\r\n"
    with caplog.at_level(logging.DEBUG, logger="urllib3"):
        call(connect(serve(answering(reply, then_close=True))))
    assert "/addCompOrder?…" in caplog.text
    assert SECRET not in caplog.text


def test_a_connection_refuses_to_work_when_used_outside_an_exchange() -> None:
    with pytest.raises(RuntimeError, match=r"outside Transport\.send"):
        transport_module._exchange()


def test_the_transport_tells_it_was_unsent_when_used_by_itself() -> None:
    transport = Transport()
    exchange = Exchange(connect_timeout_seconds=1.0, read_timeout_seconds=1.0, deadline_seconds=1.0)
    got = transport.send(requests.Request("GET", f"http://127.0.0.1:{free_port()}/?k={SECRET}"), exchange)
    assert isinstance(got, NoAnswer)
    assert (got.kind, got.cause, got.sent) == ("connection", "ConnectionRefusedError", False)
    assert SECRET not in repr(got)
    transport.close()
