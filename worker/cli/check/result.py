"""What a probe of one part of an installation found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class StatusReading:
    """How one status of a source's orders is read."""

    id: str
    label: str
    """What the source calls it; empty where it does not list it."""
    reading: str


@dataclass(frozen=True)
class ProbeResult:
    """What a probe found. None: not asked, or no matter."""

    name: str
    kind: str
    """`destination`, `source`, `ledger`, `broker`, `offers` or `mail`."""
    configured: bool
    reachable: bool | None = None
    accepted: bool | None = None
    detail: str = ""
    next_step: str = ""
    missing: tuple[str, ...] = ()
    """The variables that are not set."""
    order_statuses: tuple[StatusReading, ...] = ()
    """Where a source gives its statuses labels of its own: each, and how it is read."""

    @property
    def failed(self) -> bool:
        """Whether something that is configured does not work."""
        return self.configured and (self.reachable is False or self.accepted is False)

    @property
    def works(self) -> bool:
        """Whether it was asked and answered as it should."""
        return self.configured and self.accepted is True


def with_notes(detail: str, notes: Sequence[str]) -> str:
    """What a system answered, and what of it was read though something stood around it (`ApiClient.notes`)."""
    if not notes:
        return detail
    more = f" and {len(notes) - 1} more" if len(notes) > 1 else ""
    return f"{detail}; read all the same: {notes[0]}{more}"
