from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from tests.unit.workflows.fakes.storefront import NOW, a_line, an_order, put_run, record, rows
from worker.ledger.orders import order_rows
from worker.ledger.orders.recorded_orders import known_orders, lock_orders, reserve_orders
from worker.ledger.session import Ledger
from worker.ledger.states import Actor, DeliveryState, RunState, Via
from worker.ledger.tables.runs import deliveries, order_versions, orders
from workflows.planning.offers import Offers


def insert(ledger: Ledger, now: datetime = NOW, **values: Any) -> str:
    given = {"source": "studiocart", "order_id": "1109", "via": Via.WEBHOOK, "actor": Actor.SOURCE} | values
    with ledger.write() as connection:
        return order_rows.insert_delivery(connection, now=now, **given)


def take(ledger: Ledger, now: datetime = NOW, holder: str = "one") -> list[str]:
    with ledger.write() as connection:
        found = order_rows.take_deliveries(connection, "studiocart", "1109", holder=holder, now=now, lease_seconds=120)
    return [row.id for row in found]


def release(ledger: Ledger, delivery_id: str, state: DeliveryState, **values: Any) -> Any:
    with ledger.write() as connection:
        order_rows.release_deliveries(connection, [delivery_id], state=state, now=NOW, **values)
        return order_rows.delivery_state(connection, delivery_id)


def test_every_open_delivery_is_leased_earliest_first_when_one_is_due(ledger: Ledger) -> None:
    early = insert(ledger)
    late = insert(ledger, NOW + timedelta(minutes=1))
    release(ledger, early, DeliveryState.WAITING, next_attempt_at=NOW + timedelta(hours=1))
    insert(ledger, state=DeliveryState.PLANNED)
    insert(ledger, order_id="1110")
    assert take(ledger) == [early, late]
    assert {row.lease_holder for row in rows(ledger, deliveries, deliveries.c.id.in_([early, late]))} == {"one"}


def test_none_is_leased_when_none_is_due(ledger: Ledger) -> None:
    only = insert(ledger)
    release(ledger, only, DeliveryState.WAITING, next_attempt_at=NOW + timedelta(seconds=1))
    assert take(ledger) == []
    assert take(ledger, NOW + timedelta(seconds=1)) == [only]


def test_what_arrives_meanwhile_stays_open_when_somebody_is_at_it(ledger: Ledger) -> None:
    first = insert(ledger)
    assert take(ledger) == [first]
    second = insert(ledger, NOW + timedelta(seconds=1))
    assert take(ledger, holder="two") == []
    release(ledger, first, DeliveryState.PLANNED)
    assert take(ledger, holder="two") == [second]


def test_body_is_forgotten_and_the_time_noted_when_a_delivery_is_finished(ledger: Ledger) -> None:
    only = insert(ledger, body={"id": 1109})
    waiting = release(
        ledger, only, DeliveryState.WAITING, reason="source_unreachable", note="reset", next_attempt_at=NOW, failed=True
    )
    assert tuple(waiting) == ("waiting", "source_unreachable", "reset")
    (row,) = rows(ledger, deliveries)
    assert (row.body, row.attempts, row.finished_at) == ({"id": 1109}, 1, None)
    release(ledger, only, DeliveryState.REVIEW, reason="order_not_found", duplicate=True)
    (row,) = rows(ledger, deliveries)
    assert (row.body, row.duplicate, row.finished_at, row.attempts) == (None, True, NOW, 1)


def test_delivery_is_finished_at_once_when_it_needs_nothing(ledger: Ledger) -> None:
    insert(ledger, order_id=None, state=DeliveryState.IGNORED, reason="lead")
    (row,) = rows(ledger, deliveries)
    assert (row.finished_at, row.reason, row.dispatched_at) == (NOW, "lead", None)


def test_only_hints_nobody_took_are_put_off(ledger: Ledger) -> None:
    fresh = insert(ledger, sent=True)
    waiting = insert(ledger)
    release(ledger, waiting, DeliveryState.WAITING, next_attempt_at=NOW)
    other = insert(ledger, order_id="1110")
    with ledger.write() as connection:
        unseen = order_rows.lock_open_deliveries(connection, "studiocart", "1109")
        order_rows.put_off_received(connection, unseen, until=NOW + timedelta(seconds=1))
    found = {row.id: row.next_attempt_at for row in rows(ledger, deliveries)}
    assert found == {fresh: NOW + timedelta(seconds=1), waiting: NOW, other: None}


def test_reserved_order_has_no_content_until_it_is_recorded(ledger: Ledger) -> None:
    for version in (0, 1):
        with ledger.write() as connection:
            reserve_orders(connection, [(an_order(), NOW)], now=NOW)
            found = lock_orders(connection, "studiocart", ["1109", "1110"])
            assert {order_id: each.version for order_id, each in found.items()} == {"1109": version}
            assert (order_rows.load_order(connection, "studiocart", "1109") is None) == (version == 0)
            assert order_rows.fetched_at(connection, "studiocart", "1109") == NOW
        record(ledger, an_order())


def test_versions_are_only_added_to(ledger: Ledger) -> None:
    record(ledger, an_order())
    for statement in (order_versions.update().values(raw={}), order_versions.delete()):
        with pytest.raises(IntegrityError, match="order_versions is only added to"), ledger.write() as connection:
            connection.execute(statement)


def test_total_is_kept_when_it_is_larger_than_thirty_two_bits(ledger: Ledger) -> None:
    order = an_order()
    assert order.total is not None
    large = order.total.model_copy(update={"minor_units": 2_500_000_000, "currency": "IDR"})
    record(ledger, order.model_copy(update={"total": large}))
    assert rows(ledger, orders)[0].total_minor_units == 2_500_000_000


def test_poll_compares_with_what_is_known(ledger: Ledger) -> None:
    record(ledger, an_order(), polled=True)
    record(ledger, an_order("1110"), rules=Offers())
    record(ledger, an_order("1111", lines=[a_line("1130")]))
    put_run(ledger, "1111/1130/buyer/unmapped", RunState.SUCCEEDED)
    with ledger.read() as connection:
        found = known_orders(connection, "studiocart", ["1109", "1110", "1111", "1112"])
        assert known_orders(connection, "frontcore", ["1109"]) == {}
    assert {order_id: bool(row.has_placeholders) for order_id, row in found.items()} == {
        "1109": False,
        "1110": True,
        "1111": False,
    }
    assert found["1109"].polled_hash == order_rows.content_hash(an_order())
    assert found["1110"].polled_hash is None
    assert found["1110"].offers_digest == Offers().digest


def test_hash_leaves_out_what_is_not_read_from_the_orders_own_record() -> None:
    order = an_order()
    same = order.model_copy(update={"raw": {"x": 1}, "renewal": True, "subscription_id": "7"})
    assert order_rows.content_hash(same) == order_rows.content_hash(order)
    dated_anew = order.model_copy(update={"created_at": NOW - timedelta(hours=9)})  # by the site's present time zone
    assert order_rows.content_hash(dated_anew) == order_rows.content_hash(order)
    assert order_rows.content_hash(order.model_copy(update={"status": "x"})) != order_rows.content_hash(order)
