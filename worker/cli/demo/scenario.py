"""What happens in the demo, stage by stage: orders and webhooks, faults, a kill, later changes, a quiet end."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Literal

from worker.cli.demo.facts import Facts
from worker.cli.demo.process import DemoError, ProductProcess
from worker.cli.demo.sales import CHANGES, SEED_ORDER_ID, SEED_SUBSCRIPTION_ID, Sale, Sales
from worker.sandbox import Fault, Sandbox, studiocart_webhook

READ_TIMEOUT_SECONDS: Final = 2.0
"""How long the demo's product waits for an answer; a call that hangs hangs longer."""
WEBHOOKS_AT_ONCE: Final = 20
_TICK_SECONDS: Final = 0.1
_PAUSE_SECONDS: Final = 0.08
"""Between two orders, so that an eye can follow."""
_START_SECONDS: Final = 30.0
_FORMS: Final[tuple[Literal["json", "form"], ...]] = ("json", "form")


def _comped(kind: str, **fault: object) -> Fault:
    return Fault.from_json({"system": "learningcart", "operation": "addCompOrder", "kind": kind, **fault})


SHOP_FAULTS: Final = {
    "the shop answers 503 to a look at an order": Fault("studiocart", "retrieve_order", "status", status=503),
    "the shop cuts the connection of a poll": Fault("studiocart", "list_orders", "cut"),
}
LEARNINGCART_FAULTS: Final = {
    "connection cut after the order was made": _comped("cut"),
    "half an answer after the order was made": _comped("half_answer"),
    "500 after the order was made": _comped("status", status=500, when="after"),
    "no answer in time after the order was made": _comped("hang", seconds=READ_TIMEOUT_SECONDS + 1),
    "a page of HTML in place of the answer": _comped("html"),
    "429 with Retry-After": _comped("status", status=429, headers={"Retry-After": "1"}),
    "connection cut before a learner joined a group": Fault("learningcart", "addCustomerToGroup", "cut", when="before"),
}
LAST_FAULT: Final = {
    "the process killed after the order was made": _comped("hang", seconds=READ_TIMEOUT_SECONDS + 1),
}


@dataclass
class Progress:
    """How far the demo has come, and what came of it."""

    seconds: float = 0.0
    orders: int = 0
    """How many were sold."""
    webhooks: Counter[str] = field(default_factory=Counter)
    """Sent webhooks by what became of them: `accepted`, `refused` (a stranger's), `lost` (nobody listened)."""
    comped_orders: int = 0
    comped_orders_expected: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    """How many requests each planned fault has hit, by its name."""
    kills: int = 0
    facts: Facts = field(default_factory=Facts)


class _OutOfTimeError(Exception):
    """The deadline has come."""


