"""A shop whose subscriptions are polled, and everything that is looked at in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from tests.unit.workflows.fakes.storefront import (
    START,
    Clock,
    an_order,
    offers,
    put_run,
    record,
    rows,
)
from worker.errors import ApiError
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.periodic import list_polls
from worker.ledger.tables.subscriptions import subscriptions
from worker.sources.source import SubscriptionPage
from worker.sources.subscription import Access, Invoice, Subscription
from workflows.ingest.deliveries import SourcePolicy
from workflows.ingest.subscription_polling import SubscriptionPoller, SubscriptionsPolled
from workflows.planning.offers_file import OffersFile
from workflows.recording.subscription_status import SubscriptionRules

RULES = SubscriptionRules()
IGNORING_TEXT = """
[[offer]]
source = "studiocart"
product_id = "1107"
grants = [{ price_id = 501 }]
renewals = "ignore"
"""
IGNORING = offers(IGNORING_TEXT)


def a_subscription(number: int = 1108, *order_ids: int, access: Access = Access.LIVE, **more: Any) -> Subscription:
    values: dict[str, Any] = {
        "status": str(access),
        "product_id": "1107",
        "buyer_email": "jane@example.test",
        "invoices": tuple(Invoice(order_id=str(each), status="paid", is_begun=True) for each in order_ids),
        "period_ends_on": date(2026, 4, 10),
    }
    return Subscription(source="studiocart", id=str(number), access=access, **(values | more))


class Site:
    """Lists subscriptions, the one changed last first."""

    name = "studiocart"

    def __init__(self, clock: Clock, page_size: int = 2) -> None:
        self._clock = clock
        self._page_size = page_size
        self._listed: dict[str, Subscription] = {}
        self.pages = 0
        self.breaks_at: int | None = None

    def put(self, *given: Subscription) -> None:
        for subscription in given:
            self._listed.pop(subscription.id, None)
            self._listed[subscription.id] = subscription

    def subscription_pages(self) -> Iterator[SubscriptionPage]:
        listed = list(self._listed.values())[::-1]
        for number, start in enumerate(range(0, len(listed), self._page_size), start=1):
            if number == self.breaks_at:
                raise ApiError("down", system=self.name, operation="list", status=500, retryable=True)
            self.pages += 1
            yield SubscriptionPage(tuple(listed[start : start + self._page_size]), self._clock())


class Watched:
    """A site that is polled."""

    def __init__(self, ledger: Ledger, offers_reader: OffersFile, clock: Clock) -> None:
        self.ledger, self.offers_reader, self.clock = ledger, offers_reader, clock
        self.site = Site(clock)
        self.policy = SourcePolicy(start_at=START)
        self.stopping = False

    def poll(self, holder: str = "poller", **delta: float) -> SubscriptionsPolled:
        self.clock.advance(**(delta or {"minutes": 5}))
        self.site.pages = 0
        poller = SubscriptionPoller(
            self.ledger,
            self.site,
            self.policy,
            self.offers_reader,
            holder=holder,
            clock=self.clock,
            should_stop=lambda: self.stopping,
        )
        return poller.poll()

    def sell(self, order_id: int, **more: Any) -> None:
        record(self.ledger, an_order(str(order_id), **more), rules=IGNORING, now=self.clock())

    def succeed(self, order_id: int) -> None:
        put_run(self.ledger, f"{order_id}/1107/buyer/501", RunState.SUCCEEDED, finished_at=self.clock(), reason=None)

    @property
    def cursor(self) -> Any:
        (row,) = rows(self.ledger, list_polls, list_polls.c.list_name == "subscriptions")
        return row

    @property
    def stored(self) -> dict[str, str]:
        return {row.subscription_id: row.access for row in rows(self.ledger, subscriptions)}
