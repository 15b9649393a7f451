"""Rulings on Studiocart's records whose breach doubles an order or gives access away, through the whole product."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.faults.harness.product import ON_SQLITE, NewRig, Rig
from worker.ledger.orders import order_rows
from worker.ledger.states import Actor, Via
from worker.ledger.tables.runs import orders, runs
from worker.sources.studiocart_lines import name_id

ORDER = 7001
BOTH = """
[[offer]]
source = "studiocart"
product_id = "1107"
grants = [{ price_id = 501 }]
renewals = "ignore"

[[offer]]
source = "studiocart"
product_name = "Tips & Tricks"
grants = [{ price_id = 502 }]
"""
RENAMED = '\n[[offer]]\nsource = "studiocart"\nproduct_name = "Hints"\ngrants = [{ price_id = 503 }]\n'


def an_item(product_id: str, item_type: str, name: str) -> dict[str, Any]:
    return {"product_id": product_id, "item_type": item_type, "product_name": name, "quantity": "1"}


def sell(rig: Rig, bump: str, **more: Any) -> None:
    items = [an_item("1107", "main", "Course"), an_item("1120", "bump", bump)]
    order = {"customer_email": "jane@example.test", "product_id": "1107", "product_name": "Course", "items": items}
    rig.sandbox.studiocart.replace_order(ORDER, order | more)


def hint(rig: Rig, order_id: int, body: dict[str, Any] | None = None) -> None:
    """A webhook came for this order; a worker looks at it."""
    with rig.ledger.write() as connection:
        order_rows.insert_delivery(
            connection,
            source="studiocart",
            order_id=str(order_id),
            via=Via.WEBHOOK,
            actor=Actor.SOURCE,
            body=body,
            now=rig.clock(),
        )
    rig.clock.move(5)
    rig.runtime.delivery_reader.look("studiocart", str(order_id))
    rig.go_on()


@ON_SQLITE
@pytest.mark.parametrize("by_an_earlier_version", [False, True])
def test_bump_is_granted_once_when_it_is_renamed_and_an_offer_comes_for_its_new_name(
    rig: Rig, tmp_path: Path, by_an_earlier_version: bool
) -> None:
    (tmp_path / "offers.toml").write_text(BOTH)
    sell(rig, "Tips &#038; Tricks")
    hint(rig, ORDER)
    assert len(rig.comped_orders) == 2
    if by_an_earlier_version:  # which knew the bump by its written name
        old = name_id("Tips &#038; Tricks")
        with rig.ledger.write() as connection:
            own = update(runs).where(runs.c.line_id == "1120")
            connection.execute(own.values(line_id=old, key=f"studiocart/{ORDER}/{old}/buyer/502"))
    (tmp_path / "offers.toml").write_text(BOTH + RENAMED)
    sell(rig, "Hints")
    hint(rig, ORDER)
    rig.finish()
    assert len(rig.comped_orders) == 2
    assert {row["state"] for row in rig.rows("runs")} == {"succeeded"}


@ON_SQLITE
@pytest.mark.parametrize("names", [("Tips &#038; Tricks", "Hints"), ("Tips &#038; Tricks", "Hints") * 2])
def test_renamed_bump_is_a_question_when_nothing_but_names_tells_it_apart(
    rig: Rig, tmp_path: Path, names: tuple[str, ...]
) -> None:
    (tmp_path / "offers.toml").write_text(BOTH + RENAMED)
    for bump in names:
        items = [{"product_name": f"{name} x 1", "quantity": 1} for name in ("Course", bump)]
        order = {"customer_email": "jane@example.test", "product_id": "1107", "product_name": "Course", "items": items}
        rig.sandbox.studiocart.replace_order(ORDER, order)
        hint(rig, ORDER)
        rig.finish()
    assert len(rig.comped_orders) == 2
    assert {row["reason"] for row in rig.rows("runs") if row["state"] == "review"} == {
        "line_renamed",
        "removed_after_provisioning",
    }


@ON_SQLITE
def test_subscription_is_no_order_when_a_webhook_carries_its_id(rig: Rig) -> None:
    rig.sell(ORDER)
    subscription = rig.sandbox.studiocart.add_subscription({"invoices": [ORDER], "status": "completed"})
    hint(rig, ORDER)
    hint(rig, int(subscription["id"]), {"id": subscription["id"], "trigger": "completed", "status": "completed"})
    assert len(rig.comped_orders) == 1


@ON_SQLITE
def test_nothing_is_given_when_a_checkout_without_a_total_was_not_finished(rig: Rig) -> None:
    rig.sell(ORDER, status="pending-payment")
    rig.sandbox.studiocart.update_order(ORDER, order_amount=0)
    hint(rig, ORDER)
    assert rig.comped_orders == []
    rig.sandbox.studiocart.update_order(ORDER, status="paid")
    hint(rig, ORDER)
    assert len(rig.comped_orders) == 1


@ON_SQLITE
def test_refund_stands_when_the_webhook_of_the_payment_is_sent_again(new_rig: NewRig) -> None:
    rig = new_rig(CARTBRIDGE_STUDIOCART__TRUST_WEBHOOK="true")
    rig.sell(ORDER)
    paid = rig.sandbox.studiocart.order(ORDER) | {"trigger": "purchased"}
    hint(rig, ORDER, paid)
    hint(rig, ORDER, paid | {"trigger": "refunded", "status": "refunded"})
    hint(rig, ORDER, paid)
    asked = [(row["state"], row["reason"]) for row in rig.rows("runs") if row["workflow"] == "revocation"]
    assert asked == [("review", "refunded_after_provisioning")]
    with rig.ledger.read() as connection:
        assert connection.scalars(select(orders.c.payment)).all() == ["refunded"]