class Scenario:
    """Plays the demo once, in the caller's thread. `progress` is how far it has come; `say` is told what happens, when
    (in seconds since the beginning), and in which style.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        product: ProductProcess,
        sales: Sales,
        say: Callable[[str, float, str], None],
        look: Callable[[], Facts],
        *,
        deadline_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sandbox = sandbox
        self._product = product
        self._sales = sales
        self._show = say
        self._look = look
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._sleep = sleep
        self._began = clock()
        self._injected: list[str] = []
        self._forms = itertools.cycle(_FORMS)
        self.progress = Progress(
            comped_orders_expected=sales.expected_orders().total(),
            faults=dict.fromkeys([*SHOP_FAULTS, *LEARNINGCART_FAULTS, *LAST_FAULT], 0),
        )

    def play(self) -> None:
        """All stages, until everything has come to rest or the deadline has come. Raises `DemoError`."""
        stages = (
            ("Cartbridge starts for the first time and finds a shop with orders in it", self._open),
            (f"Order {SEED_ORDER_ID}, announced by {WEBHOOKS_AT_ONCE} webhooks at once", self._sell_seed),
            ("Orders of every shape, by webhook (JSON, form, each again) and by polling", self._sell_all_shapes),
            ("LearningCart misbehaves in every way it knows", self._sell_amid_faults),
            ("SIGKILL while LearningCart makes an order; more are sold to a closed door", self._kill),
            ("The shop has second thoughts: late payments, refunds, a renewal", self._change_statuses),
            ("All comes to rest", self._rest),
        )
        try:
            for number, (title, stage) in enumerate(stages, start=1):
                self._show(f"{number}/{len(stages)} {title}", self._seconds(), "bold")
                stage()
        except _OutOfTimeError:
            self._say("time is up")

    # The stages

    def _open(self) -> None:
        self._sandbox.studiocart.delete_order(SEED_ORDER_ID)  # it is sold in the next stage
        before = self._sales.before
        for sale in before:
            self._put(sale)
        self._start()
        self._until(lambda: self.progress.facts.knows(sale.order_id for sale in before))
        self._say(f"the first sweep found {len(before)} orders; the one from before the start is left alone")

    def _sell_seed(self) -> None:
        seed = self._sales.seed
        self._put(seed)
        with ThreadPoolExecutor(WEBHOOKS_AT_ONCE) as pool:
            answers = list(pool.map(lambda _: self._send_webhook(seed.order_id), range(WEBHOOKS_AT_ONCE)))
        self.progress.webhooks.update(answers)
        self._say(f"{answers.count('accepted')} of {len(answers)} webhooks accepted at once")
        self.progress.webhooks[self._send_webhook(seed.order_id, secret="of a stranger")] += 1  # noqa: S106 -- a wrong one
        self._say("a webhook with a wrong secret was refused")
        self._until(lambda: self._has_enrolled([seed]))
        self._say(f"order {seed.order_id} has its one comped order")

    def _sell_all_shapes(self) -> None:
        self._inject(SHOP_FAULTS)
        for sale in self._sales.unannounced:
            self._sell(sale, webhooks=0)
        for number, sale in enumerate(self._sales.announced):
            self._sell(sale, webhooks=2 + number % 2)
        sold = [*self._sales.announced, *self._sales.unannounced]
        self._until(
            lambda: (
                self._have_struck(SHOP_FAULTS)
                and self.progress.facts.knows(sale.order_id for sale in sold)
                and self._has_enrolled([sale for sale in sold if sale.is_paid])
            )
        )
        self._say(f"{len(sold)} orders sold, {len(self._sales.unannounced)} of them found by polling alone")

    def _sell_amid_faults(self) -> None:
        self._sandbox.learningcart.revoke_tokens()
        self._inject(LEARNINGCART_FAULTS)
        for sale in self._sales.faulty:
            self._sell(sale, webhooks=1)
        self._say(
            f"{len(LEARNINGCART_FAULTS)} faults, and no token holds, while {len(self._sales.faulty)} orders come in"
        )
        self._until(lambda: self._have_struck(LEARNINGCART_FAULTS) and self._has_enrolled(self._sales.faulty))
        self._say("every lost answer was looked up and adopted; nothing was ordered again")

    def _kill(self) -> None:
        killed, missed, renewal = self._sales.killed, self._sales.missed, self._sales.renewal
        self._inject(LAST_FAULT)
        self._sell(killed, webhooks=1)
        learner = str(killed.record["customer_email"])
        self._until(
            lambda: (
                self._have_struck(LAST_FAULT)
                and len(self._sandbox.learningcart.orders_of(learner)) == len(killed.prices)
            )
        )
        self._product.kill()
        self.progress.kills = self._product.kills
        self._say("SIGKILL: the comped order is made, and nobody is left to hear of it")
        self._sell(missed, webhooks=1)
        self._sandbox.studiocart.add_renewal(SEED_SUBSCRIPTION_ID, id=renewal.order_id)
        self.progress.orders += 1
        self._announce(renewal.order_id, 1)
        self._say(f"{self.progress.webhooks['lost']} webhooks were sent to a closed door, and are lost")
        self._start()
        self._until(lambda: self._has_enrolled([killed, missed, renewal]))
        self._say("started again: the comped order was found and adopted, the lost orders were polled")

    def _change_statuses(self) -> None:
        for change in CHANGES:
            self._sandbox.studiocart.update_order(change.order_id, status=change.status)
            if change.is_announced:
                self._announce(change.order_id, 2)
            self._say(f"order {change.order_id}: {change.note}")
            self._pause()

    def _rest(self) -> None:
        self._until(
            lambda: (
                not self.progress.facts.unfinished()
                and self.progress.facts.statuses == self.statuses()
                and self.progress.comped_orders >= self.progress.comped_orders_expected
            )
        )

    # What they are made of

    def statuses(self) -> dict[str, str]:
        """The shop's orders as they stand: `{order id: status}`."""
        return {str(order["id"]): str(order["status"]) for order in self._sandbox.studiocart.orders}

    def tick(self) -> None:
        """Look at everything once. Raises `DemoError` when the product has ended by itself."""
        progress = self.progress
        progress.seconds = self._seconds()
        progress.comped_orders = len(self._sandbox.effects_of("learningcart", "addCompOrder"))
        for described, name in zip(self._sandbox.world.faults.describe(), self._injected, strict=True):
            progress.faults[name] = described["hits"]
        progress.facts = self._look()
        self._product.check()

    def _until(self, is_so: Callable[[], bool]) -> None:
        """Go on looking until something is so. Raises `_OutOfTimeError` at the deadline."""
        while True:
            self.tick()
            if is_so():
                return
            if self.progress.seconds >= self._deadline_seconds:
                raise _OutOfTimeError
            self._sleep(_TICK_SECONDS)

    def _seconds(self) -> float:
        return self._clock() - self._began

    def _say(self, text: str) -> None:
        self._show(f"    {text}", self._seconds(), "")

    def _pause(self) -> None:
        self.tick()
        self._sleep(_PAUSE_SECONDS)

    def _start(self) -> None:
        self._product.start()
        began = self._clock()
        while not self._product.is_ready():
            self._product.check()
            if self._clock() - began > _START_SECONDS:
                raise DemoError(
                    f"`cartbridge up` was not ready within {_START_SECONDS:g} s; its log says how far it came."
                )
            self._sleep(_TICK_SECONDS)
        self._say("`cartbridge up` is ready")

    def _inject(self, faults: dict[str, Fault]) -> None:
        self._injected += faults
        self._sandbox.inject(*faults.values())

    def _have_struck(self, faults: Iterable[str]) -> bool:
        return all(self.progress.faults[name] for name in faults)

    def _has_enrolled(self, sales: Iterable[Sale]) -> bool:
        return self.progress.facts.has_enrolled({sale.order_id: len(sale.prices) for sale in sales})

    def _put(self, sale: Sale) -> None:
        self._sandbox.studiocart.add_order(dict(sale.record))
        self.progress.orders += 1

    def _sell(self, sale: Sale, *, webhooks: int) -> None:
        self._put(sale)
        self._announce(sale.order_id, webhooks)
        self._pause()

    def _announce(self, order_id: int, times: int) -> None:
        self.progress.webhooks.update(self._send_webhook(order_id) for _ in range(times))

    def _send_webhook(self, order_id: int, *, secret: str | None = None) -> str:
        """Send one webhook as the shop would, in turn as JSON and as a form, and say what became of it."""
        headers, body = studiocart_webhook(
            self._sandbox.studiocart.order(order_id),
            form=next(self._forms),
            secret=secret or self._sandbox.config.studiocart.api_key,
        )
        status = self._product.request("POST", "/webhooks/studiocart", headers, body)
        return "lost" if status is None else "accepted" if status == HTTPStatus.ACCEPTED else "refused"
