"""`worker.clients.transport` over TLS: what is trusted, what is final, and deadlines in the handshake."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.integration.loopback import (
    OK,
    Server,
    answering,
    call,
    dribble,
    failure,
)
from worker.clients.base import ApiClient
from worker.errors import (
    ApiConnectionError,
    ApiTimeoutError,
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed but itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_tls_failure_is_final_and_unsent_when_the_certificate_is_not_trusted(
    serve: Callable[..., Server], connect: Callable[..., ApiClient], tls: ssl.SSLContext
) -> None:
    server = serve(answering(OK), tls=tls)
    error = failure(connect(server, scheme="https"))
    assert isinstance(error, ApiConnectionError)
    assert (error.retryable, error.outcome_unknown) == (False, False)
    assert "SSLCertVerificationError" in str(error)
    assert server.requests == []


def test_a_tls_failure_is_final_when_the_server_speaks_plain_http(
    serve: Callable[..., Server], connect: Callable[..., ApiClient]
) -> None:
    def behave(_: Server, connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    error = failure(connect(serve(behave), scheme="https"))
    assert (type(error), error.retryable, error.outcome_unknown) == (ApiConnectionError, False, False)


def test_a_call_may_be_tried_again_when_the_tls_handshake_is_merely_cut(
    serve: Callable[..., Server], connect: Callable[..., ApiClient]
) -> None:
    def behave(_: Server, connection: socket.socket) -> None:
        connection.recv(65_536)

    error = failure(connect(serve(behave), scheme="https"))
    assert (type(error), error.retryable, error.outcome_unknown) == (ApiConnectionError, True, False)


def test_calls_go_through_and_deadlines_hold_when_the_certificate_is_trusted(
    serve: Callable[..., Server],
    connect: Callable[..., ApiClient],
    tls: ssl.SSLContext,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def behave(server: Server, connection: socket.socket) -> None:
        while server.receive(connection):
            if len(server.requests) <= 2:
                connection.sendall(OK)
            else:
                dribble(server, connection, b"HTTP/1.1 200 OK\r\n" + b"X-Slow: y\r\n" * 90)

    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(certificate))
    server = serve(behave, tls=tls)
    client = connect(server, scheme="https")
    assert call(client).body == b"{}"
    assert call(client).body == b"{}"
    assert server.connections == 1
    began = time.monotonic()
    error = failure(client, deadline_seconds=0.5)
    assert time.monotonic() - began < 15.0
    assert isinstance(error, ApiTimeoutError)
    assert error.outcome_unknown


def test_a_call_ends_at_its_deadline_when_the_tls_handshake_dribbles(
    serve: Callable[..., Server], connect: Callable[..., ApiClient]
) -> None:
    def behave(server: Server, connection: socket.socket) -> None:
        connection.recv(65_536)
        # A record that announces far more than ever comes.
        dribble(server, connection, b"\x16\x03\x03\x40\x00" + b"\x02" * 1000)

    client = connect(serve(behave), scheme="https", connect_timeout_seconds=30.0)
    began = time.monotonic()
    error = failure(client, deadline_seconds=0.5)
    assert time.monotonic() - began < 15.0
    assert isinstance(error, ApiTimeoutError)
    assert (error.retryable, error.outcome_unknown) == (True, False)
