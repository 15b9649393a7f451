"""Taking orders in because an operator asks, from where no worker is: asked for here, and done by the workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Any

from worker.errors import ConfigurationError
from worker.ledger.events import record_event
from worker.ledger.orders import order_rows
from worker.ledger.session import Ledger
from worker.ledger.states import DeliveryState, Via
from workflows.descriptions import describe_plan
from workflows.ingest.backfill import Window
from workflows.ingest.deliveries import DeliveryReader
from workflows.ingest.requested_backfills import BackfillItem, request_backfill


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedOrder:
    """An order that was asked for by name. Its delivery says what came of it; `plan` what would, with `dry_run`."""

    source: str
    order_id: str
    state: str
    delivery_id: str | None
    plan: list[str]


@dataclass(frozen=True)
class Intake:
    """Each request is committed before a message about it is sent."""

    ledger: Ledger
    delivery_reader: DeliveryReader
    _: KW_ONLY
    check_source: Callable[[str], object]
    """Raises `ConfigurationError` for a source that cannot be asked."""
    clock: Callable[[], datetime]

    def ask(
        self, source: str, order_ids: Sequence[str], *, actor: str, reason: str | None = None, dry_run: bool = False
    ) -> list[AskedOrder]:
        """Ask for orders by name: a delivery each, in one transaction. With `dry_run` they are fetched here, one after
        another, and nothing is written.

        Raises `ConfigurationError`; with `dry_run` also `ApiError` and `OffersError`.
        """
        self.check_source(source)
        if dry_run:
            return [self._preview(source, order_id) for order_id in order_ids]
        asked = []
        now = self.clock()
        with self.ledger.write() as connection:
            for order_id in order_ids:
                about: dict[str, Any] = {"source": source, "order_id": order_id, "actor": actor}
                delivery_id = order_rows.insert_delivery(connection, via=Via.MANUAL, now=now, sent=True, **about)
                record_event(connection, at=now, kind="order_ingested", delivery_id=delivery_id, reason=reason, **about)
                state = DeliveryState.RECEIVED
                asked.append(
                    AskedOrder(source=source, order_id=order_id, state=state, delivery_id=delivery_id, plan=[])
                )
        return asked

    def _preview(self, source: str, order_id: str) -> AskedOrder:
        order, plan = self.delivery_reader.preview_fetched(source, order_id)
        lines = list(describe_plan(plan))
        return AskedOrder(source=source, order_id=order.id, state=plan.state, delivery_id=None, plan=lines)

    def backfill(
        self,
        source: str,
        since: datetime,
        until: datetime | None,
        *,
        actor: str,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> BackfillItem:
        """Ask for a window of a source's history. Raises `ConfigurationError`."""
        self.check_source(source)
        now = self.clock()
        window = Window(since, until or now)
        if window.since >= window.until:
            raise ConfigurationError("The window ends before it begins.")
        return request_backfill(self.ledger, source, window, actor=actor, reason=reason, dry_run=dry_run, now=now)
