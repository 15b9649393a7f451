"""Polling against histories made at random, each replayable by its seed: no version that stays in sight is missed.

What each source is held to, for every successful poll:

- Frontcore: every version visible throughout the poll is in the ledger when it ends, whatever came, went or moved
  meanwhile, and without any help from the daily sweep.
- Studiocart: the same, unless orders were deleted during a walk or touched without a change: what these hid is in the
  ledger at the end of the next daily sweep during which none was deleted.

`pytest tests/faults/test_polling_model.py --histories SEED` is not needed: a failure names its seed, and
`replay("frontcore", seed)` in this file runs it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from sqlalchemy import select

from tests.faults.polled_models import (
    BEGIN,
    Crash,
    ModelFrontcore,
    ModelStudiocart,
    MortalLedger,
    World,
    cut,
)
from worker.ledger.models import cursors, order_versions
from worker.sources.frontcore import FrontcoreSource
from worker.sources.studiocart import StudiocartSource
from workflows import polling
from workflows.hints import SourcePolicy
from workflows.offers import OffersBook
from workflows.polling import Polled, Poller

pytestmark = pytest.mark.faults

Name = Literal["studiocart", "frontcore"]
HISTORIES = 2000
PARTS = 4
"""So that two processes share the work."""
BASELINE_DAYS = 30
_GAPS = tuple(timedelta(minutes=each) for each in (6, 6, 60, 60 * 26, 60 * 40))


class MissedError(AssertionError):
    """A version stayed in sight and is not in the ledger."""


class History:
    """One random history of one source, polled by the real poller into the real ledger."""

    def __init__(self, name: Name, seed: int, ledger: MortalLedger, book: OffersBook, *, calm: bool = False) -> None:
        """`calm`: the clocks agree and the account reads dates as they are meant."""
        self.name = name
        self.seed = seed
        self.rng = rng = Random(f"{name}-{seed}")
        self.ledger = ledger
        self.book = book
        zone = timezone(timedelta(hours=0 if calm else rng.choice([-12, -5, 0, 1, 2, 5.5, 14])))
        size = rng.choice([4, 5, 6]) if name == "studiocart" else rng.choice([6, 7, 9])
        self.world = World(rng, size, zone, lists_from=rng.random() < 0.5)
        self.skew = timedelta() if calm else timedelta(minutes=rng.choice([-90, -1, 0, 0, 1, 90]))
        self.kinds = ["create", "create", "late", "update", "update", "update", "delete"]
        self.kinds += ["touch"] * (name == "studiocart" and rng.random() < 0.3) + ["export"] * (name == "frontcore")
        self.unrest = rng.choice([0.0, 0.2, 0.6])
        self.trouble = rng.choice([0.0, 0.0, 0.1])
        self.mortality = rng.choice([0.0, 0.0, 0.04])
        self.is_disturbed = False
        self.source = self._source()
        self.world.during_request = self._during_request
        ledger.dies = lambda: rng.random() < self.mortality
        for _ in range(rng.randint(0, 14)):
            self.world.highest_id += rng.randint(1, 12)
            self.world.create(self.world.highest_id, BEGIN - timedelta(minutes=rng.randint(1, 60 * 24 * 20)))

    def clock(self) -> Any:
        return self.world.now + self.skew

    def _source(self) -> Any:
        if self.name == "studiocart":
            return StudiocartSource(ModelStudiocart(self.world), clock=self.clock)
        return FrontcoreSource(ModelFrontcore(self.world), provision_when="paid", clock=self.clock)

    def _during_request(self) -> None:
        """Between two requests: fewer orders move than a page holds."""
        self.world.pass_time(timedelta(), timedelta(seconds=1))
        for _ in range(2):
            if self.rng.random() < self.unrest:
                self.world.happen(self.kinds)
        if self.rng.random() < self.trouble:
            raise cut()
        if self.rng.random() < self.mortality:
            raise Crash

    def run(self) -> None:
        for _ in range(self.rng.randint(2, 5)):
            for _ in range(self.rng.choice([0, 1, 3, 6, 12])):
                self.world.happen(self.kinds)
            self.poll()
            self.world.pass_time(*_GAPS)
        self.unrest = self.trouble = self.mortality = 0.0
        self.world.pass_time(timedelta(hours=25))
        self.poll()

    def poll(self) -> None:
        world = self.world
        began, deletions = world.moment, world.deletions
        swept_at = self._swept_at()
        holder = f"{self.seed}-{world.moment}-{world.now.isoformat()}"
        policy = SourcePolicy(baseline_days=BASELINE_DAYS)
        poller = Poller(self.ledger, self.source, policy, self.book, holder=holder, clock=self.clock)
        polled = Polled(self.name, error="died")
        with suppress(Crash):
            polled = poller.poll()
        if polled.error is not None or polled.busy:
            return
        deleted = world.deletions > deletions
        swept = self._swept_at() != swept_at
        if self.name == "studiocart":
            if swept and not deleted:
                self.is_disturbed = False
                world.touches = 0
            self.is_disturbed = self.is_disturbed or deleted or world.touches > 0
        if not self.is_disturbed:
            self.check(began)

    def _swept_at(self) -> Any:
        with self.ledger.read() as connection:
            return connection.scalar(select(cursors.c.deep_swept_at).where(cursors.c.source == self.name))

    def check(self, began: int) -> None:
        """Every version in sight since before the poll began is recorded."""
        with self.ledger.read() as connection:
            found = connection.execute(select(order_versions.c.order_id, order_versions.c.raw))
            recorded = {(row.order_id, _version(row.raw)) for row in found}
        for kept in self.world.orders.values():
            if kept.visible_at <= began and (str(kept.id), f"v{kept.version}") not in recorded:
                raise MissedError(f"{self.name}, seed {self.seed}: order {kept.id} v{kept.version} was missed")


def _version(raw: dict[str, Any]) -> str:
    return str(raw["customer_name"] if "customer_name" in raw else raw["booker"]["name"])


@pytest.fixture(scope="module")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MortalLedger]:
    ledger = MortalLedger(f"sqlite:///{tmp_path_factory.mktemp('polled')}/ledger.db")
    ledger.hurry()
    ledger.prepare()
    yield ledger
    ledger.close()


@pytest.fixture
def book(tmp_path: Path) -> OffersBook:
    path = tmp_path / "offers.toml"
    path.write_text("")
    return OffersBook(path)


def replay(name: Name, seed: int, ledger: MortalLedger, book: OffersBook, **options: bool) -> None:
    """Run one history, in a ledger that was emptied for it."""
    ledger.empty()
    History(name, seed, ledger, book, **options).run()


def replay_all(
    name: Name, seeds: range, ledger: MortalLedger, book: OffersBook, monkeypatch: pytest.MonkeyPatch, **options: bool
) -> None:
    if name == "frontcore":
        monkeypatch.setattr(polling, "DEEP_SWEEP_EVERY", timedelta(days=3650))
    for seed in seeds:
        replay(name, seed, ledger, book, **options)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", ["studiocart", "frontcore"])
def test_every_version_that_stays_in_sight_is_recorded_when_anything_happens(
    name: Name, part: int, empty_ledger: MortalLedger, book: OffersBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = HISTORIES // PARTS
    replay_all(name, range(part * share, (part + 1) * share), empty_ledger, book, monkeypatch)
