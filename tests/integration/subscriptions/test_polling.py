"""Subscriptions are recorded, and orders are planned by what became of them.

`workflows.ingest.subscription_polling` and `workflows.recording.subscription_status`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.integration.subscriptions.watched import RULES, Watched, a_subscription
from tests.unit.workflows.fakes.storefront import (
    NOW,
    START,
    an_order,
    rows,
)
from worker.ledger.tables.periodic import list_polls
from worker.ledger.tables.subscriptions import subscriptions
from worker.sources.source import SubscriptionPage
from worker.sources.subscription import Access
from workflows.ingest.subscription_polling import SubscriptionsPolled
from workflows.recording.subscription_status import keep_subscriptions, record_subscription

# How far a poll goes


def test_poll_ends_at_a_page_without_change_when_all_was_read_before(watched: Watched) -> None:
    watched.site.put(*(a_subscription(number) for number in range(1, 8)))
    assert (watched.poll().changed, watched.site.pages) == (7, 4)
    assert (watched.poll().changed, watched.site.pages) == (0, 1)
    watched.site.put(*(a_subscription(number, access=Access.PAUSED) for number in (1, 2, 3)))
    assert (watched.poll().changed, watched.site.pages) == (3, 3)
    assert (watched.poll(days=1).changed, watched.site.pages) == (0, 4)
    assert watched.stored["1"] == "paused"
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
    assert [watched.stored[str(number)] for number in (1, 2, 3, 4)] == ["canceled"] * 4
    assert (watched.cursor.failures, watched.cursor.last_error) == (0, None)


def test_what_a_hint_recorded_hides_nothing_when_the_list_is_walked(watched: Watched) -> None:
    watched.site.put(*(a_subscription(number) for number in range(1, 5)))
    watched.poll()
    changed = [a_subscription(number, access=Access.PAUSED) for number in (1, 2, 3)]
    watched.site.put(*changed)
    reported = [an_order("1", subscription=each) for each in changed[1:]]
    with watched.ledger.write() as connection:
        keep_subscriptions(connection, reported, RULES, fetched_at=watched.clock(), now=watched.clock(), start_at=START)
    assert watched.poll().changed == 3
    assert watched.stored["1"] == "paused"


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
                    connection.execute(list_polls.update().values(lease_holder="other"))
            yield page

    watched.site.subscription_pages = late  # type: ignore[method-assign]
    assert "took over" in (watched.poll().error or "")
    assert set(watched.stored) == {"3", "2"}


@pytest.mark.parametrize("has_changes", [True, False])
def test_poll_stops_when_the_process_ends(watched: Watched, has_changes: bool) -> None:
    watched.site.put(a_subscription(1))
    watched.stopping = True
    if not has_changes:
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
    assert watched.stored == {"1": "canceled"}


def test_invoices_stay_when_the_site_leaves_them_out(watched: Watched) -> None:
    watched.site.put(a_subscription(1, 5, 6))
    watched.poll()
    watched.site.put(a_subscription(1, access=Access.PAUSED, invoices=None))
    assert (watched.poll().changed, watched.poll().changed) == (1, 0)
    (row,) = rows(watched.ledger, subscriptions)
    assert [each["order_id"] for each in row.document["invoices"]] == ["5", "6"]
