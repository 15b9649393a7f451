"""Polling against histories made at random, each replayable by its seed: no version that stays in sight is missed.

What each source is held to, for every successful poll:

- Frontcore: every version in sight throughout the poll is in the ledger when it ends, whatever came, went or moved
  meanwhile, and without any help from the daily sweep.
- Studiocart: the same, unless orders were deleted during a walk or touched without a change: what these hid is in the
  ledger at the end of the next daily sweep during which none was deleted.

A failure names its seed; `replay(name, [seed], …)` runs that history again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest

from tests.faults.polling.ledgers import Crash, MemoryLedger, MortalLedger
from tests.faults.polling.sources import BEGIN, ModelFrontcore, ModelStudiocart, World, cut
from worker.clients.frontcore import client as frontcore_client
from worker.sources import frontcore as frontcore_source
from worker.sources.frontcore import FrontcoreSource
from worker.sources.studiocart import StudiocartSource
from workflows.ingest import order_polling, paging
from workflows.ingest.deliveries import SourcePolicy
from workflows.ingest.order_polling import Polled
from workflows.ingest.paging import Position, Progress, Steps
from workflows.planning.offers_file import OffersFile

pytestmark = pytest.mark.faults

Name = Literal["studiocart", "frontcore"]
AnyLedger = MortalLedger | MemoryLedger
HISTORIES = 2000
PARTS = 4
"""So that two processes share the work."""
REAL_HISTORIES = 20
"""Of each source, on the real ledger: it takes twenty times as long."""
BASELINE_DAYS = 60
SEEDS_TO_FIND_A_BUG = 2000
_GAPS = {
    "studiocart": [timedelta(minutes=each) for each in (6, 6, 6, 60, 60 * 26)],
    "frontcore": [timedelta(minutes=each) for each in (6, 6, 60 * 30, 60 * 50, 60 * 70)],
}
"""Within Studiocart's day between two sweeps, and beyond Frontcore's overlap, a bug has nothing to hide behind."""


class MissedError(AssertionError):
    """A version stayed in sight and is not in the ledger."""


class History:
    """One random history of one source, polled by the real poller into the real ledger."""

    def __init__(
        self, name: Name, seed: int, ledger: AnyLedger, offers_reader: OffersFile, *, calm: bool = False
    ) -> None:
        """`calm`: the clocks agree, the account reads dates as they are meant, and no order shows itself late."""
        self.name = name
        self.seed = seed
        self.rng = rng = Random(f"{name}-{seed}")
        self.ledger = ledger
        self.offers_reader = offers_reader
        zone = timezone(timedelta(hours=0 if calm else rng.choice([-12, -5, 0, 1, 2, 5.5, 14])))
        size = rng.choice([4, 5, 6]) if name == "studiocart" else rng.choice([6, 7, 9])
        self.world = World(rng, size, zone, lists_from=rng.random() < 0.5, ids_apart=rng.choice([2, 12, 90]))
        self.skew = timedelta() if calm else timedelta(minutes=rng.choice([-90, -1, 0, 0, 1, 90]))
        self.kinds = ["create", "create", "update", "update", "update", "delete"] + ["late"] * (not calm)
        self.kinds += ["touch"] * (name == "studiocart" and rng.random() < 0.3) + ["export"] * (name == "frontcore")
        self.kinds += [rng.choice(self.kinds)] * rng.choice([0, 4, 12])
        self.unrest = rng.choice([0.0, 0.2, 0.6])
        self.trouble = rng.choice([0.0, 0.1, 0.3])
        self.mortality = rng.choice([0.0, 0.0, 0.04])
        self.is_disturbed = False
        self.source = self._source()
        self.world.during_request = self._during_request
        ledger.dies = lambda: rng.random() < self.mortality
        for _ in range(rng.choice([0, 5, 12, 20])):
            self.world.highest_id += rng.randint(1, self.world.ids_apart)
            self.world.create(self.world.highest_id, BEGIN - timedelta(minutes=rng.randint(1, 60 * 24 * 20)))

    def clock(self) -> datetime:
        return self.world.now + self.skew

    def _source(self) -> Any:
        if self.name == "studiocart":
            return StudiocartSource(ModelStudiocart(self.world), clock=self.clock)
        return FrontcoreSource(ModelFrontcore(self.world), provision_when="paid", clock=self.clock)

    def _during_request(self) -> None:
        """Between two requests: fewer orders move than a page holds."""
        self.world.pass_time(timedelta(), timedelta(), timedelta(seconds=1))
        for _ in range(2):
            if self.rng.random() < self.unrest:
                self.world.happen(self.kinds)
        if self.rng.random() < self.trouble:
            raise cut()
        if self.rng.random() < self.mortality:
            raise Crash

    def run(self) -> None:
        for _ in range(self.rng.randint(4, 8)):
            for _ in range(self.rng.choice([0, 0, 0, 1, 2, 2, 5])):
                kind = self.rng.choice(self.kinds)
                for _ in range(self.rng.choice([1, 1, 1, 4, 5, 6, 9])):
                    self.world.happen([kind])
            self.poll()
            self.world.pass_time(*_GAPS[self.name])
        self.unrest = self.trouble = self.mortality = 0.0
        self.world.pass_time(timedelta(hours=25))
        self.poll()

    def poll(self) -> None:
        world = self.world
        began, deletions = world.moment, world.deletions
        swept_at = self.ledger.swept_at()
        holder = f"{self.seed}-{world.moment}-{world.now.isoformat()}"
        policy = SourcePolicy(baseline_days=BASELINE_DAYS)
        ledger: Any = self.ledger
        poller = self.ledger.poller(ledger, self.source, policy, self.offers_reader, holder=holder, clock=self.clock)
        polled = Polled(self.name, error="died")
        with suppress(Crash):
            polled = poller.poll()
        if polled.error is not None or polled.busy:
            return
        deleted = world.deletions > deletions
        swept = self.ledger.swept_at() != swept_at
        if self.name == "studiocart":
            if swept and not deleted:
                self.is_disturbed = False
                world.touches = 0
            self.is_disturbed = self.is_disturbed or deleted or world.touches > 0
        if not self.is_disturbed:
            self.check(began)

    def check(self, began: int) -> None:
        """Every version in sight since before the poll began is recorded."""
        recorded = self.ledger.versions()
        for stored in self.world.orders.values():
            if stored.visible_at <= began and (str(stored.id), f"v{stored.version}") not in recorded:
                raise MissedError(f"{self.name}, seed {self.seed}: order {stored.id} v{stored.version} was missed")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> MemoryLedger:
    MemoryLedger.serve(monkeypatch)
    return MemoryLedger()


@pytest.fixture
def real(tmp_path: Path) -> Iterator[MortalLedger]:
    ledger = MortalLedger(f"sqlite:///{tmp_path}/ledger.db")
    yield ledger
    ledger.close()


@pytest.fixture
def offers_reader(tmp_path: Path) -> OffersFile:
    path = tmp_path / "offers.toml"
    path.write_text("")
    return OffersFile(path)


@pytest.fixture(autouse=True)
def _no_help(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Frontcore's promise stands without the daily sweep. Thousands of polls fail on purpose: no line for each."""
    caplog.set_level(logging.ERROR, "workflows.ingest.order_polling")
    if "frontcore" in request.node.name:
        monkeypatch.setattr(order_polling, "DEEP_SWEEP_EVERY", timedelta(days=3650))


