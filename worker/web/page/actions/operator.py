"""What the page acts with: the operator's changes, and the dispatcher that wakes the workers after one."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.dispatch import Dispatcher
from workflows.operations.replay import Operations


@dataclass(frozen=True)
class Operator:
    """Where the operator works. A page without one only shows."""

    operations: Operations
    dispatcher: Dispatcher
