"""When a failed attempt is tried again: exponential backoff with full jitter, and the wait that the server asks for."""

from __future__ import annotations

from random import Random

LONGEST_REQUESTED_WAIT_SECONDS = 86_400.0
"""A server's `Retry-After` is honoured up to a day; beyond that it is taken for a mistake."""
_LARGEST_EXPONENT = 62


def backoff_seconds(
    failures: int, *, base_seconds: float, max_seconds: float, rng: Random, retry_after_seconds: float | None = None
) -> float:
    """How long to wait after the `failures`-th failure in a row (1 for the first).

    Uniform between 0 and `min(max_seconds, base_seconds * 2 ** (failures - 1))` (full jitter: many runs that failed
    together do not come back together), and never less than `retry_after_seconds`.
    """
    ceiling = min(max_seconds, base_seconds * 2.0 ** min(max(failures - 1, 0), _LARGEST_EXPONENT))
    requested = min(retry_after_seconds or 0.0, LONGEST_REQUESTED_WAIT_SECONDS)
    return max(rng.uniform(0.0, ceiling), requested)
