"""3dcart's orders on to LearningCart: by webhook, by poll, and by both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.faults.harness.product import Rig
from tests.integration.clients.threedcart_store import CAPTURES, HOOK_SECRET, OFFERS, URL_TOKEN, a_sale
from tests.unit.worker.web.asking import AppClient
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import deliveries, events, order_versions, orders
from worker.sandbox import Sandbox
from worker.web.app import create_app

Company = Callable[..., Rig]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as running:
        yield running


@pytest.fixture
def found_company(sandbox: Sandbox, tmp_path: Path) -> Iterator[Company]:
    """Make a company that sells by 3dcart alone; keywords are 3dcart's settings."""
    with ExitStack() as stack:

        def make(**overrides: str) -> Rig:
            url = f"sqlite:///{tmp_path}/ledger.db"
            ledger = Ledger(url)
            ledger.migrate()
            ledger.close()
            store = sandbox.environment(systems=["threedcart"])
            named = {
                "ORDERS_ENABLED": "true",
                "REQUESTS_PER_SECOND": "0",
                "START_AT": "2020-01-01",
                "WEBHOOK_SECRET": HOOK_SECRET,
            } | overrides
            variables = store | {f"CARTBRIDGE_THREEDCART__{name}": value for name, value in named.items()}
            rig = Rig(sandbox, url, tmp_path, clock=None, shared_clock=False, **variables)
            stack.callback(rig.close)
            (tmp_path / "offers.toml").write_text(OFFERS)
            return rig

        yield make


def post(rig: Rig, body: object, secret: str = HOOK_SECRET) -> int:
    """Send a webhook; the status of the answer."""
    web = AppClient(create_app(rig.settings, rig.runtime.ledger, rig.dispatcher, clock=rig.clock))
    try:
        return web.post("/webhooks/threedcart", json=body, headers={"X-Webhook-Secret": secret}).status_code
    finally:
        web.close()


def hook(rig: Rig, body: object = None) -> None:
    """Tell of order 7 as the store would, and do what the worker does that is told of it."""
    assert post(rig, {"OrderID": 7} if body is None else body) == 202
    rig.runtime.app.tasks["cartbridge.ingest"].apply(args=("threedcart", "7"), throw=True)


def poll(rig: Rig) -> None:
    """What the worker does with beat's message, an interval later."""
    rig.clock.move(300)
    rig.runtime.app.tasks["cartbridge.poll"].apply(args=("threedcart",), throw=True)


def states(rig: Rig) -> dict[str, tuple[str, str | None]]:
    return {row["key"]: (row["state"], row["reason"]) for row in rig.rows("runs")}


def recorded_orders(rig: Rig) -> dict[str, str]:
    with rig.runtime.ledger.read() as connection:
        return {row.order_id: row.state for row in connection.execute(select(orders))}


BUYER = "threedcart/7/1234-FIRST-AID-101/buyer/701"


@pytest.mark.parametrize("arrivals", [[hook], [poll], [hook, poll, hook, poll], [poll, hook, poll]])
def test_an_order_ends_in_one_comped_order_whatever_brings_it(found_company: Company, arrivals: list[Any]) -> None:
    rig = found_company()
    assert rig.runtime.app.conf.beat_schedule["poll_threedcart"]["args"] == ("threedcart",)
    rig.sandbox.threedcart.add_order(a_sale(OrderID=7))
    for arrive in arrivals:
        arrive(rig)
        rig.finish()
    assert states(rig) == {BUYER: ("succeeded", None)}
    assert [effect.facts["email"] for effect in rig.comped_orders] == ["jane@example.test"]
    assert recorded_orders(rig) == {"7": "planned"}


