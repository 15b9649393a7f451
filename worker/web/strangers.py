"""How often one address may fail to authenticate before it is asked to stop."""

from __future__ import annotations

import ipaddress
import math
import threading
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import Request

FAILURES_PER_MINUTE = 30
_IPV6_SITE_BITS = 64
_LONGEST_HOST = 64
"""A proxy that passes on what a client says of itself passes on anything: it is kept in memory, trail and log."""


class Strangers:
    """Counts the failures of each client address, in this process's memory. What authenticates is never counted."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._item = RateLimitItemPerMinute(FAILURES_PER_MINUTE, namespace="cartbridge")
        # MemoryStorage drops its own lock when it tidies up, and could then lose a count.
        self._lock = threading.Lock()

    def count_failure(self, address: str) -> int | None:
        """Count one more failure. None while the address may go on; else the seconds it is to wait."""
        with self._lock:
            if self._limiter.hit(self._item, address):
                return None
            reset_at = self._limiter.get_window_stats(self._item, address).reset_time
        return max(1, math.ceil(reset_at - time.time()))


def address_of(request: Request) -> str:
    """The client's address; of an IPv6 one its network, since a single client owns all addresses in it."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "".join(each for each in host[:_LONGEST_HOST] if each.isprintable())
    if address.version == 6:
        return str(ipaddress.ip_network((address.packed, _IPV6_SITE_BITS), strict=False))
    return str(address)
