"""Orders are planned by what became of their subscription, and a subscription's end is asked about."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from tests.integration.subscriptions.watched import IGNORING, Watched, a_subscription
from tests.unit.workflows.fakes.storefront import (
    NOW,
    START,
    an_order,
    offers,
    record,
    rows,
    states,
)
from worker.ledger.orders.subscription_rows import forget_buyer
from worker.ledger.tables.runs import events, orders, runs
from worker.ledger.tables.subscriptions import subscriptions
from worker.ledger.views.timeline import subscription_line
from worker.sources.subscription import Access, Invoice, Subscription
from workflows.ingest.deliveries import SourcePolicy
from workflows.ingest.subscription_polling import SubscriptionsPolled
from workflows.recording.order_recording import Look, record_order
from workflows.recording.subscription_status import SubscriptionRules, keep_subscriptions, record_subscription

GIVEN_NOW = {"1109/1107/buyer/renewal": ("cancelled", "superseded"), "1109/1107/buyer/501": ("pending", None)}

# What an order is to its subscription


def test_renewal_is_the_same_whichever_is_seen_first(watched: Watched) -> None:
    watched.site.put(a_subscription(1108, 1109, 1120))
    watched.sell(1109)
    watched.poll()
    watched.sell(1120)
    assert states(watched.ledger) == {"1109/1107/buyer/501": ("pending", None)}
    reported = {row.order_id: (row.state, row.reason, row.renewal) for row in rows(watched.ledger, orders)}
    assert reported["1120"] == ("ignored", "renewal_ignored", True)


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
    assert states(watched.ledger) == {"1120/order/seat-0/unmapped": ("review", "unmapped_product")}


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


@pytest.mark.parametrize("ends", ["review", "note"])
def test_status_nobody_has_ruled_on_is_asked_about_once_access_was_given(watched: Watched, ends: Any) -> None:
    watched.policy = SourcePolicy(start_at=START, subscriptions=SubscriptionRules(ends=ends))
    watched.site.put(a_subscription(1108, 1109))
    watched.sell(1109)
    watched.succeed(1109)
    watched.poll()
    for status, asked in (("", None), ("on-hold", "unknown_status"), ("live", None), ("fraud", "unknown_status")):
        access = Access.LIVE if status == "live" else Access.UNKNOWN
        watched.site.put(a_subscription(1108, 1109, access=access, status=status))
        watched.poll()
        questions = rows(watched.ledger, runs, runs.c.workflow == "revocation", runs.c.state == "review")
        reported = f"subscription 1108 is {status}; access is paid for until 2026-04-10"
        assert [(question.reason, question.note) for question in questions] == ([(asked, reported)] if asked else [])


def test_question_follows_the_status_when_it_changes(watched: Watched) -> None:
    watched.site.put(a_subscription(1108, 1109))
    watched.sell(1109)
    watched.succeed(1109)
    watched.poll()
    for access in (Access.UNKNOWN, Access.PAUSED, Access.UNKNOWN, Access.BEGINS):
        watched.site.put(a_subscription(1108, 1109, access=access))
        watched.poll()
        assert sum(state == "review" for state, _ in states(watched.ledger).values()) == 1
    (question,) = rows(watched.ledger, runs, runs.c.workflow == "revocation")
    assert question.note == "subscription 1108 is begins; access is paid for until 2026-04-10"
    assert question.reason == "subscription_past_due"


def test_purchase_waits_for_a_person_when_nobody_has_ruled_on_its_subscriptions_status(watched: Watched) -> None:
    watched.site.put(a_subscription(1108, 1109, access=Access.UNKNOWN, status="on-hold"))
    watched.poll()
    watched.sell(1109)
    assert states(watched.ledger) == {"1109/1107/buyer/renewal": ("review", "unknown_status")}
    watched.site.put(a_subscription(1108, 1109))
    watched.poll()
    assert states(watched.ledger) == GIVEN_NOW


def test_purchase_is_given_when_the_operator_plans_it_though_nobody_has_ruled_on_its_subscription(
    watched: Watched,
) -> None:
    watched.site.put(a_subscription(1108, 1109, access=Access.UNKNOWN, status="on-hold"))
    watched.poll()
    watched.sell(1109)
    record(watched.ledger, an_order("1109"), replan=True)
    assert states(watched.ledger) == GIVEN_NOW


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
    assert set(watched.stored) == {"1", "3"}
    assert "subscription 2: OverflowError" in (polled.error or "")
    assert (watched.cursor.failures, watched.cursor.lease_until) == (1, None)
    monkeypatch.undo()
    assert watched.poll().error is None
    assert set(watched.stored) == {"1", "2", "3"}


def test_the_lease_is_let_go_of_when_anything_is_raised(watched: Watched) -> None:
    watched.site.subscription_pages = lambda: iter([None])  # type: ignore[method-assign, list-item]
    polled = watched.poll()
    assert "AttributeError" in (polled.error or "")
    assert (watched.cursor.failures, watched.cursor.lease_until) == (1, None)
