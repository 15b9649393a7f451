"""Carts that nobody checked out in time, in a store over HTTP: asked for, and deleted where they were left unused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.faults.harness.follow_on_product import EMAIL, FollowOnRig
from tests.faults.harness.offers import CATALOG_ID
from worker.ledger.tables.runs import events, orders
from worker.sandbox import Fault, Sandbox

pytestmark = pytest.mark.integration

DAY_SECONDS = 24 * 3600.0


@pytest.fixture
def reads_orders() -> str:
    """What the setting says of the store's orders."""
    return "true"


@pytest.fixture
def rig(migrated_file: Path, tmp_path: Path, reads_orders: str) -> Iterator[FollowOnRig]:
    """A product whose one follow-on cart is ready, and is kept for ten days."""
    shutil.copy(migrated_file, tmp_path / "cartbridge.db")
    with Sandbox.start() as sandbox:
        rig = FollowOnRig(
            sandbox,
            f"sqlite:///{tmp_path / 'cartbridge.db'}",
            tmp_path,
            CARTBRIDGE_FOLLOW_ON__CART_DAYS="10",
            CARTBRIDGE_THREEDCART__ORDERS_ENABLED=reads_orders,
        )
        rig.hear()
        rig.finish()
        assert rig.state(rig.follow_on["id"]) == ("succeeded", None)
        yield rig
        rig.close()


def cart_state(rig: FollowOnRig) -> str:
    (cart,) = rig.carts
    return str(cart["state"])


def cart_events(rig: FollowOnRig) -> list[str]:
    with rig.ledger.read() as connection:
        return list(connection.scalars(select(events.c.kind).where(events.c.kind.startswith("cart_"))))


def requests(rig: FollowOnRig) -> tuple[int, int]:
    """How often the store was asked for a cart, and told to delete one, after the run had read it once."""
    sandbox = rig.sandbox
    return sandbox.requests("threedcart", "retrieve_cart") - 1, sandbox.requests("threedcart", "delete_cart")


def test_cart_is_deleted_when_it_was_not_checked_out_in_time(rig: FollowOnRig) -> None:
    rig.clock.move(9 * DAY_SECONDS)
    rig.delete_unused_carts()
    assert (cart_state(rig), requests(rig)) == ("made", (0, 0))
    rig.clock.move(DAY_SECONDS)
    for _ in range(3):
        rig.delete_unused_carts()
        rig.clock.move(DAY_SECONDS)
    assert (cart_state(rig), requests(rig)) == ("deleted", (1, 1))
    assert rig.sandbox.threedcart.carts == {}
    assert cart_events(rig) == ["cart_deleted"]


@pytest.mark.parametrize("buyer", [EMAIL, EMAIL.upper(), "another@example.test"])
def test_cart_is_kept_when_its_order_stands_in_the_store_alone(rig: FollowOnRig, buyer: str) -> None:
    store = rig.sandbox.threedcart
    store.config.bought_carts_answer = True
    (key,) = store.carts
    bought = store.check_out(key, BillingEmail=buyer, OrderStatusID=5 if buyer == EMAIL else 1)
    rig.clock.move(11 * DAY_SECONDS)
    rig.delete_unused_carts()
    assert (cart_state(rig), cart_events(rig), requests(rig)) == ("checked_out", ["cart_checked_out"], (1, 0))
    assert [order["OrderID"] for order in store.orders] == [bought["OrderID"]]


def test_cart_is_kept_when_its_order_holds_something_else(rig: FollowOnRig) -> None:
    store = rig.sandbox.threedcart
    store.config.bought_carts_answer = True
    (key,) = store.carts
    store.check_out(key, OrderItemList=[{"CatalogID": 9, "ItemID": "BOOK", "ItemQuantity": 1}])
    rig.clock.move(11 * DAY_SECONDS)
    rig.delete_unused_carts()
    assert (cart_state(rig), requests(rig)) == ("checked_out", (1, 0))


