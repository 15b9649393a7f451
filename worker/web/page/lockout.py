"""How often one address may guess the admin password: five times at once, then ever more slowly."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FREE_FAILURES = 5
LONGEST_WAIT_SECONDS = 900
_FORGOTTEN_AFTER_SECONDS = 3600.0
_MOST_ADDRESSES = 10_000


@dataclass
class _Guesser:
    failures: int = 0
    open_at: float = 0.0
    seen_at: float = 0.0


class Lockout:
    """Counts each address's failures in this process's memory. Safe to share between threads.

    The fifth failure in a row costs a second, each further one twice as long, a quarter of an hour at most; an hour
    without a try forgets them. `monotonic` gives seconds that nobody sets.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._guessers: OrderedDict[str, _Guesser] = OrderedDict()
        self._lock = threading.Lock()

    def admit(self, address: str) -> int | None:
        """Count one more try as a failure, until `forget` says otherwise. None: go on; else the seconds to wait.

        Counted before the password is looked at, so that a hundred tries at once are not a hundred first ones.
        """
        now = self._monotonic()
        with self._lock:
            guesser = self._guessers.pop(address, None)
            if guesser is None or now - guesser.seen_at > _FORGOTTEN_AFTER_SECONDS:
                guesser = _Guesser()
            self._guessers[address] = guesser
            if len(self._guessers) > _MOST_ADDRESSES:
                self._guessers.popitem(last=False)
            if now < guesser.open_at:
                return max(1, math.ceil(guesser.open_at - now))
            guesser.failures += 1
            guesser.seen_at = now
            if guesser.failures >= FREE_FAILURES:
                doublings = min(guesser.failures - FREE_FAILURES, 20)
                guesser.open_at = now + min(2**doublings, LONGEST_WAIT_SECONDS)
            return None

    def forget(self, address: str) -> None:
        """The address has proven itself: it begins anew."""
        with self._lock:
            self._guessers.pop(address, None)
