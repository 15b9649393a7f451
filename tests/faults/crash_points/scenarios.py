"""The stories in which processes are killed: what the outside world does, told without a word about the inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.faults.simulation.network import COMPED_ORDER, NEVER, SMOOTH, Fate

LATE_SECONDS = 10.0
"""How late an effect may be: well within the settle time."""
LANDS_UNSEEN = Fate(travel_seconds=25.0, cut_seconds=0.5)
"""It lands between the lookup that a run makes at once and the next one, after the settle time."""
EMAIL = "jane@example.test"
ITEM = "threedcart create_cart_item"


@dataclass(frozen=True)
class Sale:
    """An order in the shop, and whether the shop tells of it."""

    order_id: int
    product_id: str = "1107"
    webhooks: int = 1
    """How many webhooks the shop sends; without one the poll finds it."""


@dataclass(frozen=True)
class Scenario:
    """One story. `fates`: what becomes of the n-th request of `fated`, counted from 0; the others go smoothly."""

    name: str
    sales: tuple[Sale, ...] = (Sale(7001),)
    fates: Mapping[int, Fate] = field(default_factory=dict)
    fated: str = COMPED_ORDER
    completes: bool = False
    """The learner completes the course that a [[follow_on]] rule is for."""
    cancelled_after_seconds: float | None = None
    """The shop cancels the first order so long after the sale, and says so."""
    replayed: bool = False
    """An operator replays every run that is not done, once, after half a minute."""

    def fate_of(self) -> Callable[[str], Fate]:
        """The fates of one telling, to be asked once a request."""
        sent = 0

        def ask(operation: str) -> Fate:
            nonlocal sent
            if operation != self.fated:
                return SMOOTH
            sent += 1
            return self.fates.get(sent - 1, SMOOTH)

        return ask


SCENARIOS = (
    Scenario("webhook"),
    Scenario("poll", sales=(Sale(7001, webhooks=0),)),
    Scenario("storm", sales=(Sale(7001, webhooks=3),)),
    Scenario("bundle", sales=(Sale(7001, product_id="1130"),)),
    Scenario("two orders of one learner", sales=(Sale(7001), Sale(7002))),
    Scenario("answer lost", fates={0: Fate(answer_seconds=NEVER)}),
    Scenario("request lost", fates={0: Fate(travel_seconds=NEVER)}),
    Scenario("effect late", fates={0: Fate(travel_seconds=LATE_SECONDS, cut_seconds=0.5)}),
    Scenario("500 after the effect", fates={0: Fate(garbled="500"), 1: Fate(garbled="html")}),
    Scenario("cancelled while open", fates={0: LANDS_UNSEEN}, cancelled_after_seconds=25.0),
    Scenario("replayed while open", fates={0: LANDS_UNSEEN}, replayed=True),
    Scenario("follow_on", sales=(), completes=True),
    Scenario("follow_on, cart lost", (), {0: Fate(answer_seconds=NEVER)}, "threedcart create_cart", completes=True),
    Scenario("follow_on, item lost", (), {0: Fate(answer_seconds=NEVER)}, ITEM, completes=True),
    Scenario("follow_on, item late", (), {0: Fate(travel_seconds=LATE_SECONDS, cut_seconds=0.5)}, ITEM, completes=True),
)
