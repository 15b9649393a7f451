"""Waiting for what happens in another thread or process: by looking, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

_LOOK_SECONDS = 0.02


def wait_until(condition: Callable[[], object], *, seconds: float = 120.0, what: str = "") -> None:
    """Return as soon as the condition holds; fail when it does not within the time."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, f"still not after {seconds:g} s: {what or condition}"
        time.sleep(_LOOK_SECONDS)
