from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.workflows.fakes.polled_storefront import Shop, numbered, seats
from tests.unit.workflows.fakes.storefront import (
    NOW,
    START,
    an_order,
    record,
    rows,
    states,
)
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import orders, runs
from worker.sources.order import Payment
from workflows.ingest.deliveries import SourcePolicy
from workflows.ingest.paging import Position

OLD = START - timedelta(days=3)
ANCIENT = NOW - timedelta(days=400)


def test_paid_orders_older_than_the_start_are_ignored_by_name_when_the_first_sweep_finds_them(
    ledger: Ledger, shop: Shop
) -> None:
    shop.source.put(*numbered(1, 2, created_at=OLD), *numbered(3, created_at=OLD, payment=Payment.WAITING))
    shop.source.put(*numbered(4, 5))
    polled = shop.poll()
    assert (polled.error, polled.changed) == (None, 5)
    assert states(ledger) == seats(4, 5)
    assert {row.order_id: (row.state, row.reason) for row in rows(ledger, orders)} == {
        "1": ("ignored", "before_start"),
        "2": ("ignored", "before_start"),
        "3": ("waiting", "awaiting_payment"),
        "4": ("planned", None),
        "5": ("planned", None),
    }
    assert len(polled.ready) == 2


def test_unpaid_order_of_the_first_sweep_is_provisioned_when_it_is_paid(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(1, created_at=OLD, payment=Payment.WAITING))
    shop.poll()
    shop.source.put(*numbered(1, created_at=OLD))
    shop.poll()
    assert states(ledger) == seats(1)


@pytest.mark.parametrize("before", [Payment.UNKNOWN, Payment.REFUNDED])
def test_order_of_the_first_sweep_is_a_question_when_nobody_knows_whether_it_was_handled_and_it_is_paid(
    ledger: Ledger, shop: Shop, before: Payment
) -> None:
    shop.source.put(*numbered(1, created_at=OLD, payment=before), *numbered(2, payment=before))
    shop.poll()
    shop.source.put(*numbered(1, created_at=OLD), *numbered(2))
    shop.poll()
    found = states(ledger)
    assert found["1/1107/buyer/501"] == ("review", "older_than_start")
    assert found["2/1107/buyer/501"] == ("pending", None)


def test_planned_order_of_before_the_start_goes_on_when_it_was_refunded_and_is_paid_again(
    ledger: Ledger, shop: Shop
) -> None:
    for payment in (Payment.WAITING, Payment.PAID, Payment.REFUNDED, Payment.PAID):
        shop.source.put(*numbered(1, created_at=OLD, payment=payment))
        shop.poll()
    assert states(ledger) == seats(1)


def test_cursor_stands_after_the_whole_sweep_when_it_is_done(shop: Shop) -> None:
    shop.source.put(*numbered(*range(1, 8)))
    shop.poll()
    cursor = shop.cursor
    assert (cursor.baseline_at, cursor.deep_swept_at, cursor.last_success_at) == (shop.clock.now,) * 3
    assert shop.position == Position(highest_id=7, polled_at=shop.clock.now, unsettled=7)
    assert (cursor.failures, cursor.lease_holder) == (0, None)
    assert (cursor.start_at, cursor.first_contact_at) == (START, shop.clock.now)


def test_start_is_set_at_the_first_contact_when_the_shop_is_empty(shop: Shop) -> None:
    shop.policy = SourcePolicy()
    shop.poll()
    contact_at = shop.clock.now
    assert (shop.cursor.first_contact_at, shop.cursor.start_at) == (contact_at, contact_at - timedelta(hours=24))
    shop.source.put(*numbered(1, created_at=contact_at + timedelta(hours=1)))
    shop.poll(days=3)
    assert states(shop.ledger) == seats(1)


def test_first_sweep_begins_again_when_it_died_in_the_middle(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(*range(1, 8), created_at=OLD))
    shop.source.pages_until_broken = 2
    polled = shop.poll()
    assert polled.error is not None
    cursor = shop.cursor
    assert (cursor.baseline_at, cursor.failures) == (None, 1)
    assert shop.position == Position(unsettled=6)
    assert (cursor.lease_holder, cursor.last_error) == (None, polled.error)
    assert len(rows(ledger, orders)) == 6
    shop.source.pages_until_broken = None
    again = shop.poll()
    assert (again.changed, again.error) == (1, None)
    assert (shop.cursor.failures, shop.cursor.last_error) == (0, None)
    assert {row.reason for row in rows(ledger, orders)} == {"before_start"}
    assert rows(ledger, runs) == []


def test_renewal_is_told_when_a_later_sweep_finds_an_order_made_since_the_start(ledger: Ledger, shop: Shop) -> None:
    shop.policy = SourcePolicy()
    record(ledger, an_order("1"), now=NOW, start_at=None)
    shop.source.put(*numbered(2, created_at=NOW + timedelta(hours=1)))
    shop.source.renewals.add("2")
    shop.poll(days=3)
    assert states(ledger)["2/1107/buyer/renewal"] == ("review", "renewal_undecided")


def test_orders_older_than_the_sweep_are_no_questions_when_they_share_a_page_with_new_ones(
    ledger: Ledger, shop: Shop
) -> None:
    """A shop that sells little: one page of its list goes back by years."""
    shop.source.page_size = 100
    shop.source.put(*numbered(*range(1, 60), created_at=ANCIENT), *numbered(60, 61))
    shop.poll()
    assert states(ledger) == seats(60, 61)
    shop.source.put(*numbered(62))
    for _ in range(2):
        shop.poll()
        assert states(ledger) == seats(60, 61, 62)


def test_years_of_older_orders_are_neither_walked_nor_questions_when_there_is_news(ledger: Ledger, shop: Shop) -> None:
    shop.source.page_size = 20
    shop.source.put(*numbered(*range(1, 200), created_at=ANCIENT), *numbered(*range(1000, 1015)))
    shop.poll()
    shop.source.put(*numbered(1015), *numbered(7, created_at=ANCIENT, payment=Payment.WAITING))
    shop.poll()
    assert states(ledger) == seats(*range(1000, 1016))
    assert shop.source.count("changed") == 2
    recorded = {row.order_id: (row.state, row.reason) for row in rows(ledger, orders)}
    assert recorded["199"] == recorded["180"] == ("ignored", "before_start")
    assert recorded["7"] == ("waiting", "awaiting_payment")
    shop.source.put(*numbered(7, created_at=ANCIENT))
    shop.poll()
    assert states(ledger)["7/1107/buyer/501"] == ("pending", None)


def test_order_older_than_the_sweep_is_a_question_when_it_is_paid_now(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(*range(1, 10), created_at=ANCIENT), *numbered(10))
    shop.poll()
    shop.poll()
    shop.source.put(*numbered(3, created_at=ANCIENT, status="completed"))
    shop.poll()
    assert states(ledger) == seats(10) | {"3/1107/buyer/501": ("review", "older_than_start")}
