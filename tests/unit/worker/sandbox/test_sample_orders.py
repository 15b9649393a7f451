from __future__ import annotations

import random
from datetime import UTC, datetime

from worker.sandbox.clock import Clock
from worker.sandbox.config import StudiocartConfig
from worker.sandbox.sample_orders import BUMP, SHAPES, UNMAPPED, make_orders
from worker.sandbox.seeds import seed_records
from worker.sandbox.studiocart.site import Studiocart

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_orders_are_the_same_when_the_seed_is() -> None:
    assert make_orders(30, random.Random(7), newest_at=NOON) == make_orders(30, random.Random(7), newest_at=NOON)
    assert make_orders(30, random.Random(7), newest_at=NOON) != make_orders(30, random.Random(8), newest_at=NOON)


def test_every_shape_is_there_when_a_dozen_and_two_are_made() -> None:
    orders = make_orders(len(SHAPES), random.Random(1), newest_at=NOON)
    statuses = {order["status"] for order in orders}
    assert statuses == {"paid", "completed", "pending-payment", "refunded", "canceled", "failed"}
    assert any(order["product_id"] == UNMAPPED.id for order in orders)
    assert any(item["product_id"] == BUMP.id for order in orders for item in order["items"])
    assert any(int(item["quantity"]) > 1 for order in orders for item in order["items"])
    assert any(order["order_amount"] == 0 and order["status"] == "paid" for order in orders)
    assert any(order["customer_email"].isupper() for order in orders)
    assert len({order["customer_email"] for order in orders}) == len(orders) - 1


def test_orders_have_all_the_documents_fields_and_add_up_when_made() -> None:
    fields = set(seed_records("studiocart", "orders")[0])
    orders = make_orders(60, random.Random(3), first_id=5000, newest_at=NOON)
    assert [order["id"] for order in orders] == list(range(5000, 5060))
    assert all(set(order) >= fields for order in orders)
    assert all(order["order_amount"] == sum(item["total_amount"] for item in order["items"]) for order in orders)
    assert [order["date_time"] for order in orders] == sorted(order["date_time"] for order in orders)
    assert orders[-1]["date_time"] == "2026-03-01 12:00:00"
    assert orders[-1]["date"] == "2026-03-01"


def test_the_newest_is_from_now_when_no_time_is_given() -> None:
    assert make_orders(0, random.Random(1)) == []
    [order] = make_orders(1, random.Random(1))
    made_at = datetime.fromisoformat(order["date_time"]).replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - made_at).total_seconds()) < 60


def test_the_shop_takes_them_as_they_are_when_added() -> None:
    shop = Studiocart(StudiocartConfig(), Clock(lambda: NOON))
    orders = make_orders(14, random.Random(1), newest_at=NOON)
    assert [shop.add_order(order) for order in orders] == orders
