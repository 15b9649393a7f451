from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from worker.settings.types import networks_of
from worker.web.client_address import ClientAddressMiddleware, address_of

PROXIES = "10.0.0.0/8,192.0.2.1,2001:db8:ffff::/48"


def request_from(client: tuple[str, int] | None) -> Request:
    return Request({"type": "http", "client": client, "headers": []})


def seen(peer: str, *forwarded: str, trusted: str = PROXIES, proto: str | None = None) -> tuple[str, str]:
    """The client's address and the scheme that the app sees."""
    scopes: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        scopes.append(scope)

    headers = [(b"x-forwarded-for", text.encode("latin-1")) for text in forwarded]
    if proto is not None:
        headers.append((b"x-forwarded-proto", proto.encode()))
    scope = {"type": "http", "client": (peer, 50000), "scheme": "http", "headers": headers}
    asyncio.run(ClientAddressMiddleware(app, trusted=networks_of(trusted))(scope, None, None))  # type: ignore[arg-type]
    return scopes[0]["client"][0], scopes[0]["scheme"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.1.2.3", ["203.0.113.9"], "203.0.113.9"),
        ("10.1.2.3", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        ("10.1.2.3", ["198.51.100.1, 203.0.113.9, 10.9.9.9"], "203.0.113.9"),
        ("10.1.2.3", ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        ("::ffff:10.1.2.3", ["203.0.113.9:4711"], "203.0.113.9"),
        ("2001:db8:ffff::1", ["[2001:db8::7]:443"], "2001:db8::7"),
        ("192.0.2.1", ["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        ("192.0.2.1", [""], "192.0.2.1"),
        ("192.0.2.1", ["203.0.113.9, unknown"], "192.0.2.1"),
        ("192.0.2.1", ["203.0.113.9, \x1b[2J, 10.0.0.2"], "10.0.0.2"),
        ("192.0.2.1", [f"{'x,' * 50000}203.0.113.9"], "203.0.113.9"),
        ("192.0.2.1", ["203.0.113.9," + "10.0.0.1," * 40], "192.0.2.1"),
    ],
)
def test_client_is_the_first_from_the_right_that_is_no_proxy_when_a_trusted_one_passes_it_on(
    peer: str, forwarded: list[str], client: str
) -> None:
    assert seen(peer, *forwarded)[0] == client


@pytest.mark.parametrize("trusted", ["", "10.0.0.0/8"])
def test_peer_is_the_client_when_it_is_no_trusted_proxy(trusted: str) -> None:
    assert seen("203.0.113.50", "198.51.100.1", trusted=trusted, proto="https") == ("203.0.113.50", "http")


@pytest.mark.parametrize(
    ("proto", "scheme"), [("https", "https"), ("HTTPS", "https"), ("http", "http"), ("ftp", "http")]
)
def test_scheme_is_the_clients_when_a_trusted_proxy_tells_it(proto: str, scheme: str) -> None:
    assert seen("192.0.2.1", "203.0.113.9", proto=proto) == ("203.0.113.9", scheme)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("localhost", "localhost"),
    ],
)
def test_address_is_the_clients_or_its_network_when_it_is_ipv6(host: str, address: str) -> None:
    assert address_of(request_from((host, 1))) == address


def test_address_is_empty_when_there_is_none() -> None:
    assert address_of(request_from(None)) == ""
