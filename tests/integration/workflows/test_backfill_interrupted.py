"""History taken in: a month of 10,000 orders from a source in memory, and a smaller one over the real sandbox."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.faults.harness.offers import OFFERS
from tests.faults.harness.product import Rig
from tests.unit.workflows.fakes.storefront import Clock, FakeSource
from worker.clients.studiocart.models import Order as StudiocartOrder
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import attempts, deliveries, events, order_versions, orders, runs, steps
from worker.sandbox import Sandbox, SandboxConfig, make_orders
from worker.sources.studiocart import to_order
from workflows.ingest.backfill import Backfilled, Backfiller, Window
from workflows.ingest.deliveries import SourcePolicy
from workflows.planning.offers_file import OffersFile

pytestmark = pytest.mark.integration

MONTH = 10_000
ENOUGH_SECONDS = 120.0


def contents(ledger: Ledger) -> dict[str, Any]:
    """How many rows each table holds, and the newest change; what a backfill says of itself left out."""
    found: dict[str, Any] = {}
    with ledger.read() as connection:
        for table in (orders, order_versions, runs, steps, attempts, deliveries):
            found[table.name] = connection.scalar(select(func.count()).select_from(table))
        for column in (orders.c.updated_at, runs.c.updated_at, deliveries.c.received_at):
            found[f"newest {column}"] = connection.scalar(select(func.max(column)))
        ours = events.c.kind.not_like("backfill%")
        found["events"] = connection.scalar(select(func.count()).select_from(events).where(ours))
    return found


def test_a_month_is_taken_in_once_when_it_is_backfilled_twice(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'cartbridge.db'}")
    ledger.migrate()
    (tmp_path / "offers.toml").write_text(OFFERS)
    clock = Clock(datetime.now(UTC))
    records = make_orders(MONTH, random.Random(7), newest_at=clock.now - timedelta(minutes=1))
    source = FakeSource(clock, page_size=100)
    source.put(*(to_order(StudiocartOrder.model_validate(record)) for record in records))
    window = Window(clock.now - timedelta(days=31), clock.now)

    def backfill() -> Backfilled:
        policy, offers_reader = SourcePolicy(start_at=clock.now), OffersFile(tmp_path / "offers.toml")
        return Backfiller(ledger, source, policy, offers_reader, clock=clock).run(window, actor="operator:ann")

    first = backfill()
    assert (first.orders, first.new, first.changed) == (MONTH, MONTH, 0)
    assert first.gives_access > MONTH / 3
    assert {"unmapped_product", "unnamed_seat", "awaiting_payment", "refunded_by_source"} <= set(first.reasons)
    before = contents(ledger)
    clock.advance(hours=1)
    begun_at = datetime.now(UTC)
    second = backfill()
    assert (datetime.now(UTC) - begun_at).total_seconds() < ENOUGH_SECONDS
    assert (second.orders, second.new, second.changed, second.unchanged) == (MONTH, 0, 0, MONTH)
    assert contents(ledger) == before
    ledger.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    url = f"sqlite:///{tmp_path / 'cartbridge.db'}"
    ledger = Ledger(url)
    ledger.migrate()
    ledger.close()
    with Sandbox.start(config=SandboxConfig(seeded=False)) as sandbox:
        # The shop was there for long when Cartbridge came.
        rig = Rig(sandbox, url, tmp_path, CARTBRIDGE_STUDIOCART__START_AT=datetime.now(UTC).isoformat())
        yield rig
        rig.close()


def backfill(rig: Rig, window: Window) -> Backfilled:
    runtime = rig.runtime
    backfiller = Backfiller(
        rig.ledger,
        runtime.sources["studiocart"],
        runtime.policies["studiocart"],
        runtime.offers,
        clock=rig.clock,
    )
    return backfiller.run(window, actor="operator:ann")


def test_each_seat_of_the_window_gets_access_once_when_the_sandbox_is_backfilled_twice(rig: Rig) -> None:
    for order in make_orders(250, random.Random(3), newest_at=rig.clock() - timedelta(days=1)):
        rig.sandbox.studiocart.add_order(order)
    assert rig.runtime.poller("studiocart").poll().error is None
    assert [row["state"] for row in rig.rows("runs") if row["state"] == "pending"] == []  # paid before the start
    rig.clock.move(60)
    window = Window(rig.clock() - timedelta(days=30), rig.clock())
    first = backfill(rig, window)
    assert (first.orders, first.changed) == (250, first.new + first.changed)
    assert first.gives_access > 80
    before = contents(rig.ledger)
    rig.clock.move(60)
    second = backfill(rig, window)
    assert (second.orders, second.new, second.changed) == (250, 0, 0)
    assert contents(rig.ledger) == before
    rig.finish()
    assert len(rig.comped_orders) == first.gives_access
    assert len({effect.facts["comments"] for effect in rig.comped_orders}) == first.gives_access
    rig.clock.move(60)
    assert rig.runtime.poller("studiocart").poll().error is None
    assert len(rig.comped_orders) == first.gives_access
