"""What a probe of one part of an installation found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from worker.ledger.session import Ledger, SchemaMismatchError
from worker.settings.settings import Settings

_Answer = TypeVar("_Answer")


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


@dataclass(frozen=True)
class Part:
    """A part of an installation, and how a probe of it can end."""

    name: str
    kind: str

    def is_off(self, next_step: str, missing: tuple[str, ...] = ()) -> ProbeResult:
        """Something is not set."""
        return ProbeResult(self.name, self.kind, configured=False, next_step=next_step, missing=missing)

    def is_away(self, detail: str, next_step: str) -> ProbeResult:
        """Nothing answered."""
        return ProbeResult(self.name, self.kind, configured=True, reachable=False, detail=detail, next_step=next_step)

    def refuses(self, detail: str, next_step: str) -> ProbeResult:
        """It answered, and not as it should."""
        return replace(self.works(detail, next_step), accepted=False)

    def works(self, detail: str, next_step: str = "", *, statuses: tuple[StatusReading, ...] = ()) -> ProbeResult:
        """It answered as it should."""
        return ProbeResult(
            self.name,
            self.kind,
            configured=True,
            reachable=True,
            accepted=True,
            detail=detail,
            next_step=next_step,
            order_statuses=statuses,
        )


def read_or_none(settings: Settings, read: Callable[[Connection], _Answer]) -> _Answer | None:
    """What the ledger says; None where it is not there, or cannot be read, which its own finding says."""
    ledger = Ledger(settings.database_url.get_secret_value())
    if ledger.path is not None and not ledger.path.exists():
        return None
    try:
        ledger.check_schema()
        with ledger.read() as connection:
            return read(connection)
    except (SchemaMismatchError, SQLAlchemyError):
        return None
    finally:
        ledger.close()


def with_notes(detail: str, notes: Sequence[str]) -> str:
    """What a system answered, and what of it was read though something stood around it (`ApiClient.notes`)."""
    if not notes:
        return detail
    more = f" and {len(notes) - 1} more" if len(notes) > 1 else ""
    return f"{detail}; read all the same: {notes[0]}{more}"
