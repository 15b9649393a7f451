"""A clock, a source and an offers file of each test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workflows.fakes.frontcore_orders import Operator
from tests.unit.workflows.fakes.polled_storefront import Shop
from tests.unit.workflows.fakes.reconciled_world import SINCE, FakeCart, NewReconciler
from tests.unit.workflows.fakes.storefront import ONE_OFFER, Clock, FakeSource, a_hint_reader
from worker.ledger.session import Ledger
from workflows.ingest.deliveries import DeliveryReader, SourcePolicy
from workflows.planning.offers_file import OffersFile
from workflows.reconcile.reconciler import Reconciled, Reconciler


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(clock: Clock) -> FakeSource:
    return FakeSource(clock)


@pytest.fixture
def offers_file(tmp_path: Path) -> Path:
    path = tmp_path / "offers.toml"
    path.write_text(ONE_OFFER)
    return path


@pytest.fixture
def offers_reader(offers_file: Path) -> OffersFile:
    return OffersFile(offers_file)


@pytest.fixture
def reader(ledger: Ledger, source: FakeSource, offers_reader: OffersFile, clock: Clock) -> DeliveryReader:
    return a_hint_reader(ledger, source, offers_reader, clock)


@pytest.fixture
def shop(ledger: Ledger, source: FakeSource, offers_reader: OffersFile, clock: Clock) -> Shop:
    return Shop(ledger, source, offers_reader, clock)


@pytest.fixture
def operator() -> Operator:
    return Operator()


@pytest.fixture
def cart() -> FakeCart:
    return FakeCart()


@pytest.fixture
def new_reconciler(
    ledger: Ledger, source: FakeSource, offers_reader: OffersFile, reader: DeliveryReader, clock: Clock
) -> NewReconciler:
    """Makes reconcilers of the one shop; `learningcart` is to be given."""

    def make(**options: Any) -> Reconciler:
        policies = {"studiocart": SourcePolicy(start_at=SINCE)}
        return Reconciler(
            ledger,
            {"studiocart": source},
            policies,
            offers_reader,
            delivery_reader=reader,
            clock=clock,
            **options,
        )

    return make


@pytest.fixture
def reconciler(new_reconciler: NewReconciler, cart: FakeCart) -> Reconciler:
    return new_reconciler(learningcart=cart)


@pytest.fixture
def find(reconciler: Reconciler, clock: Clock) -> Callable[[], Reconciled]:
    def reconcile() -> Reconciled:
        clock.advance(minutes=1)
        return reconciler.find(SINCE)

    return reconcile
