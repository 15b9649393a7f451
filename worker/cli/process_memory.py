"""How much memory a process that stays takes for having threads, and how long it stops to look for garbage."""

from __future__ import annotations

import ctypes
import gc
import threading
from contextlib import suppress
from typing import Final

_STACK_BYTES: Final = 1024 * 1024
"""Of a thread: the platform's default is eight times as much, and Python's own frames are not on it."""
_ARENAS: Final = 2
_M_ARENA_MAX: Final = -8  # of glibc's malloc.h
_ALLOCATIONS_BETWEEN_LOOKS: Final = 10_000


def spare_memory() -> None:
    """Reserve less address space for each thread to come. Call it before there are any; safe to repeat.

    Without it glibc reserves 64 MB for each of many arenas, and an address space limited to 512 MB is full while the
    process is idle. The global lock lets one thread allocate at a time anyway.
    """
    threading.stack_size(_STACK_BYTES)
    with suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def spare_collections() -> None:
    """Never look for garbage again in what there is now. Call it when all is imported and made; safe to repeat.

    Python's collector stops every thread: for a tenth of a second where it looks through all that was imported, and
    whoever waits for an answer waits so long.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_BETWEEN_LOOKS, 10, 10)
