"""A product that prepares follow-on carts, in one process, against a sandbox whose learners complete courses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from tasks.follow_on import completions_poller
from tests.faults.harness.impatience import LONG_SECONDS
from tests.faults.harness.offers import CATALOG_ID, COMPLETED_COURSE_ID, FOLLOW_ON, OFFERS
from tests.faults.harness.product import HandClock, Rig, Row
from worker.ledger.tables.follow_on import carts, completions
from worker.ledger.tables.runs import outbox
from worker.sandbox import Effect, Sandbox

_AN_HOUR = timedelta(hours=1)
EMAIL = "jane@example.test"
RECEIVER = {
    "CARTBRIDGE_EVENTS__WEBHOOK_URL": "http://127.0.0.1:9/in",
    "CARTBRIDGE_EVENTS__WEBHOOK_SECRET": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
}
"""Somebody to be told of events, who is never asked here."""


class FollowOnRig(Rig):
    """Works the runs of every workflow; the offers have one rule for what follows."""

    def __init__(
        self,
        sandbox: Sandbox,
        ledger_url: str,
        folder: Path,
        *,
        clock: HandClock | None = None,
        shared_clock: bool = False,
        with_store: bool = True,
        **overrides: str,
    ) -> None:
        variables = {
            **(sandbox.environment(systems=("threedcart",)) if with_store else {}),
            "CARTBRIDGE_THREEDCART__REQUESTS_PER_SECOND": "0",
            "CARTBRIDGE_THREEDCART__READ_TIMEOUT_SECONDS": str(LONG_SECONDS),
            **RECEIVER,
        }
        super().__init__(sandbox, ledger_url, folder, clock=clock, shared_clock=shared_clock, **(variables | overrides))
        self.settings.offers_file.write_text(OFFERS + FOLLOW_ON)

    # What happens in LearningCart, and who hears of it

    def complete(
        self, *, email: str = EMAIL, course_id: int = COMPLETED_COURSE_ID, ago: timedelta = timedelta(hours=1)
    ) -> None:
        """Let a learner complete a course."""
        site = self.sandbox.learningcart
        customer = site.customer_of(email) or site.add_customer(email, FirstName="Jane", LastName="Doe")
        completed_at = self.clock() - ago
        began_at = completed_at - timedelta(days=3)
        site.add_completion(customer.id, course_id, started_at=began_at, completed_at=completed_at, score=95)

    def poll(self) -> None:
        """Read the completions."""
        polled = completions_poller(self.runtime).poll()
        assert polled.error is None, polled

    def hear(self, **completed: Any) -> str:
        """Let a learner complete a course, and hear of it; the id of the run that follows."""
        self.complete(**completed)
        self.poll()
        return str(self.follow_on["id"])

    def work(self, run_id: str) -> None:
        """What a worker does with the message about a run, in the queue that its next step belongs to."""
        positions = self.positions(run_id)
        if positions:
            workflow, kind, _ = positions[0]
            self.runtime.app.tasks[f"cartbridge.{workflow}.{kind}"].run(run_id)

    def positions(self, run_id: str) -> list[tuple[str, str, str]]:
        """The steps that are left of a run, as the dispatcher sends them."""
        self.dispatcher._ledger = self.ledger
        return self.dispatcher._positions([run_id]).get(run_id, [])

    def delete_unused_carts(self) -> None:
        """What beat has done every hour."""
        self.runtime.app.tasks["cartbridge.delete_unused_carts"].run()

    # What is left

    @property
    def follow_ons(self) -> list[Row]:
        return [row for row in self.rows("runs") if row["workflow"] == "follow_on"]

    @property
    def follow_on(self) -> Row:
        """The one run that follows."""
        (row,) = self.follow_ons
        return row

    @property
    def carts(self) -> list[Row]:
        """The tries at a cart, oldest first."""
        with self.ledger.read() as connection:
            found = connection.execute(select(carts).order_by(carts.c.run_id, carts.c.attempt))
            return [dict(row) for row in found.mappings()]

    @property
    def cart_events(self) -> list[dict[str, Any]]:
        """The events of carts that are ready."""
        with self.ledger.read() as connection:
            payloads = connection.scalars(select(outbox.c.payload).order_by(outbox.c.id))
            return [payload["data"] for payload in payloads if payload["type"] == "follow_on.cart_ready"]

    @property
    def completion_ids(self) -> list[str]:
        with self.ledger.read() as connection:
            return list(connection.scalars(select(completions.c.id).order_by(completions.c.id)))

    @property
    def items_added(self) -> list[Effect]:
        """Every item that was put into a cart."""
        return self.sandbox.effects_of("threedcart", "create_cart_item")

    def filled_carts(self) -> list[dict[str, Any]]:
        """The carts of the store that hold something."""
        return [cart for cart in self.sandbox.threedcart.carts.values() if cart["CartItemList"]]

    def number_boundaries(self, reach: Callable[[str], None]) -> None:
        """Have every commit, and every call to the store, pass by `reach`: before it, and after it."""
        store, names = (
            self.runtime.clients["threedcart"],
            ("create_cart", "create_cart_item", "retrieve_cart", "delete_cart"),
        )
        self.watch_boundaries(reach, {(store, name): name for name in names})


def assert_one_cart_with_one_item(rig: FollowOnRig, run_id: str) -> None:
    """The run has succeeded with a cart that holds the item once, was told of once, and is the only one that does."""
    assert rig.state(run_id) == ("succeeded", None), rig.rows("attempts")[-3:]
    (cart,) = rig.filled_carts()
    ((item,),) = [cart["CartItemList"]]
    assert (item["CatalogID"], item["ItemQuantity"], cart["BillingEmail"]) == (CATALOG_ID, 1.0, EMAIL)
    (reported,) = rig.cart_events
    assert (reported["cart_id"], reported["checkout_url"]) == (cart["OrderKey"], cart["CheckoutURL"])
    (known,) = [row for row in rig.carts if row["checkout_url"] is not None]
    assert (known["cart_id"], known["state"]) == (cart["OrderKey"], "made")
    assert all(row["outcome"] is not None for row in rig.rows("attempts"))
