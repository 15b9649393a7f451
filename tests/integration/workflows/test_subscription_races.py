"""Subscriptions under many hands at once, on both databases: hints, polls of orders and polls of subscriptions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.subscriptions.watched import IGNORING_TEXT, Site, a_subscription
from tests.unit.workflows.fakes.storefront import NOW, START, Clock, FakeSource, a_hint_reader, an_order, rows, states
from worker.ledger.orders import order_rows
from worker.ledger.session import Ledger
from worker.ledger.states import Actor, DeliveryState, RunState, Via
from worker.ledger.tables.runs import deliveries, runs
from worker.ledger.tables.subscriptions import subscriptions
from worker.sources.order import Order
from worker.sources.subscription import Access
from workflows.ingest.deliveries import SourcePolicy
from workflows.ingest.order_polling import Poller
from workflows.ingest.subscription_polling import SubscriptionPoller
from workflows.planning.offers_file import OffersFile

POLICY = SourcePolicy(start_at=START)
PAYMENTS = range(1109, 1115)
ROUNDS = 6


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    ledger = Ledger(database_url)
    ledger.migrate()
    yield ledger
    ledger.close()


class Shop(FakeSource):
    """Tells of each order which subscription lists it, as the real source does."""

    access: Access = Access.LIVE

    def annotate(self, orders: Sequence[Order]) -> list[Order]:
        reported = a_subscription(1108, *PAYMENTS, access=self.access)
        return [order.model_copy(update={"subscription": reported}) for order in orders]


def test_purchase_is_granted_once_and_asked_about_once_when_all_arrive_at_the_same_time(
    ledger: Ledger, tmp_path: Path
) -> None:
    clock = Clock()
    (tmp_path / "offers.toml").write_text(IGNORING_TEXT)
    offers_reader = OffersFile(tmp_path / "offers.toml")
    shop, site = Shop(clock, page_size=2), Site(clock)
    shop.put(*(an_order(str(number)) for number in PAYMENTS))

    def poll_orders(holder: str) -> None:
        assert Poller(ledger, shop, POLICY, offers_reader, holder=holder, clock=clock).poll().error is None

    def poll_subscriptions(holder: str) -> None:
        assert SubscriptionPoller(ledger, site, POLICY, offers_reader, holder=holder, clock=clock).poll().error is None

    def look(order_id: int) -> None:
        a_hint_reader(ledger, shop, offers_reader, clock, holder=f"reader {order_id}").look("studiocart", str(order_id))

    def all_at_once(number: int) -> None:
        with ledger.write() as connection:
            for order_id in PAYMENTS:
                order_rows.insert_delivery(
                    connection,
                    source="studiocart",
                    order_id=str(order_id),
                    via=Via.WEBHOOK,
                    actor=Actor.SOURCE,
                    now=NOW,
                )
        with ThreadPoolExecutor(8) as pool:
            jobs = [pool.submit(look, order_id) for order_id in PAYMENTS]
            jobs += [pool.submit(poll_orders, f"orders {number}"), pool.submit(poll_subscriptions, f"subs {number}")]
            for job in jobs:
                job.result(60)

    for number in range(ROUNDS):
        clock.advance(minutes=20)
        shop.access = Access.CANCELED if number % 2 else Access.LIVE
        site.put(a_subscription(1108, *PAYMENTS, access=shop.access))
        all_at_once(number)
        with ledger.write() as connection:
            connection.execute(
                runs.update()
                .where(runs.c.workflow == "enrolment")
                .values(state=RunState.SUCCEEDED, finished_at=clock())
            )
        clock.advance(minutes=20)
        poll_subscriptions(f"after {number}")
        is_over = shop.access is Access.CANCELED
        found: dict[str, tuple[str, str | None]] = {"1109/1107/buyer/501": ("succeeded", None)}
        if number:
            found["1109/1107/buyer/501/revoke"] = (
                ("review", "subscription_canceled") if is_over else ("cancelled", "settled_by_source")
            )
        assert states(ledger) == found
    assert [row.initial_order_id for row in rows(ledger, subscriptions)] == ["1109"]
    assert {row.state for row in rows(ledger, deliveries)} <= {DeliveryState.PLANNED, DeliveryState.RECEIVED}
