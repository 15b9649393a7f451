"""Stands for the client of a source that nothing is set to ask: its webhooks' bodies are all that is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.errors import NoAccessError


class NoAccess:
    """Whatever is asked of it raises `NoAccessError`, which names the variables that are `missing`."""

    def __init__(self, system: str, missing: Sequence[str]) -> None:
        self._system = system
        self._missing = tuple(missing)

    def __getattr__(self, operation: str) -> Any:
        message = (
            f"the webhook's body does not say enough, and nothing is set to ask {self._system} with. "
            f"Set {', '.join(self._missing)}"
        )
        raise NoAccessError(message, system=self._system, operation=operation, sent=False)
