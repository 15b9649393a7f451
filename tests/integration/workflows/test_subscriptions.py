"""Subscriptions are recorded, and orders are planned by what became of them.

`workflows.ingest.subscription_polling` and `workflows.recording.subscription_status`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from tests.unit.workflows.fakes.storefront import (
    NOW,
    START,
    Clock,
    an_order,
    offers,
    put_run,
    record,
    rows,
    states,
)
from worker.errors import ApiError
from worker.ledger.orders.subscription_rows import forget_buyer
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.runs import cursors, events, orders, runs
from worker.ledger.tables.subscriptions import subscriptions
from worker.ledger.views.subscription_timeline import subscription_line
from worker.sources.source import SubscriptionPage
from worker.sources.subscription import Access, Invoice, Subscription
from workflows.ingest.deliveries import SourcePolicy
from workflows.ingest.subscription_polling import SubscriptionPoller, SubscriptionsPolled
from workflows.planning.offers_file import OffersBook
from workflows.recording.order_recording import Look, record_order
from workflows.recording.subscription_status import SubscriptionRules, keep_subscriptions, record_subscription

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

    def __init__(self, ledger: Ledger, book: OffersBook, clock: Clock) -> None:
        self.ledger, self.book, self.clock = ledger, book, clock
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
            self.book,
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
        (row,) = rows(self.ledger, cursors, cursors.c.source == "studiocart:subscriptions")
        return row

    @property
    def kept(self) -> dict[str, str]:
        return {row.subscription_id: row.access for row in rows(self.ledger, subscriptions)}


@pytest.fixture
def offers_file(tmp_path: Any) -> Any:
    path = tmp_path / "offers.toml"
    path.write_text(IGNORING_TEXT)
    return path


@pytest.fixture
def watched(ledger: Ledger, book: OffersBook, clock: Clock) -> Watched:
    return Watched(ledger, book, clock)


# How far a poll goes


def test_poll_ends_at_a_page_without_change_when_all_was_read_before(watched: Watched) -> None:
    watched.site.put(*(a_subscription(number) for number in range(1, 8)))
    assert (watched.poll().changed, watched.site.pages) == (7, 4)
    assert (watched.poll().changed, watched.site.pages) == (0, 1)
    watched.site.put(*(a_subscription(number, access=Access.PAUSED) for number in (1, 2, 3)))
    assert (watched.poll().changed, watched.site.pages) == (3, 3)
    assert (watched.poll(days=1).changed, watched.site.pages) == (0, 4)
    assert watched.kept["1"] == "paused"
    assert watched.cursor.position == {"whole": True}


def test_nothing_is_stepped_over_when_a_poll_dies_between_its_pages(watched: Watched) -> None:
    watched.site.put(*(a_subscription(number) for number in range(1, 8)))
    watched.poll()
    watched.site.put(*(a_subscription(number, access=Access.CANCELED) for number in (1, 2, 3, 4)))
    watched.site.breaks_at = 2
    assert watched.poll().error is not None
    assert (watched.cursor.failures, watched.cursor.lease_holder) == (1, None)
    watched.site.breaks_at = None
    assert watched.poll().changed == 2
    assert [watched.kept[str(number)] for number in (1, 2, 3, 4)] == ["canceled"] * 4
    assert (watched.cursor.failures, watched.cursor.last_error) == (0, None)


def test_what_a_hint_recorded_hides_nothing_when_the_list_is_walked(watched: Watched) -> None:
    watched.site.put(*(a_subscription(number) for number in range(1, 5)))
    watched.poll()
    changed = [a_subscription(number, access=Access.PAUSED) for number in (1, 2, 3)]
    watched.site.put(*changed)
    told = [an_order("1", subscription=each) for each in changed[1:]]
    with watched.ledger.write() as connection:
        keep_subscriptions(connection, told, RULES, fetched_at=watched.clock(), now=watched.clock(), start_at=START)
    assert watched.poll().changed == 3
    assert watched.kept["1"] == "paused"


def test_second_poll_does_nothing_when_another_is_under_way(watched: Watched) -> None:
    watched.site.put(a_subscription(1))
    others: list[SubscriptionsPolled] = []
    pages = watched.site.subscription_pages

    def while_another_asks() -> Iterator[SubscriptionPage]:
        others.append(watched.poll("other", seconds=1))
        return pages()

    watched.site.subscription_pages = while_another_asks  # type: ignore[method-assign]
    assert watched.poll().changed == 1
    assert [other.busy for other in others] == [True]


def test_poll_stops_before_it_writes_when_another_took_over(watched: Watched) -> None:
    watched.site.put(*(a_subscription(number) for number in (1, 2, 3)))
    pages = watched.site.subscription_pages

    def late() -> Iterator[SubscriptionPage]:
        for number, page in enumerate(pages()):
            if number == 1:
                with watched.ledger.write() as connection:
                    connection.execute(cursors.update().values(lease_holder="other"))
            yield page

    watched.site.subscription_pages = late  # type: ignore[method-assign]
    assert "took over" in (watched.poll().error or "")
    assert set(watched.kept) == {"3", "2"}


@pytest.mark.parametrize("has_news", [True, False])
def test_poll_stops_when_the_process_ends(watched: Watched, has_news: bool) -> None:
    watched.site.put(a_subscription(1))
    watched.stopping = True
    if not has_news:
        with watched.ledger.write() as connection:
            record_subscription(connection, a_subscription(1), RULES, fetched_at=NOW, now=NOW)
        watched.site.subscription_pages = lambda: iter(())  # type: ignore[method-assign]
    assert "stopped" in (watched.poll().error or "")
    watched.stopping = False
    assert watched.poll().judged == 1


def test_older_news_changes_nothing_when_newer_was_recorded(watched: Watched) -> None:
    newer, older = a_subscription(1, access=Access.CANCELED), a_subscription(1)
    with watched.ledger.write() as connection:
        assert record_subscription(connection, newer, RULES, fetched_at=NOW, now=NOW)
        assert not record_subscription(connection, older, RULES, fetched_at=NOW - timedelta(seconds=1), now=NOW)
    assert watched.kept == {"1": "canceled"}


def test_invoices_stay_when_the_site_leaves_them_out(watched: Watched) -> None:
    watched.site.put(a_subscription(1, 5, 6))
    watched.poll()
    watched.site.put(a_subscription(1, access=Access.PAUSED, invoices=None))
    assert (watched.poll().changed, watched.poll().changed) == (1, 0)
    (row,) = rows(watched.ledger, subscriptions)
    assert [each["order_id"] for each in row.document["invoices"]] == ["5", "6"]


# What an order is to its subscription


def test_renewal_is_the_same_whichever_is_seen_first(watched: Watched) -> None:
    watched.site.put(a_subscription(1108, 1109, 1120))
    watched.sell(1109)
    watched.poll()
    watched.sell(1120)
    assert states(watched.ledger) == {"1109/1107/buyer/501": ("pending", None)}
    told = {row.order_id: (row.state, row.reason, row.renewal) for row in rows(watched.ledger, orders)}
    assert told["1120"] == ("ignored", "renewal_ignored", True)


def test_purchase_stays_the_purchase_when_an_earlier_charge_is_paid_late(watched: Watched) -> None:
    failed = Invoice(order_id="1100", status="failed")
    later = (*a_subscription(1, 1109).invoices, failed)  # type: ignore[misc]
    watched.site.put(a_subscription(1108, invoices=later))
    watched.sell(1109)
    watched.poll()
    watched.site.put(a_subscription(1108, 1100, 1109))
    watched.poll()
    watched.sell(1100)
    assert states(watched.ledger) == {"1109/1107/buyer/501": ("pending", None)}


@pytest.mark.parametrize(
    ("own", "is_awaited"),
    [
        ({}, False),
        ({"recurring": True}, True),
        ({"recurring": True, "subscription_id": "1300"}, True),
        ({"recurring": True, "subscription_id": "1108"}, False),  # its record knows the purchase: this renews it
    ],
)
def test_order_waits_for_its_subscription_when_it_names_one_or_states_that_it_recurs(
    watched: Watched, own: dict[str, Any], is_awaited: bool
) -> None:
    watched.site.put(a_subscription(1108, 1109))
    watched.poll()
    watched.sell(1120, **own)
    found = {row.order_id: (row.state, row.reason) for row in rows(watched.ledger, orders)}
    assert (found["1120"] == ("waiting", "subscription_unlisted")) == is_awaited
    assert ("1120/1107/buyer/501" in states(watched.ledger)) == (own == {})
    watched.clock.advance(minutes=31)
    watched.sell(1120, **own)
    assert ("1120/1107/buyer/renewal" in states(watched.ledger)) == is_awaited


@pytest.mark.parametrize("trials", ["wait", "grant"])
def test_trial_is_told_by_the_order_itself_when_no_list_shows_its_subscription(watched: Watched, trials: Any) -> None:
    rules = SubscriptionRules(trials=trials)
    order = an_order("1120", recurring=True, trial=True, subscription_id="1108")
    with watched.ledger.write() as connection:
        keep_subscriptions(connection, [order], rules, fetched_at=NOW, now=NOW, start_at=START)
        record_order(connection, order, IGNORING, Look(fetched_at=NOW), now=NOW, start_at=START, rules=rules)
    assert states(watched.ledger) == {}
    watched.policy = SourcePolicy(start_at=START, subscriptions=rules)
    free = Invoice(order_id="1120", status="paid", is_begun=True, is_free_trial=True)
    watched.site.put(a_subscription(1108, access=Access.TRIAL, invoices=(free,)))
    watched.poll()
    assert set(states(watched.ledger)) == ({"1120/1107/buyer/501"} if trials == "grant" else set())
    paid = Invoice(order_id="1130", status="paid", is_begun=True)
    watched.site.put(a_subscription(1108, invoices=(free, paid)))
    watched.sell(1130, recurring=True, subscription_id="1108")
    watched.poll()
    access = [key for key, (state, _) in states(watched.ledger).items() if state == "pending"]
    assert access == [f"{1120 if trials == 'grant' else 1130}/1107/buyer/501"]


def test_nobody_waits_when_the_offer_grants_either_way(watched: Watched) -> None:
    watched.site.put(a_subscription(1108, 1109))
    watched.poll()
    rules = offers('[[offer]]\nsource="studiocart"\nproduct_id="1107"\ngrants=[{price_id=501}]\nrenewals="grant"\n')
    record(watched.ledger, an_order("1120", recurring=True), rules=rules)
    assert states(watched.ledger) == {"1120/1107/buyer/501": ("pending", None)}
    watched.site.put(a_subscription(1108, 1109, installments=3))
    watched.poll()
    record(watched.ledger, an_order("1121", recurring=True), rules=rules)
    assert "1121/1107/buyer/501" not in states(watched.ledger)


def test_order_of_a_vanished_line_or_buyer_is_a_purchase(watched: Watched) -> None:
    watched.site.put(a_subscription(1108, 1109))
    watched.poll()
    watched.sell(1120, lines=[])
    assert states(watched.ledger) == {}


# When a subscription ends


def test_access_given_after_the_end_is_asked_about_when_its_run_succeeds_late(watched: Watched) -> None:
    watched.site.put(a_subscription(1108, 1109))
    watched.sell(1109)
    watched.poll()
    watched.site.put(a_subscription(1108, 1109, access=Access.CANCELED))
    watched.poll(minutes=20)
    assert states(watched.ledger) == {"1109/1107/buyer/501": ("pending", None)}
    watched.poll(minutes=20)
    watched.succeed(1109)
    watched.poll()
    assert states(watched.ledger)["1109/1107/buyer/501/revoke"] == ("review", "subscription_canceled")
    watched.poll(minutes=20)
    assert watched.poll().judged == 0
    assert [row.kind for row in rows(watched.ledger, events) if "subscription" in row.kind] == ["subscription_ended"]


def test_status_nobody_has_ruled_on_decides_nothing(watched: Watched) -> None:
    watched.site.put(a_subscription(1108, 1109))
    watched.sell(1109)
    watched.succeed(1109)
    watched.poll()
    for access, asked in ((Access.UNKNOWN, 0), (Access.PAUSED, 1), (Access.UNKNOWN, 1), (Access.BEGINS, 1)):
        watched.site.put(a_subscription(1108, 1109, access=access))
        watched.poll()
        assert sum(state == "review" for state, _ in states(watched.ledger).values()) == asked
    (question,) = rows(watched.ledger, runs, runs.c.workflow == "revocation")
    assert question.note == "subscription 1108 is begins; access is paid for until 2026-04-10"
    assert question.reason == "subscription_past_due"


def test_question_names_no_date_when_none_is_told(watched: Watched) -> None:
    watched.site.put(a_subscription(1108, 1109, period_ends_on=None))
    watched.sell(1109)
    watched.succeed(1109)
    watched.poll()
    watched.site.put(a_subscription(1108, 1109, access=Access.EXPIRED, period_ends_on=None))
    watched.poll()
    (question,) = rows(watched.ledger, runs, runs.c.workflow == "revocation")
    assert question.note == "subscription 1108 is expired; no date is told until which access is paid for"


def test_line_tells_how_the_subscription_stands(watched: Watched) -> None:
    def line() -> str | None:
        with watched.ledger.read() as connection:
            return subscription_line(connection, "studiocart", "1109")

    assert line() is None
    watched.site.put(a_subscription(1108, 1109, next_bill_on=date(2026, 4, 10)))
    watched.poll()
    assert line() == "First of 1 payment of subscription 1108 (live, next bill 2026-04-10)."
    watched.site.put(a_subscription(1108, 1100, 1109, access=Access.CANCELED, installments=3))
    watched.poll()
    assert line() == "Payment 2 of 3 of subscription 1108 (canceled, paid until 2026-04-10)."
    with watched.ledger.write() as connection:
        forget_buyer(connection, "Jane@example.test ")
    assert [row.buyer_email_key for row in rows(watched.ledger, subscriptions)] == [""]


def test_site_without_subscriptions_is_polled_in_peace(watched: Watched) -> None:
    watched.site.subscription_pages = lambda: iter(())  # type: ignore[method-assign]
    assert watched.poll() == SubscriptionsPolled()


def test_all_other_subscriptions_are_kept_when_one_cannot_be(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.site.put(a_subscription(1), a_subscription(2), a_subscription(3))
    keep = record_subscription

    def failing(connection: Any, given: Subscription, *args: Any, **options: Any) -> None:
        if given.id == "2":
            raise OverflowError
        keep(connection, given, *args, **options)

    monkeypatch.setattr("workflows.ingest.subscription_polling.record_subscription", failing)
    polled = watched.poll()
    assert set(watched.kept) == {"1", "3"}
    assert "subscription 2: OverflowError" in (polled.error or "")
    assert (watched.cursor.failures, watched.cursor.lease_until) == (1, None)
    monkeypatch.undo()
    assert watched.poll().error is None
    assert set(watched.kept) == {"1", "2", "3"}


def test_the_lease_is_let_go_of_when_anything_is_raised(watched: Watched) -> None:
    watched.site.subscription_pages = lambda: iter([None])  # type: ignore[method-assign, list-item]
    polled = watched.poll()
    assert "AttributeError" in (polled.error or "")
    assert (watched.cursor.failures, watched.cursor.lease_until) == (1, None)
