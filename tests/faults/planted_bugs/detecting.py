"""How a detector tells what it saw: a process of its own, its exit, and its last line.

Exit 0: it saw nothing. `CAUGHT`: something did not hold. Any other: it did not work. The last line gives the seconds of
CPU it took, and what it saw.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path

import worker

TREE = Path(__file__).parents[3]
CAUGHT = 10
CPU_SECONDS = 300
"""What a detector may use: several times what the longest uses on a tree without a bug."""


def tell(look: Callable[[], str]) -> int:
    """Let a detector look within its time; prints what it saw, and returns the exit code."""
    if not Path(worker.__file__).is_relative_to(TREE):
        raise RuntimeError(f"the code of another tree is imported: {worker.__file__}")
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    saw = " ".join(look().split())
    used = resource.getrusage(resource.RUSAGE_SELF)
    sys.stdout.write(f"\n{used.ru_utime + used.ru_stime:.1f} {saw}\n")
    return CAUGHT if saw else 0
