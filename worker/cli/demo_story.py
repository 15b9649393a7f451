"""What happens in the demo, chapter by chapter: orders and webhooks, faults, a kill, second thoughts, a quiet end."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Literal, Protocol

import requests

from worker.cli.demo_facts import Facts
from worker.cli.demo_orders import SEED_ORDER_ID, SEED_SUBSCRIPTION_ID, Sale, Season
from worker.cli.demo_process import DemoError, ProductProcess
from worker.sandbox import Fault, Sandbox, studiocart_webhook

READ_TIMEOUT_SECONDS: Final = 2.0
"""How long the demo's product waits for an answer; a call that hangs hangs longer."""
STORM_OF_WEBHOOKS: Final = 20
_TICK_SECONDS: Final = 0.1
_PAUSE_SECONDS: Final = 0.08
"""Between two orders, so that an eye can follow."""
_START_SECONDS: Final = 30.0
_HOOK_TIMEOUT_SECONDS: Final = 10.0
_SHAPES: Final[tuple[Literal["json", "form"], ...]] = ("json", "form")

CHAPTERS: Final = (
    "Cartbridge starts for the first time and finds a shop with orders in it",
    f"Order {SEED_ORDER_ID}, announced by {STORM_OF_WEBHOOKS} webhooks at once",
    "Orders of every shape, by webhook (JSON, form, each again) and by polling",
    "LearningCart misbehaves in every way it knows",
    "SIGKILL while LearningCart makes an order; more are sold to a closed door",
    "The shop has second thoughts: late payments, refunds, a renewal",
    "All comes to rest",
)


@dataclass(frozen=True)
class NamedFault:
    """A fault and what people call it."""

    name: str
    fault: Fault


def _comped(**fault: object) -> Fault:
    return Fault.from_json({"system": "learningcart", "operation": "addCompOrder", **fault})


SHOP_FAULTS: Final = (
    NamedFault(
        "the shop answers 503 to a look at an order", Fault("studiocart", "retrieve_order", "status", status=503)
    ),
    NamedFault("the shop cuts the connection of a poll", Fault("studiocart", "list_orders", "cut")),
)
STORM: Final = (
    NamedFault("connection cut after the order was made", _comped(kind="cut")),
    NamedFault("half an answer after the order was made", _comped(kind="half_answer")),
    NamedFault("500 after the order was made", _comped(kind="status", status=500, when="after")),
    NamedFault("no answer in time after the order was made", _comped(kind="hang", seconds=READ_TIMEOUT_SECONDS + 1)),
    NamedFault("a page of HTML in place of the answer", _comped(kind="html")),
    NamedFault("429 with Retry-After", _comped(kind="status", status=429, headers={"Retry-After": "1"})),
    NamedFault(
        "connection cut before a learner joined a group",
        Fault("learningcart", "addCustomerToGroup", "cut", when="before"),
    ),
)
LAST_CALL: Final = NamedFault(
    "the process killed after the order was made", _comped(kind="hang", seconds=READ_TIMEOUT_SECONDS + 1)
)
REVOKED_TOKEN: Final = "the token expired while in use"  # noqa: S105 -- the name of a fault


class _OutOfTimeError(Exception):
    """The deadline has come."""


class View(Protocol):
    """Where progress is shown."""

    def begin(self, chapter: int, seconds: float) -> None:
        """`CHAPTERS[chapter]` begins, so long after the beginning; those before are done. `len(CHAPTERS)`: all are."""

    def say(self, text: str, seconds: float) -> None:
        """Something happened, so long after the beginning."""

    def update(self, score: Score) -> None:
        """Show how things stand."""


@dataclass
class Score:
    """What has been done so far, and what came of it."""

    seconds: float = 0.0
    deadline_seconds: float = 0.0
    orders: int = 0
    orders_planned: int = 0
    """How many orders the demo will sell in all."""
    webhooks: Counter[str] = field(default_factory=Counter)
    """Sent webhooks by what became of them: `accepted`, `refused` (a stranger's), `lost` (nobody listened)."""
    comped_orders: int = 0
    comped_orders_expected: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    """How many requests each planned fault has hit, by its name."""
    kills: int = 0
    facts: Facts = field(default_factory=Facts)

    @property
    def faults_hit(self) -> int:
        """How many of the planned faults took place."""
        return sum(1 for hits in self.faults.values() if hits)