def replay(name: Name, seeds: Sequence[int], ledger: AnyLedger, offers_reader: OffersFile, **options: bool) -> None:
    """Run histories, each in a ledger that was emptied for it."""
    for seed in seeds:
        ledger.empty()
        History(name, seed, ledger, offers_reader, **options).run()


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", ["studiocart", "frontcore"])
def test_every_version_that_stays_in_sight_is_recorded_when_anything_happens(
    name: Name, part: int, memory: MemoryLedger, offers_reader: OffersFile
) -> None:
    share = HISTORIES // PARTS
    replay(name, range(part * share, (part + 1) * share), memory, offers_reader)


@pytest.mark.parametrize("name", ["studiocart", "frontcore"])
def test_the_real_ledger_records_as_much_when_anything_happens(
    name: Name, real: MortalLedger, offers_reader: OffersFile
) -> None:
    replay(name, range(HISTORIES, HISTORIES + REAL_HISTORIES), real, offers_reader)


# Planted bugs: each is caught


def move_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cursor stands behind what was not walked yet, from the first page on."""
    monkeypatch.setattr(Progress, "position_of_page", lambda self: Position(self.seen_id, self.began_at))


def leave_out_known_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """`>` for `>=`: only ids above the highest one seen are looked for."""
    monkeypatch.setattr(paging, "OVERLAP_ORDERS", 0)


def leave_out_equality(monkeypatch: pytest.MonkeyPatch) -> None:
    """`>` for `>=`: what was changed in the very second of the last poll is not asked for."""
    monkeypatch.setattr(frontcore_source, "OVERLAP", timedelta(seconds=-1))


def ignore_shift(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page without change ends a walk, though new orders may have pushed changed ones below it."""
    monkeypatch.setattr(Steps, "is_past_what_was_recorded", property(lambda self: True))


def page_by_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Page after page, though rows that vanish pull others to pages that were walked before."""

    def walk(
        fetch: Callable[[int, int], list[Any]], *, largest_page: int, page_limit: int, **_: object
    ) -> Iterator[list[Any]]:
        for number in range(1, page_limit):
            page = fetch(number, largest_page)
            if not page:
                return
            yield page

    monkeypatch.setattr(frontcore_client, "walk_newest_first", walk)


@pytest.mark.parametrize(
    ("name", "plant", "calm"),
    [
        ("studiocart", move_early, False),
        ("studiocart", leave_out_known_ids, False),
        ("studiocart", ignore_shift, False),
        ("frontcore", move_early, False),
        ("frontcore", leave_out_equality, True),
        ("frontcore", page_by_numbers, False),
    ],
)
def test_bug_is_caught_when_one_is_planted(
    *,
    name: Name,
    plant: Callable[[pytest.MonkeyPatch], None],
    calm: bool,
    memory: MemoryLedger,
    offers_reader: OffersFile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(monkeypatch)
    with pytest.raises(MissedError):
        replay(name, range(SEEDS_TO_FIND_A_BUG), memory, offers_reader, calm=calm)


def test_frontcore_needs_no_overlap_when_the_clocks_agree(
    memory: MemoryLedger, offers_reader: OffersFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `leave_out_equality` is caught for is the equality, not the overlap it takes away."""
    monkeypatch.setattr(frontcore_source, "OVERLAP", timedelta())
    replay("frontcore", range(SEEDS_TO_FIND_A_BUG // 2), memory, offers_reader, calm=True)