@pytest.mark.parametrize(
    ("order", "state"),
    [
        ({"ContinueURL": "https://store.example.test/continue_order.asp?orderkey=OTHERKEY1"}, "deleted"),
        ({}, "made"),
        ({"OrderStatusID": 7}, "deleted"),
        ({"OrderDate": "2020-01-01T00:00:00"}, "deleted"),
        ({"BillingEmail": "somebody@example.test"}, "deleted"),
    ],
)
def test_cart_is_kept_when_another_order_of_its_learner_may_be_it(
    rig: FollowOnRig, order: dict[str, object], state: str
) -> None:
    item = {"CatalogID": 9, "ItemID": "BOOK", "ItemQuantity": 1}
    rig.sandbox.threedcart.add_order({"BillingEmail": EMAIL, "OrderItemList": [item], **order})
    rig.clock.move(11 * DAY_SECONDS)
    rig.delete_unused_carts()
    assert cart_state(rig) == state


def test_cart_is_kept_when_an_order_that_may_be_its_own_cannot_be_read(rig: FollowOnRig) -> None:
    rig.clock.move(11 * DAY_SECONDS)
    rig.sandbox.inject(
        Fault("threedcart", "list_orders", "status", status=200, body='[{"OrderID": 1}, {"OrderID": "?"}]', times=2)
    )
    rig.delete_unused_carts()
    assert (cart_state(rig), requests(rig)) == ("made", (1, 0))


@pytest.mark.parametrize(
    "fault",
    [
        Fault("threedcart", "list_orders", "status", status=401, times=None),
        Fault("threedcart", "list_orders", "status", status=403, times=None),
        Fault("threedcart", "list_orders", "status", status=404, times=None),
        Fault("threedcart", "list_orders", "html", times=None),
        Fault("threedcart", "list_orders", "cut", times=None),
        Fault("threedcart", "list_orders", "status", status=403, times=None, match={"orderstatus": "7"}),
    ],
)
def test_no_cart_is_deleted_when_its_order_cannot_be_looked_for(rig: FollowOnRig, fault: Fault) -> None:
    rig.clock.move(11 * DAY_SECONDS)
    rig.sandbox.inject(fault)
    for _ in range(2):
        rig.delete_unused_carts()
        rig.clock.move(DAY_SECONDS)
    assert (cart_state(rig), requests(rig)) == ("made", (2, 0))
    rig.sandbox.clear_faults()
    rig.delete_unused_carts()
    assert cart_state(rig) == "deleted"


@pytest.mark.parametrize("reads_orders", ["false"])
def test_no_cart_is_deleted_when_the_store_s_orders_are_not_read(rig: FollowOnRig) -> None:
    rig.clock.move(11 * DAY_SECONDS)
    for _ in range(3):
        rig.delete_unused_carts()
        rig.clock.move(DAY_SECONDS)
    assert (cart_state(rig), requests(rig)) == ("made", (1, 0))
    assert len(rig.sandbox.threedcart.carts) == 1


def test_cart_is_not_gone_when_one_page_of_html_says_so(rig: FollowOnRig) -> None:
    rig.clock.move(11 * DAY_SECONDS)
    rig.sandbox.inject(Fault("threedcart", "retrieve_cart", "status", status=404))
    rig.delete_unused_carts()
    assert (cart_state(rig), cart_events(rig)) == ("made", ["cart_unclear"])
    rig.clock.move(DAY_SECONDS)
    rig.delete_unused_carts()
    assert (cart_state(rig), cart_events(rig)) == ("deleted", ["cart_unclear", "cart_deleted"])


def test_cart_is_gone_when_two_looks_in_a_row_meet_such_a_page(rig: FollowOnRig) -> None:
    rig.clock.move(11 * DAY_SECONDS)
    rig.sandbox.inject(Fault("threedcart", "retrieve_cart", "status", status=404, times=None))
    for state in ("made", "gone"):
        rig.delete_unused_carts()
        assert cart_state(rig) == state
        rig.clock.move(DAY_SECONDS)
    assert cart_events(rig) == ["cart_unclear", "cart_gone"]


def test_cart_is_gone_when_the_store_does_not_know_it(rig: FollowOnRig) -> None:
    (key,) = rig.sandbox.threedcart.carts
    rig.runtime.clients["threedcart"].delete_cart(key)
    rig.clock.move(11 * DAY_SECONDS)
    rig.delete_unused_carts()
    assert (cart_state(rig), cart_events(rig)) == ("gone", ["cart_gone"])


