"""Ledgers that die: the real one, and a stand-in that keeps what polling asks of it in memory, for many histories.

Both run the real poller. The stand-in takes the place of the statements below it, one for one, with transactions that
are rolled back as the real ones are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, delete, select, text

from tests.faults.harness.deployment import skip_disk_waits
from worker.ledger.orders import order_rows
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import cursors, deliveries, events, order_versions, orders
from worker.sources.order import Order
from workflows.ingest import order_polling
from workflows.ingest.order_polling import Poller
from workflows.recording.order_recording import Look


class Crash(BaseException):
    """The process is gone: nothing of it runs any more."""


def never() -> bool:
    return False


class MortalLedger(Ledger):
    """The real ledger, in a process that may die before or after any commit. It does not wait for the disk."""

    poller = Poller

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.dies: Callable[[], bool] = never
        skip_disk_waits(self.engine)
        self.migrate()
        with self.write() as connection:  # some tables are only added to: here they are emptied for the next history
            for guard in connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                connection.execute(text(f"DROP TRIGGER {guard}"))

    @contextmanager
    def write(self, **how: bool) -> Iterator[Connection]:
        with super().write(**how) as connection:
            yield connection
            if self.dies():
                raise Crash
        if self.dies():
            raise Crash

    def empty(self) -> None:
        self.dies = never
        with self.write() as connection:
            for table in (events, deliveries, order_versions, orders, cursors):
                connection.execute(delete(table))

    def versions(self) -> set[tuple[str, str]]:
        """Every version recorded, as the order's id and the name it then had."""
        with self.read() as connection:
            found = connection.execute(select(order_versions.c.order_id, order_versions.c.raw))
            return {(row.order_id, row.raw.get("customer_name") or row.raw["booker"]["name"]) for row in found}

    def swept_at(self) -> datetime | None:
        with self.read() as connection:
            return connection.scalar(select(cursors.c.deep_swept_at))


@dataclass
class LedgerState:
    """What the stand-in holds."""

    hashes: dict[str, str] = field(default_factory=dict)
    versions: set[tuple[str, str]] = field(default_factory=set)
    cursor: dict[str, Any] = field(default_factory=dict)

    def __copy__(self) -> LedgerState:
        return LedgerState(dict(self.hashes), set(self.versions), dict(self.cursor))


class MemoryPoller(Poller):
    """The poller, with its two statements about the cursor carried out in memory."""

    def _take_cursor(self) -> Any:
        now = self.clock()
        with self.ledger.write() as state:
            cursor: dict[str, Any] = state.cursor  # type: ignore[attr-defined]
            for name in ("baseline_at", "deep_swept_at", "lease_until", "lease_holder", "start_at"):
                cursor.setdefault(name, None)
            cursor.setdefault("position", {})
            cursor.setdefault("failures", 0)
            if cursor["lease_until"] is not None and cursor["lease_until"] > now:
                return None
            cursor.update(lease_holder=self.holder, lease_until=now + timedelta(seconds=300), last_attempt_at=now)
            return SimpleNamespace(**cursor)

    def _write_cursor(self, connection: Any, **values: Any) -> bool:
        if connection.cursor["lease_holder"] != self.holder:
            return False
        connection.cursor.update(values)
        return True


class MemoryLedger:
    """The stand-in. `serve` puts it below the poller."""

    poller = MemoryPoller

    def __init__(self) -> None:
        self.dies: Callable[[], bool] = never
        self.state = LedgerState()

    @staticmethod
    def serve(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(order_polling, "known_orders", _known_orders)
        monkeypatch.setattr(order_polling, "record_orders", _record_orders)
        monkeypatch.setattr(order_polling, "note_contact", lambda *_, **__: None)
        monkeypatch.setattr(order_polling, "note_first_list", lambda *_, **__: None)
        for name in ("reread_orders", "set_aside", "settle_read", "settle_absent"):
            monkeypatch.setattr(order_polling, name, lambda *_, **__: None)

    @contextmanager
    def write(self) -> Iterator[LedgerState]:
        state = copy(self.state)
        yield state
        if self.dies():
            raise Crash
        self.state = state
        if self.dies():
            raise Crash

    @contextmanager
    def read(self) -> Iterator[LedgerState]:
        yield self.state

    def empty(self) -> None:
        self.dies = never
        self.state = LedgerState()

    def versions(self) -> set[tuple[str, str]]:
        return self.state.versions

    def swept_at(self) -> datetime | None:
        found: datetime | None = self.state.cursor.get("deep_swept_at")
        return found


def _known_orders(state: LedgerState, source: str, order_ids: list[str]) -> dict[str, Any]:
    return {
        each: SimpleNamespace(polled_hash=state.hashes[each], has_placeholders=False, offers_digest="")
        for each in order_ids
        if each in state.hashes
    }


def _record_orders(
    state: LedgerState, seen: Sequence[tuple[Order, Look]], offers: object, **_: object
) -> list[SimpleNamespace]:
    for order, _look in seen:
        state.hashes[order.id] = order_rows.content_hash(order)
        state.versions.add((order.id, order.buyer_name))
    return [SimpleNamespace(ready=[]) for _ in seen]
