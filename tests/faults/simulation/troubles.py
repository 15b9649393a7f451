"""The vendors' own troubles, by seed: what others have reported of such sites, each for a while or for good.

Everything here is done between the network and the sandbox's systems, or by the sandbox's own configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tests.faults.simulation.network import WCF_PAGE, Fate
from tests.faults.simulation.virtual_time import BEGINNING
from worker.sandbox import wire
from worker.sandbox.world import World

STALL_SECONDS = (60.0, 120.0)
BLOCKED_NAME = "O'Brien"


@dataclass(frozen=True)
class Window:
    """A time in which something is so, in seconds since the beginning."""

    begins: float = 0.0
    ends: float = 0.0

    def holds(self, seconds: float) -> bool:
        return self.begins <= seconds < self.ends


NEVER = Window()
_USUAL = (NEVER, None, 0, 0.0, (), False, "both", "null_row", "wait", 120.0)
"""What a trouble's field holds where a seed has it not."""


@dataclass
class Troubles:
    """One seed's. The fields of `Window` are over when everything works again; the others stay."""

    stall: Window = NEVER
    """LearningCart answers nothing, and carries out all that has queued when it is over."""
    gateway_seconds: float | None = None
    """When something in front of LearningCart answers 504 in a stall."""
    stale_lists: Window = NEVER
    """A cache shows each page of the shop's lists as it was at first."""
    stale_subscriptions: Window = NEVER
    """The same for subscriptions alone, records and lists."""
    subscriptions_504: Window = NEVER
    same_page: Window = NEVER
    """Every list shows its newest ten, whatever is asked for."""
    unreadable_rows: Window = NEVER
    unreadable_as: str = "null_row"
    broken_offers: Window = NEVER
    firewall_status: int = 0
    """403 or 500: `addCustomer` of one name is refused by something in front of LearningCart."""
    firewall: Window = NEVER
    spent_tokens: tuple[float, ...] = ()
    """When LearningCart forgets its tokens, and says so by WCF's page."""
    wcf_pages: float = 0.0
    """The share of LearningCart's answers that are WCF's page instead, carried out or not."""
    slow_above_rows: int | None = None
    refuses_get_bodies: bool = False
    parameters_in: str = "both"
    names_only: bool = False
    """An older plugin: items without ids."""
    trusts_webhooks: bool = False
    trials: str = "wait"
    has_history: bool = False
    """There are orders of before the start."""
    redatings: int = 0
    zone_moves: int = 0
    trashings: int = 0
    longest_retry_seconds: float = 120.0
    is_calm: bool = False
    _asked: int = 0
    _cached: dict[tuple[str, bytes], wire.Answer] = field(default_factory=dict)

    @classmethod
    def draw(cls, rng: Random, span_seconds: float) -> Troubles:
        """Most seeds have one or two of them, so that each is seen alone and beside others."""

        def some(share: float, shortest: float = 30.0, longest: float = 240.0) -> Window:
            begins = rng.uniform(0, span_seconds * 0.7)
            length = rng.uniform(shortest, longest)
            return Window(begins, begins + length) if rng.random() < share else NEVER

        firewall = rng.random() < 0.08
        return cls(
            stall=some(0.15, *STALL_SECONDS),
            gateway_seconds=rng.choice([None, 20.0]),
            stale_lists=some(0.1),
            stale_subscriptions=some(0.15, 60.0, 600.0),
            subscriptions_504=some(0.1),
            same_page=some(0.08),
            unreadable_rows=some(0.06),
            unreadable_as=rng.choice(["null_row", "shell_customer", "no_order_id"]),
            broken_offers=some(0.08),
            firewall_status=rng.choice([403, 500]) if firewall else 0,
            firewall=Window(0, span_seconds) if firewall else NEVER,
            spent_tokens=tuple(rng.uniform(0, span_seconds) for _ in range(2)) if rng.random() < 0.1 else (),
            wcf_pages=rng.choice([0.05, 0.2]) if rng.random() < 0.12 else 0.0,
            slow_above_rows=25 if rng.random() < 0.08 else None,
            refuses_get_bodies=rng.random() < 0.05,
            parameters_in=rng.choice(["query", "body"]) if rng.random() < 0.08 else "both",
            names_only=rng.random() < 0.08,
            trusts_webhooks=rng.random() < 0.12,
            trials=rng.choice(["wait", "wait", "grant"]),
            has_history=rng.random() < 0.2,
            redatings=rng.choice([0, 0, 1, 2]),
            zone_moves=1 if rng.random() < 0.15 else 0,
            trashings=1 if rng.random() < 0.1 else 0,
            longest_retry_seconds=3600.0 if rng.random() < 0.04 else 120.0,
        )

    def names(self) -> list[str]:
        """Which of them this seed has, for the counts."""
        return [name for name, value in vars(self).items() if not name.startswith("_") and value not in _USUAL]

    def configure(self, world: World) -> None:
        """What is so from the beginning."""
        shop, learningcart = world.config.studiocart, world.config.learningcart
        shop.slow_above_rows = self.slow_above_rows
        shop.refuses_get_bodies = self.refuses_get_bodies
        shop.parameters_in = "query" if self.refuses_get_bodies else self.parameters_in  # type: ignore[assignment]
        shop.items = "names" if self.names_only else "ids"
        if self.spent_tokens:
            learningcart.refusal = "400"

    def calm_down(self, world: World) -> None:
        """Everything works again. What a site is like stays; so does a firewall that refuses by 403."""
        self.is_calm = True
        if self.firewall_status == 500:
            self.firewall = NEVER
        self._cached.clear()
        self._sync(world, float("inf"))

    def fate(self, rng: Random, operation: str, now: float) -> Fate | None:
        """What becomes of a request on its way by the systems' own troubles; None: nothing."""
        if not operation.startswith("learningcart "):
            return None
        if self.stall.holds(now):
            queued = self.stall.ends - now + rng.uniform(0, 3)
            return Fate(travel_seconds=queued, gateway_seconds=self.gateway_seconds, is_stalled=True)
        if self.wcf_pages and rng.random() < self.wcf_pages:
            return Fate(garbled="wcf")
        return None

    def answer(
        self, system: str, request: wire.Request, world: World, answer: Callable[[], wire.Answer]
    ) -> wire.Answer:
        """What a request comes to: the system's own answer, or what stands in front of it."""
        now = world.clock.now().timestamp() - _began(world)
        self._sync(world, now)
        if system == "learningcart":
            self._asked += 1
            if self.wcf_pages and not self.is_calm and self._asked % 11 == 0:
                return WCF_PAGE  # before it was carried out
            return self._blocked(request, now) or answer()
        if system != "studiocart":
            return answer()
        is_of_subscriptions = "/subscriptions" in request.path
        if is_of_subscriptions and self.subscriptions_504.holds(now):
            return wire.Answer.of_html("504 Gateway Time-out", "The upstream server took too long.", 504)
        is_list = not request.path.rstrip("/").rpartition("/")[2].isdigit()
        is_stale = (is_list and self.stale_lists.holds(now)) or (
            is_of_subscriptions and self.stale_subscriptions.holds(now)
        )
        if not is_stale:
            return answer()
        key = (request.url, request.body)
        if key not in self._cached:
            self._cached[key] = answer()
        return self._cached[key]

    def _blocked(self, request: wire.Request, now: float) -> wire.Answer | None:
        is_on = self.firewall_status and (self.firewall.holds(now) or self.firewall_status == 403)
        if not is_on or not request.path.casefold().endswith("addcustomer"):
            return None
        if not any(BLOCKED_NAME in value for value in request.query.values()):
            return None
        return wire.Answer.of_html("Blocked", "This request was blocked by a security rule.", self.firewall_status)

    def _sync(self, world: World, now: float) -> None:
        shop, learningcart = world.config.studiocart, world.config.learningcart
        usual = "query" if self.refuses_get_bodies else self.parameters_in
        shop.parameters_in = "neither" if self.same_page.holds(now) else usual  # type: ignore[assignment]
        learningcart.records = self.unreadable_as if self.unreadable_rows.holds(now) else "whole"  # type: ignore[assignment]


def _began(world: World) -> float:
    return BEGINNING.timestamp()
