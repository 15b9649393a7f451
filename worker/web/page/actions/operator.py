"""What the page acts with: the operator's changes, and the bell that wakes the workers after one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from workflows.operations.replay import Operations


class RunBell(Protocol):
    """Tells the workers what became due. True where it was told; never raises, and losing a ring loses nothing."""

    def ring_runs(self, run_ids: Sequence[str]) -> bool:
        """Send runs to the workers."""

    def ring_sweep(self) -> bool:
        """Have the ledger looked through for due work."""


@dataclass(frozen=True)
class Desk:
    """Where the operator works. A page without one only shows."""

    operations: Operations
    bell: RunBell