def test_an_order_is_provisioned_when_it_is_paid_and_asks_when_it_is_cancelled(found_company: Company) -> None:
    rig = found_company()
    rig.sandbox.threedcart.add_order(a_sale(OrderID=7, OrderStatusID=7))
    rig.sandbox.threedcart.add_order(a_sale(OrderID=8, OrderStatusID=9))
    poll(rig)
    assert recorded_orders(rig) == {"8": "review"}
    assert states(rig) == {"threedcart/8/-/-/unknown-status": ("review", "unknown_status")}
    rig.sandbox.threedcart.delete_order(8)
    for status_id, state in ((1, "waiting"), (11, "waiting"), (2, "planned"), (4, "planned"), (5, "cancelled")):
        rig.sandbox.threedcart.update_order(7, OrderStatusID=status_id)
        poll(rig)
        rig.finish()
        assert recorded_orders(rig)["7"] == state
    assert len(rig.comped_orders) == 1
    assert states(rig)[BUYER] == ("succeeded", None)
    assert states(rig)[f"{BUYER}/revoke"] == ("review", "cancelled_after_provisioning")


SALE = {"TransactionType": "Sale", "TransactionAmount": 50.0, "TransactionCaptured": 1}
REFUND = {"TransactionType": "Refund", "TransactionAmount": 50.0, "TransactionCaptured": 1}


@pytest.mark.parametrize("status_id", [1, 2, 4])
@pytest.mark.parametrize("is_given", [True, False])
def test_a_refund_is_acted_on_when_the_transactions_alone_tell_of_it(
    found_company: Company, status_id: int, *, is_given: bool
) -> None:
    rig = found_company()
    sold = {"OrderID": 7, "OrderStatusID": status_id, "OrderAmount": 50.0}
    rig.sandbox.threedcart.add_order(a_sale(**sold, TransactionList=[SALE]))
    poll(rig)
    if is_given:
        rig.finish()
    part = REFUND | {"TransactionAmount": 20.0}
    asked = "threedcart/7/-/-/partially-refunded"
    rig.sandbox.threedcart.update_order(7, TransactionList=[SALE, part])
    poll(rig)
    poll(rig)
    assert states(rig)[asked] == ("review", "partially_refunded")
    rig.sandbox.threedcart.update_order(7, TransactionList=[SALE, part, REFUND | {"TransactionAmount": 30.0}])
    poll(rig)
    given = {BUYER: ("succeeded", None), f"{BUYER}/revoke": ("review", "refunded_after_provisioning")}
    stopped = {BUYER: ("cancelled", "refunded_by_source")}
    assert states(rig) == (given if is_given else stopped) | {asked: ("cancelled", "settled_by_source")}


@pytest.mark.parametrize("trusts", ["false", "true"])
def test_the_vendor_s_test_is_taken_and_ignored_when_the_store_has_no_such_order(
    found_company: Company, trusts: str
) -> None:
    rig = found_company(TRUST_WEBHOOK=trusts)
    [body] = json.loads((CAPTURES / "webhook_test_order_1.json").read_text(encoding="utf-8"))
    assert post(rig, body) == 202
    rig.runtime.app.tasks["cartbridge.ingest"].apply(args=("threedcart", "1"), throw=True)
    with rig.runtime.ledger.read() as connection:
        [delivery] = connection.execute(select(deliveries)).all()
    assert (delivery.state, delivery.reason, delivery.body) == ("ignored", "test_notification", None)
    assert (recorded_orders(rig), states(rig)) == ({}, {})


