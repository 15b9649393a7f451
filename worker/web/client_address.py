"""Who asks: the client's address, told from `X-Forwarded-For` where the connection comes from a trusted proxy."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

_IPV6_SITE_BITS = 64
_LONGEST_HOST = 64
"""What is no address comes from the server itself: it is kept in memory, trail and log."""
_LONGEST_FORWARDED_BYTES = 1024
_MOST_HOPS = 16

Address = IPv4Address | IPv6Address


class ClientAddressMiddleware:
    """Wraps the whole app: puts the real client's address, and its scheme, in the place of a trusted proxy's."""

    def __init__(self, app: ASGIApp, *, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        self._app = app
        self._trusted = tuple(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = _address(scope["client"][0]) if scope["type"] == "http" and scope.get("client") else None
        if peer is not None and self._trusts(peer):
            client = self._client(peer, scope)
            scheme = "https" if _header(scope, b"x-forwarded-proto").strip().lower() == b"https" else scope["scheme"]
            scope = {**scope, "client": (str(client), 0), "scheme": scheme}
        await self._app(scope, receive, send)

    def _client(self, peer: Address, scope: Scope) -> Address:
        """Each proxy adds whom it heard: from the right, the first that is no trusted proxy. A hop that cannot be read
        was not added by a proxy: what stands left of it is anybody's word.
        """
        client = peer
        for text in _hops(_header(scope, b"x-forwarded-for")):
            hop = _address(text)
            if hop is None:
                break
            client = hop
            if not self._trusts(hop):
                break
        return client

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def address_of(request: Request) -> str:
    """The client's address; of an IPv6 one its network, since a single client owns all addresses in it."""
    host = request.client.host if request.client else ""
    address = _address(host)
    if address is None:
        return "".join(each for each in host[:_LONGEST_HOST] if each.isprintable())
    if address.version == 6:
        return str(ipaddress.ip_network((address.packed, _IPV6_SITE_BITS), strict=False))
    return str(address)


def _header(scope: Scope, name: bytes) -> bytes:
    """All headers of a name as one, cut at the left where it is long: the proxies write at the right."""
    joined = b",".join(value for key, value in scope["headers"] if key == name)
    return joined[-_LONGEST_FORWARDED_BYTES:]


def _hops(header: bytes) -> Iterator[str]:
    """From the right, the last few."""
    hops = header.decode("latin-1").split(",")
    return (hop.strip() for hop in hops[: -_MOST_HOPS - 1 : -1])


def _address(text: str) -> Address | None:
    """An address as written, with a port, or in brackets; IPv4 in IPv6 form is IPv4. None for anything else."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
