from __future__ import annotations

from datetime import timedelta
from functools import partial

from tests.unit.worker.ledger.rows import (
    NOW,
    add_cursor,
    add_delivery,
    add_list_poll,
    add_order,
    ledger_in_memory,
    minutes_ago,
)
from worker.ledger.orders.recorded_orders import known_orders
from worker.ledger.views import reconcile as views
from worker.ledger.views.overview import status


def test_an_order_was_missed_when_only_a_poll_or_a_reconciliation_found_it() -> None:
    with ledger_in_memory() as connection:
        add_cursor(connection, first_contact_at=minutes_ago(60))
        for order_id, ways in {
            "1": ["poll", "poll"],
            "2": ["reconcile"],
            "3": ["webhook", "poll"],
            "4": ["poll", "webhook"],
            "5": ["manual"],
        }.items():
            add_order(connection, order_id)
            for number, via in enumerate(ways):
                add_delivery(connection, f"{order_id}-{number}", order_id=order_id, via=via)
        add_order(connection, "6", at=minutes_ago(61))  # nobody was there to be told
        add_delivery(connection, "6-0", order_id="6", via="poll")
        missed = partial(views.missed_by_webhook, connection, since=minutes_ago(120))
        assert missed(["studiocart", "frontcore"]) == {"studiocart": 2, "frontcore": 0}
        assert missed([]) == {}
        assert views.missed_by_webhook(connection, ["studiocart"], since=NOW + timedelta(1)) == {"studiocart": 0}


def test_the_state_of_the_whole_tells_it_by_source_when_webhooks_are_expected() -> None:
    with ledger_in_memory() as connection:
        add_cursor(connection, first_contact_at=minutes_ago(60))
        add_cursor(connection, source="frontcore")
        add_list_poll(connection, "threedcart", "catalog")  # no source of orders
        add_order(connection)
        add_delivery(connection, "d1", via="poll")
        reported = status(connection, NOW, webhook_sources=["studiocart"])
        assert [(each.source, each.missed_by_webhook) for each in reported.sources] == [
            ("frontcore", None),
            ("studiocart", 1),
        ]


def test_many_values_are_asked_for_in_parts_when_they_are_too_many_for_one_statement() -> None:
    with ledger_in_memory() as connection:
        add_order(connection, "777", at=NOW)
        assert set(known_orders(connection, "studiocart", [str(number) for number in range(1200)])) == {"777"}