@pytest.mark.parametrize("trusts", ["false", "true"])
@pytest.mark.parametrize("name", ["webhook_order_new.json", "webhook_order_status_change.json"])
def test_an_array_of_one_whole_order_gives_access_once_when_it_comes_to_the_secret_address(
    found_company: Company, name: str, trusts: str
) -> None:
    rig = found_company(TRUST_WEBHOOK=trusts, WEBHOOK_URL_TOKEN=URL_TOKEN)
    (rig.settings.offers_file).write_text(OFFERS.replace("FIRST-AID-101", "FA-COURSE-MAY"))
    body = (CAPTURES / name).read_bytes()
    [record] = json.loads(body)
    rig.sandbox.threedcart.add_order(record)
    web = AppClient(create_app(rig.settings, rig.runtime.ledger, rig.dispatcher, clock=rig.clock))
    try:
        for path, status in (("", 401), ("/another-token-altogether-0000000", 401), (f"/{URL_TOKEN}", 202)) * 2:
            answer = web.post(f"/webhooks/threedcart{path}", content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == status, path
    finally:
        web.close()
    rig.runtime.app.tasks["cartbridge.ingest"].apply(args=("threedcart", "1002"), throw=True)
    rig.finish()
    assert rig.sandbox.requests("threedcart") == (0 if trusts == "true" else 1)
    assert states(rig) == {"threedcart/1002/12-FA-COURSE-MAY/buyer/701": ("succeeded", None)}
    poll(rig)
    rig.finish()
    assert [effect.facts["email"] for effect in rig.comped_orders] == ["kari@prove.example"]
    with rig.runtime.ledger.read() as connection:
        stored = [connection.execute(select(table)).all() for table in (orders, order_versions, deliveries, events)]
    assert not any(secret in str(stored) for secret in ("192.0.2.7", "ABCDEFGHJKLMNPQ", "www.example", "0000000001"))


def test_a_completed_order_is_asked_about_a_day_later_when_it_shows_no_money(found_company: Company) -> None:
    rig = found_company()
    rig.sandbox.threedcart.add_order(a_sale(OrderID=7, OrderStatusID=1, BillingOnLinePayment=True))
    rig.sandbox.threedcart.add_order(a_sale(OrderID=8, OrderStatusID=1, OrderAmount=25.0))
    poll(rig)
    rig.finish()
    assert recorded_orders(rig) == {"7": "planned", "8": "waiting"}
    assert states(rig) == {BUYER: ("succeeded", None)}
    rig.clock.move(24 * 3600)
    rig.runtime.app.tasks["cartbridge.dispatch_due"].apply(throw=True)
    assert recorded_orders(rig)["8"] == "review"
    assert states(rig)["threedcart/8/-/-/payment-unproven"] == ("review", "payment_unproven")


@pytest.mark.parametrize("status_id", [1, 8])
def test_nothing_old_is_given_when_a_setting_makes_a_status_a_paid_one(found_company: Company, status_id: int) -> None:
    start_at = datetime.now(UTC) - timedelta(hours=2)
    old = (start_at - timedelta(days=9)).replace(tzinfo=None).isoformat(timespec="seconds")
    rig = found_company(START_AT=start_at.isoformat())
    rig.sandbox.threedcart.add_order(a_sale(OrderID=7, OrderStatusID=status_id, OrderAmount=25.0, OrderDate=old))
    rig.sandbox.threedcart.add_order(a_sale(OrderID=8, OrderStatusID=11, OrderAmount=25.0, OrderDate=old))
    rig.sandbox.threedcart.add_order(a_sale(OrderID=9, OrderStatusID=status_id, OrderAmount=25.0))
    poll(rig)
    rig.close()
    rig = found_company(START_AT=start_at.isoformat(), PAID_STATUSES="2,4,1,8")
    rig.sandbox.threedcart.update_order(8, OrderStatusID=4)
    rig.clock.move(25 * 3600)
    poll(rig)
    asked = BUYER.replace("/7/", "/{}/")
    found = {key: state for key, state in states(rig).items() if key in map(asked.format, (7, 8, 9))}
    assert found == {
        asked.format(7): ("review", "older_than_start"),
        asked.format(8): ("pending", None),
        asked.format(9): ("pending", None),
    }


def test_an_order_is_found_when_its_last_update_is_older_than_itself(found_company: Company) -> None:
    rig = found_company()
    made_at = (datetime.now(UTC) - timedelta(days=3)).replace(tzinfo=None).isoformat(timespec="seconds")
    stale = {"LastUpdate": "2020-01-01T00:00:00"}
    poll(rig)
    rig.sandbox.threedcart.add_order(a_sale(OrderID=7, **stale))
    poll(rig)
    assert recorded_orders(rig) == {"7": "planned"}
    rig.sandbox.threedcart.add_order(a_sale(OrderID=8, OrderStatusID=11, OrderDate=made_at, OrderAmount=5, **stale))
    rig.clock.move(24 * 3600)
    poll(rig)
    rig.sandbox.threedcart.update_order(8, OrderStatusID=4, **stale)
    rig.clock.move(24 * 3600)
    poll(rig)
    assert recorded_orders(rig) == {"7": "planned", "8": "planned"}


def test_an_order_is_found_when_the_clock_was_ahead_and_is_right_again(found_company: Company) -> None:
    rig = found_company()
    poll(rig)
    rig.clock.move(400 * 24 * 3600)
    poll(rig)
    rig.clock.move(-400 * 24 * 3600)
    rig.sandbox.threedcart.add_order(a_sale(OrderID=7, OrderStatusID=11, OrderAmount=5))
    poll(rig)
    assert recorded_orders(rig) == {"7": "waiting"}
    rig.sandbox.threedcart.update_order(7, OrderStatusID=4)
    poll(rig)
    assert recorded_orders(rig) == {"7": "planned"}


def test_further_seats_wait_for_a_name_when_several_are_bought(found_company: Company) -> None:
    rig = found_company(PAID_STATUSES="1")
    item = {"CatalogID": 1234, "ItemID": "FIRST-AID-101", "ItemQuantity": 3.0}
    offers_reader = {"CatalogID": 5, "ItemID": "BOOK", "ItemQuantity": 1.0}
    rig.sandbox.threedcart.add_order(a_sale(OrderID=7, OrderStatusID=1, OrderItemList=[item, offers_reader]))
    hook(rig)
    rig.finish()
    line = "threedcart/7/1234-FIRST-AID-101"
    assert states(rig) == {
        BUYER: ("succeeded", None),
        f"{line}/seat-2/unnamed": ("review", "unnamed_seat"),
        f"{line}/seat-3/unnamed": ("review", "unnamed_seat"),
        "threedcart/7/5-BOOK/buyer/unmapped": ("review", "unmapped_product"),
    }
    assert len(rig.comped_orders) == 1


def test_a_trusted_body_and_a_poll_name_the_same_seat_when_both_come(found_company: Company) -> None:
    rig = found_company(TRUST_WEBHOOK="true")
    record = rig.sandbox.threedcart.add_order(a_sale(OrderID=7))
    hook(rig, record)
    assert rig.sandbox.requests("threedcart") == 0
    rig.finish()
    poll(rig)
    rig.finish()
    assert states(rig) == {BUYER: ("succeeded", None)}
    assert len(rig.comped_orders) == 1


def test_nothing_is_recorded_when_a_checkout_was_not_completed_or_nobody_proves_who_he_is(
    found_company: Company,
) -> None:
    rig = found_company()
    rig.sandbox.threedcart.add_order(a_sale(OrderID=7, OrderStatusID=7))
    assert post(rig, {"OrderID": 7}, "another") == 401
    hook(rig)
    poll(rig)
    assert (recorded_orders(rig), states(rig)) == ({}, {})
    with rig.runtime.ledger.read() as connection:
        [delivery] = connection.execute(select(deliveries)).all()
    assert delivery.via == "webhook"
    assert "not completed" in delivery.note


def test_the_store_is_no_source_when_its_orders_are_not_enabled(found_company: Company) -> None:
    rig = found_company(ORDERS_ENABLED="false")
    assert set(rig.runtime.clients) >= {"threedcart", "learningcart"}
    assert "threedcart" not in rig.runtime.sources
    assert "poll_threedcart" not in rig.runtime.app.conf.beat_schedule
    assert post(rig, {"OrderID": 7}) == 404
    poll(rig)
    assert rig.sandbox.requests("threedcart") == 0