@pytest.mark.parametrize("is_kept", [False, True])
def test_cart_is_checked_out_when_its_learner_has_ordered_the_item_since(rig: FollowOnRig, *, is_kept: bool) -> None:
    store = rig.sandbox.threedcart
    (key,) = store.carts
    if not is_kept:
        made = store.check_out(key)
        assert [item["CatalogID"] for item in made["OrderItemList"]] == [CATALOG_ID]
        assert made["BillingEmail"] == EMAIL
    values = {
        "source": "threedcart",
        "order_id": "1",
        "state": "planned",
        "status": "2",
        "payment": "paid",
        "buyer_email": EMAIL,
        "buyer_email_key": EMAIL,
        "buyer_name": "",
        "renewal": False,
        "document": {"lines": [{"product": {"product_id": str(CATALOG_ID)}}]},
        "content_hash": "",
        "offers_digest": "",
        "version": 1,
        "before_start": False,
        "created_at": rig.clock(),
        "first_seen_at": rig.clock(),
        "fetched_at": rig.clock(),
        "updated_at": rig.clock(),
    }
    with rig.ledger.write() as connection:
        connection.execute(orders.insert().values(values))
    rig.clock.move(11 * DAY_SECONDS)
    rig.delete_unused_carts()
    assert (cart_state(rig), cart_events(rig)) == ("checked_out", ["cart_checked_out"])
    assert (key in store.carts) is is_kept


@pytest.mark.parametrize(
    ("operation", "when", "state"),
    [
        ("retrieve_cart", "after", "deleted"),
        ("delete_cart", "before", "deleted"),
        ("delete_cart", "after", "gone"),
    ],
)
def test_cart_is_looked_at_again_a_day_later_when_the_store_did_not_answer(
    rig: FollowOnRig, operation: str, when: str, state: str
) -> None:
    rig.clock.move(11 * DAY_SECONDS)
    rig.sandbox.inject(Fault("threedcart", operation, kind="cut", when=when))  # type: ignore[arg-type]
    rig.delete_unused_carts()
    assert cart_state(rig) == "made"
    asked = requests(rig)
    rig.clock.move(3600)
    rig.delete_unused_carts()
    assert requests(rig) == asked
    rig.clock.move(DAY_SECONDS)
    rig.delete_unused_carts()
    assert cart_state(rig) == state
    assert rig.sandbox.threedcart.carts == {}


def test_nothing_is_asked_when_the_store_is_paused_or_the_process_ends(rig: FollowOnRig) -> None:
    rig.clock.move(11 * DAY_SECONDS)
    rig.runtime.operations.pause("threedcart", actor="operator:test")
    rig.delete_unused_carts()
    rig.runtime.operations.resume("threedcart", actor="operator:test")
    rig.runtime.stopping.set()
    rig.delete_unused_carts()
    assert (cart_state(rig), requests(rig)) == ("made", (0, 0))
    del rig.runtime.clients["threedcart"]
    rig.runtime.stopping.clear()
    rig.delete_unused_carts()
    assert cart_state(rig) == "made"


def test_cart_is_left_alone_when_its_run_is_worked_on(rig: FollowOnRig) -> None:
    run_id = rig.follow_on["id"]
    rig.clock.move(11 * DAY_SECONDS)
    rig.runtime.operations.pause("threedcart", actor="operator:test")
    repeated = rig.runtime.operations.replay(
        run_id, actor="operator:test", from_step="check_cart", again=True, reason="look again"
    )
    assert repeated.calls == ("threedcart check cart", "threedcart tell")
    rig.runtime.operations.resume("threedcart", actor="operator:test")
    rig.delete_unused_carts()
    assert (cart_state(rig), requests(rig)) == ("made", (0, 0))


def test_fate_that_is_known_already_is_kept_when_two_look_at_once(rig: FollowOnRig) -> None:
    rig.clock.move(11 * DAY_SECONDS)
    store = rig.runtime.clients["threedcart"]
    delete = store.delete_cart

    def delete_while_another_finds_it_gone(order_key: str) -> None:
        delete(order_key)
        store.delete_cart = delete
        rig.clock.move(DAY_SECONDS)
        rig.delete_unused_carts()
        assert cart_state(rig) == "gone"

    store.delete_cart = delete_while_another_finds_it_gone
    rig.delete_unused_carts()
    assert (cart_state(rig), cart_events(rig)) == ("deleted", ["cart_gone", "cart_deleted"])
