from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from worker.cli.demo.facts import Facts
from worker.cli.demo.process import DemoError, ProductProcess
from worker.cli.demo.sales import CHANGES, SEED_ORDER_ID, Sales, plan_sales
from worker.cli.demo.scenario import Scenario
from worker.sandbox import Sandbox, SandboxConfig
from worker.sandbox.server import SandboxServer
from worker.sandbox.world import World


class HandClock:
    """Time that goes by in sleeps alone."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class StandInProduct:
    """A process that is ready after some asking, and may die."""

    def __init__(self) -> None:
        self.asked_until_ready = 2
        self.kills = 0
        self.dies_at: Callable[[], bool] = lambda: False

    def start(self) -> None:
        pass

    def is_ready(self) -> bool:
        self.asked_until_ready -= 1
        return self.asked_until_ready < 0

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes) -> int | None:
        raise AssertionError("no webhook is expected")

    def kill(self) -> None:
        self.kills += 1

    def check(self) -> None:
        if self.dies_at():
            raise DemoError("it ended")


class Told:
    def __init__(self) -> None:
        self.stages: list[str] = []
        self.said: list[str] = []

    def __call__(self, text: str, seconds: float, style: str) -> None:
        (self.stages if style else self.said).append(text.strip())


@pytest.fixture
def sales() -> Sales:
    return plan_sales(datetime(2026, 3, 4, 12, 0, tzinfo=UTC))


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox without a server: nobody can reach it, and it can be looked at."""
    return Sandbox(World(SandboxConfig()), cast("SandboxServer", cast("Any", _NoServer())))


class _NoServer:
    def serve_forever(self, _seconds: float) -> None:
        raise AssertionError("never served")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def product() -> StandInProduct:
    return StandInProduct()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def scenario(sandbox: Sandbox, sales: Sales, clock: HandClock, product: StandInProduct, told: Told) -> Scenario:
    return Scenario(
        sandbox,
        cast("ProductProcess", product),
        sales,
        told,
        Facts,
        deadline_seconds=5.0,
        clock=clock,
        sleep=clock.sleep,
    )


def test_scenario_ends_at_the_deadline_when_nothing_ever_comes_of_it(
    scenario: Scenario, told: Told, sandbox: Sandbox, sales: Sales
) -> None:
    scenario.play()
    assert len(told.stages) == 1
    assert scenario.progress.seconds == pytest.approx(5.0, abs=0.2)
    assert told.said == ["`cartbridge up` is ready", "time is up"]
    assert scenario.progress.orders == len(sales.before)
    assert str(SEED_ORDER_ID) not in scenario.statuses()


def test_scenario_fails_when_the_product_is_never_ready(
    scenario: Scenario, product: StandInProduct, clock: HandClock
) -> None:
    product.asked_until_ready = 10_000
    with pytest.raises(DemoError, match="not ready within 30 s"):
        scenario.play()
    assert 130 <= clock.now <= 131


def test_scenario_fails_when_the_product_ends_by_itself(
    scenario: Scenario, product: StandInProduct, clock: HandClock
) -> None:
    product.dies_at = lambda: clock.now > 102
    with pytest.raises(DemoError, match="it ended"):
        scenario.play()


def test_all_is_told_when_everything_comes_as_it_should(  # noqa: PLR0917 -- fixtures
    sandbox: Sandbox,
    sales: Sales,
    clock: HandClock,
    product: StandInProduct,
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A world in which every wish comes true at once: faults strike, orders are made, the shop is read."""
    kinds: list[str] = []

    def request(method: str, path: str, headers: dict[str, str], body: bytes) -> int | None:
        assert (method, path) == ("POST", "/webhooks/studiocart")
        kinds.append(headers["Content-Type"])
        if product.kills and product.asked_until_ready < 0 and len(kinds) % 2:
            return None
        return 401 if b"stranger" in body else 202

    class Wishes(Facts):
        def knows(self, order_ids: object) -> bool:
            return True

        def has_enrolled(self, wanted: object) -> bool:
            return True

        @property
        def statuses(self) -> dict[str, str]:
            return played.statuses()

    def look() -> Facts:
        for entry in sandbox.world.faults._entries:
            entry.hits = max(entry.hits, 1)
        for sale in sales:
            email = str(sale.record.get("customer_email", "janedoe@email.com"))
            for price in sale.prices:
                orders = sandbox.learningcart.orders_of(email)
                if price not in {order.price_id for order in orders}:
                    customer = sandbox.learningcart.customer_of(email) or sandbox.learningcart.add_customer(email)
                    sandbox.learningcart.add_order(customer.id, price)
        while len(sandbox.effects) < sales.expected_orders().total():
            sandbox.world.log.record("learningcart", "addCompOrder")
        return Wishes()

    monkeypatch.setattr(product, "request", request)
    played = Scenario(
        sandbox,
        cast("ProductProcess", product),
        sales,
        told,
        look,
        deadline_seconds=55.0,
        clock=clock,
        sleep=clock.sleep,
    )
    played.play()
    assert [stage.split()[0] for stage in told.stages] == [f"{number}/7" for number in range(1, 8)]
    assert played.progress.orders == sum(1 for _ in sales) == len(played.statuses())
    assert all(played.progress.faults.values())
    assert played.progress.kills == 1
    assert played.progress.webhooks["refused"] == 1
    assert played.progress.webhooks["lost"] > 0
    assert played.progress.webhooks.total() == len(kinds)
    assert set(kinds) == {"application/json", "application/x-www-form-urlencoded"}
    assert [played.statuses()[str(change.order_id)] for change in CHANGES] == [change.status for change in CHANGES]
