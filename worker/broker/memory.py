"""How much memory a process takes for having threads, whatever they do."""

from __future__ import annotations

import ctypes
import threading
from contextlib import suppress
from typing import Final

_STACK_BYTES: Final = 1024 * 1024
"""Of a thread: the platform's default is eight times as much, and Python's own frames are not on it."""
_ARENAS: Final = 2
_M_ARENA_MAX: Final = -8  # of glibc's malloc.h


def spare_memory() -> None:
    """Reserve less address space for each thread to come. Call it before there are any; safe to repeat.

    Without it glibc reserves 64 MB for each of many arenas, and an address space limited to 512 MB is full while the
    process is idle. The global lock lets one thread allocate at a time anyway.
    """
    threading.stack_size(_STACK_BYTES)
    with suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
