from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest
import requests

from worker.cli.demo_facts import Facts
from worker.cli.demo_orders import SEED_ORDER_ID, Season, plan_season
from worker.cli.demo_process import DemoError, ProductProcess
from worker.cli.demo_story import CHAPTERS, Score, Story
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

    url = "http://127.0.0.1:1"

    def __init__(self) -> None:
        self.asked_until_ready = 2
        self.kills = 0
        self.dies_at: Callable[[], bool] = lambda: False

    def start(self) -> None:
        pass

    def is_ready(self) -> bool:
        self.asked_until_ready -= 1
        return self.asked_until_ready < 0

    def kill(self) -> None:
        self.kills += 1

    def check(self) -> None:
        if self.dies_at():
            raise DemoError("it ended")


class RecordingView:
    def __init__(self) -> None:
        self.chapters: list[int] = []
        self.said: list[str] = []
        self.seconds = 0.0

    def begin(self, chapter: int, seconds: float) -> None:
        self.chapters.append(chapter)

    def say(self, text: str, seconds: float) -> None:
        self.said.append(text)

    def update(self, score: Score) -> None:
        self.seconds = score.seconds


@pytest.fixture
def season() -> Season:
    return plan_season(datetime(2026, 3, 4, 12, 0, tzinfo=UTC))


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
def view() -> RecordingView:
    return RecordingView()


@pytest.fixture
def story(sandbox: Sandbox, season: Season, clock: HandClock, product: StandInProduct, view: RecordingView) -> Story:
    return Story(
        sandbox,
        cast("ProductProcess", product),
        season,
        view,
        Facts,
        deadline_seconds=5.0,
        clock=clock,
        sleep=clock.sleep,
    )


def test_story_ends_at_the_deadline_when_nothing_ever_comes_of_it(
    story: Story, view: RecordingView, sandbox: Sandbox, season: Season
) -> None:
    story.tell()
    assert view.chapters == [0]
    assert view.seconds == pytest.approx(5.0, abs=0.2)
    assert view.said == ["`cartbridge up` is ready", "time is up"]
    assert story.score.orders == len(season.before)
    assert str(SEED_ORDER_ID) not in story.statuses()


def test_story_fails_when_the_product_is_never_ready(story: Story, product: StandInProduct, clock: HandClock) -> None:
    product.asked_until_ready = 10_000
    with pytest.raises(DemoError, match="not ready within 30 s"):
        story.tell()
    assert 130 <= clock.now <= 131


def test_story_fails_when_the_product_ends_by_itself(story: Story, product: StandInProduct, clock: HandClock) -> None:
    product.dies_at = lambda: clock.now > 102
    with pytest.raises(DemoError, match="it ended"):
        story.tell()


def test_all_is_told_when_everything_comes_as_it_should(  # noqa: PLR0917 -- fixtures
    sandbox: Sandbox,
    season: Season,
    clock: HandClock,
    product: StandInProduct,
    view: RecordingView,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A world in which every wish comes true at once: faults strike, orders are made, the shop is read."""
    posted: list[dict[str, Any]] = []

    def post(session: requests.Session, url: str, **request: Any) -> requests.Response:
        assert url == "http://127.0.0.1:1/webhooks/studiocart"
        assert not session.trust_env
        posted.append(request)
        if product.kills and product.asked_until_ready < 0 and len(posted) % 2:
            raise requests.ConnectionError
        answer = requests.Response()
        answer.status_code = 401 if b"stranger" in request["data"] else 202
        return answer

    class Wishes(Facts):
        def knows(self, order_ids: object) -> bool:
            return True

        def has_enrolled(self, order_ids: object) -> bool:
            return True

        def has_statuses(self, statuses: object) -> bool:
            return True

    def look() -> Facts:
        for entry in sandbox.world.faults._entries:
            entry.hits = max(entry.hits, 1)
        sandbox.world.log.count_request("learningcart", "requestToken")
        for sale in season.sales():
            email = str(sale.record.get("customer_email", "janedoe@email.com"))
            for price in sale.prices:
                orders = sandbox.learningcart.orders_of(email)
                if price not in {order.price_id for order in orders}:
                    customer = sandbox.learningcart.customer_of(email) or sandbox.learningcart.add_customer(email)
                    sandbox.learningcart.add_order(customer.id, price)
        while len(sandbox.effects) < season.expected_orders().total():
            sandbox.world.log.record("learningcart", "addCompOrder")
        return Wishes()

    monkeypatch.setattr(requests.Session, "post", post)
    story = Story(
        sandbox,
        cast("ProductProcess", product),
        season,
        view,
        look,
        deadline_seconds=55.0,
        clock=clock,
        sleep=clock.sleep,
    )
    story.tell()
    assert view.chapters == [*range(len(CHAPTERS) + 1)]
    assert story.score.orders == story.score.orders_planned == len(story.statuses())
    assert story.score.faults_hit == len(story.score.faults)
    assert story.score.kills == 1
    assert story.score.webhooks["refused"] == 1
    assert story.score.webhooks["lost"] > 0
    assert story.score.webhooks.total() == len(posted)
    kinds = {request["headers"]["Content-Type"] for request in posted}
    assert kinds == {"application/json", "application/x-www-form-urlencoded"}
    assert [story.statuses()[str(change.order_id)] for change in season.changes] == [
        change.status for change in season.changes
    ]