class Story:
    """Tells the demo's story once, in the caller's thread. `score` is what there is to show at any time."""

    def __init__(
        self,
        sandbox: Sandbox,
        product: ProductProcess,
        season: Season,
        view: View,
        look: Callable[[], Facts],
        *,
        deadline_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sandbox = sandbox
        self._product = product
        self._season = season
        self._view = view
        self._look = look
        self._clock = clock
        self._sleep = sleep
        self._began = clock()
        self._named: list[NamedFault] = []
        self._shapes = itertools.cycle(_SHAPES)
        self.score = Score(
            deadline_seconds=deadline_seconds,
            orders_planned=sum(1 for _ in season.sales()),
            comped_orders_expected=season.expected_orders().total(),
            faults=dict.fromkeys([each.name for each in (*SHOP_FAULTS, *STORM, LAST_CALL)] + [REVOKED_TOKEN], 0),
        )

    def tell(self) -> None:
        """All chapters, until everything has come to rest or the deadline has come. Raises `DemoError`."""
        chapters = (
            self._open,
            self._sell_seed,
            self._sell_all_shapes,
            self._storm,
            self._kill,
            self._change_minds,
            self._rest,
        )
        try:
            for number, chapter in enumerate(chapters):
                self._view.begin(number, self._seconds())
                chapter()
        except _OutOfTimeError:
            self._say("time is up")
        else:
            self._view.begin(len(chapters), self._seconds())

    # The chapters

    def _open(self) -> None:
        self._sandbox.studiocart.delete_order(SEED_ORDER_ID)  # it is sold in the next chapter
        for sale in self._season.before:
            self._put(sale)
        self._start()
        self._until(lambda: self.score.facts.knows(sale.order_id for sale in self._season.before))
        self._say(
            f"the first sweep found {len(self._season.before)} orders; the one from before the start is left alone"
        )

    def _sell_seed(self) -> None:
        seed = self._season.seed
        self._put(seed)
        with ThreadPoolExecutor(STORM_OF_WEBHOOKS) as pool:
            answers = list(pool.map(lambda _: self._send_webhook(seed.order_id), range(STORM_OF_WEBHOOKS)))
        self._count(answers)
        self._say(f"{answers.count('accepted')} of {len(answers)} webhooks accepted at once")
        self._count([self._send_webhook(seed.order_id, secret="of a stranger")])  # noqa: S106 -- a wrong one
        self._say("a webhook with a wrong secret was refused")
        self._until(lambda: self.score.facts.has_enrolled([seed.order_id]))
        self._say(f"order {seed.order_id} has its one comped order")

    def _sell_all_shapes(self) -> None:
        self._inject(SHOP_FAULTS)
        for sale in self._season.unannounced:
            self._sell(sale, webhooks=0)
        for number, sale in enumerate(self._season.announced):
            self._sell(sale, webhooks=2 + number % 2)
        sold = [*self._season.announced, *self._season.unannounced]
        self._until(
            lambda: (
                self._are_hit(SHOP_FAULTS)
                and self.score.facts.knows(sale.order_id for sale in sold)
                and self.score.facts.has_enrolled(sale.order_id for sale in sold if sale.prices and _is_paid(sale))
            )
        )
        self._say(f"{len(sold)} orders sold, {len(self._season.unannounced)} of them found by polling alone")

    def _storm(self) -> None:
        requests_before = self._sandbox.requests("learningcart", "requestToken")
        self._sandbox.learningcart.revoke_tokens()
        self._inject(STORM)
        for sale in self._season.faulty:
            self._sell(sale, webhooks=1)
        self._say(f"{len(STORM) + 1} faults are in force while {len(self._season.faulty)} orders come in")

        def is_over() -> bool:
            self.score.faults[REVOKED_TOKEN] = self._sandbox.requests("learningcart", "requestToken") - requests_before
            return self._are_hit(STORM) and self.score.facts.has_enrolled(sale.order_id for sale in self._season.faulty)

        self._until(is_over)
        self._say("every lost answer was looked up and adopted; nothing was ordered again")

    def _kill(self) -> None:
        season = self._season
        self._inject([LAST_CALL])
        self._sell(season.killed, webhooks=1)
        self._until(lambda: self._are_hit([LAST_CALL]) and self._has_comped_order(season.killed))
        self._product.kill()
        self.score.kills = self._product.kills
        self._say("SIGKILL: the comped order is made, and nobody is left to hear of it")
        for sale in season.missed:
            self._sell(sale, webhooks=1)
        self._sandbox.studiocart.add_renewal(SEED_SUBSCRIPTION_ID, id=season.renewal.order_id)
        self.score.orders += 1
        self._announce(season.renewal.order_id, 1)
        self._say(f"{self.score.webhooks['lost']} webhooks were sent to a closed door, and are lost")
        self._start()
        wanted = [season.killed, *season.missed, season.renewal]
        self._until(lambda: self.score.facts.has_enrolled(sale.order_id for sale in wanted))
        self._say("started again: the comped order was found and adopted, the lost orders were polled")

    def _change_minds(self) -> None:
        for change in self._season.changes:
            self._sandbox.studiocart.update_order(change.order_id, status=change.status)
            if change.announced:
                self._announce(change.order_id, 2)
            self._say(f"order {change.order_id}: {change.says}")
            self._pause()

    def _rest(self) -> None:
        self._until(
            lambda: (
                not self.score.facts.unfinished()
                and self.score.facts.has_statuses(self.statuses())
                and self.score.comped_orders >= self.score.comped_orders_expected
            )
        )

    # What they are made of

    def statuses(self) -> dict[str, str]:
        """The shop's orders as they stand: `{order id: status}`."""
        return {str(order["id"]): str(order["status"]) for order in self._sandbox.studiocart.orders}

    def tick(self) -> None:
        """Look at everything once and show it. Raises `DemoError` when the product has ended by itself."""
        score = self.score
        score.seconds = self._seconds()
        score.comped_orders = len(self._sandbox.effects_of("learningcart", "addCompOrder"))
        for described, named in zip(self._sandbox.world.faults.describe(), self._named, strict=True):
            score.faults[named.name] = described["hits"]
        score.facts = self._look()
        self._view.update(score)
        self._product.check()

    def _until(self, is_so: Callable[[], bool]) -> None:
        """Go on showing until something is so. Raises `_OutOfTimeError` at the deadline."""
        while True:
            self.tick()
            if is_so():
                return
            if self.score.seconds >= self.score.deadline_seconds:
                raise _OutOfTimeError
            self._sleep(_TICK_SECONDS)

    def _seconds(self) -> float:
        return self._clock() - self._began

    def _say(self, text: str) -> None:
        self._view.say(text, self._seconds())

    def _pause(self) -> None:
        self.tick()
        self._sleep(_PAUSE_SECONDS)

    def _start(self) -> None:
        self._product.start()
        began = self._clock()
        while not self._product.is_ready():
            self._product.check()
            self.score.seconds = self._seconds()
            self._view.update(self.score)
            if self._clock() - began > _START_SECONDS:
                raise DemoError(
                    f"`cartbridge up` was not ready within {_START_SECONDS:g} s; its log says how far it came."
                )
            self._sleep(_TICK_SECONDS)
        self._say("`cartbridge up` is ready")

    def _inject(self, faults: Iterable[NamedFault]) -> None:
        for named in faults:
            self._named.append(named)
            self._sandbox.inject(named.fault)

    def _are_hit(self, faults: Iterable[NamedFault]) -> bool:
        return all(self.score.faults[named.name] for named in faults)

    def _has_comped_order(self, sale: Sale) -> bool:
        learner = str(sale.record["customer_email"])
        return len(self._sandbox.learningcart.orders_of(learner)) == len(sale.prices)

    def _put(self, sale: Sale) -> None:
        self._sandbox.studiocart.add_order(dict(sale.record))
        self.score.orders += 1

    def _sell(self, sale: Sale, *, webhooks: int) -> None:
        self._put(sale)
        self._announce(sale.order_id, webhooks)
        self._pause()

    def _announce(self, order_id: int, times: int) -> None:
        self._count([self._send_webhook(order_id) for _ in range(times)])

    def _count(self, answers: Sequence[str]) -> None:
        self.score.webhooks.update(answers)

    def _send_webhook(self, order_id: int, *, secret: str | None = None) -> str:
        """Send one webhook as the shop would, in turn as JSON and as a form, and tell what became of it."""
        headers, body = studiocart_webhook(
            self._sandbox.studiocart.order(order_id),
            form=next(self._shapes),
            secret=secret or self._sandbox.config.studiocart.api_key,
        )
        with requests.Session() as session:
            session.trust_env = False  # a proxy of the operator's is none of our business
            try:
                answer = session.post(
                    f"{self._product.url}/webhooks/studiocart",
                    data=body,
                    headers=headers,
                    timeout=_HOOK_TIMEOUT_SECONDS,
                )
            except requests.RequestException:
                return "lost"
        return "accepted" if answer.status_code == HTTPStatus.ACCEPTED else "refused"


def _is_paid(sale: Sale) -> bool:
    """Whether an order is paid as it is first sold, and so needs no later news."""
    return sale.record.get("status", "paid") in {"paid", "completed"} or not sale.record.get("order_amount", 1)
