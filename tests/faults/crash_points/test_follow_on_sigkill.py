"""A real process that dies by SIGKILL while the store has the item and has not answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.faults.harness.follow_on_product import EMAIL
from tests.faults.harness.offers import CATALOG_ID, COMPLETED_COURSE_ID, FOLLOW_ON, OFFERS
from tests.faults.harness.waiting import wait_until
from tests.integration.product import ENOUGH_SECONDS, Product
from worker.ledger.tables.runs import attempts, runs
from worker.sandbox import Fault, Sandbox

pytestmark = [pytest.mark.faults, pytest.mark.integration]


def follow_on_state(product: Product) -> str | None:
    with product.ledger.read() as connection:
        return connection.scalar(select(runs.c.state).where(runs.c.workflow == "follow_on"))


def test_cart_holds_the_item_once_when_the_process_is_killed_with_the_request_under_way(tmp_path: Path) -> None:
    with Sandbox.start() as sandbox:
        customer = sandbox.learningcart.add_customer(EMAIL, FirstName="Jane", LastName="Doe")
        now = datetime.now(UTC)
        sandbox.learningcart.add_completion(
            customer.id, COMPLETED_COURSE_ID, started_at=now - timedelta(days=1), completed_at=now - timedelta(hours=1)
        )
        store = sandbox.environment(
            systems=("threedcart",),
            CARTBRIDGE_THREEDCART__REQUESTS_PER_SECOND="0",
            CARTBRIDGE_LEARNINGCART__POLL_SECONDS="1",
        )
        sandbox.inject(Fault("threedcart", "create_cart_item", kind="hang"))
        with Product(sandbox, f"sqlite:///{tmp_path / 'cartbridge.db'}", tmp_path, **store) as product:
            (tmp_path / "offers.toml").write_text(OFFERS + FOLLOW_ON)
            process = product.start("up")
            wait_until(
                lambda: sandbox.effects_of("threedcart", "create_cart_item"),
                seconds=ENOUGH_SECONDS,
                what="the item is in the cart",
            )
            product.kill(process)
            sandbox.clear_faults()
            product.start("up")
            wait_until(
                lambda: follow_on_state(product) == "succeeded", seconds=ENOUGH_SECONDS, what="the run succeeded"
            )
            with product.ledger.read() as connection:
                tried = connection.execute(
                    select(attempts.c.kind, attempts.c.outcome)
                    .where(attempts.c.step == "add_cart_item")
                    .order_by(attempts.c.number)
                ).all()
        assert [tuple(row) for row in tried] == [("call", "unknown"), ("lookup", "adopted")]
        (cart,) = sandbox.threedcart.carts.values()
        assert [(item["CatalogID"], item["ItemQuantity"]) for item in cart["CartItemList"]] == [(CATALOG_ID, 1.0)]
