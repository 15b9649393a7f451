"""What a story with a follow-on cart adds: the course that is completed, and how the cart must have come out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import select

from tests.faults.harness.follow_on_product import RECEIVER
from tests.faults.harness.offers import CATALOG_ID, COMPLETED_COURSE_ID
from tests.faults.simulation.world import Stage
from worker.ledger.tables.runs import outbox, runs
from worker.sandbox import SandboxConfig
from worker.sandbox.world import PREFIXES


def variables() -> dict[str, str]:
    """The settings of a product that has a 3dcart store, and somebody to tell of its carts."""
    store = SandboxConfig(seeded=False).threedcart
    return {
        "CARTBRIDGE_THREEDCART__BASE_URL": f"https://systems.example.test{PREFIXES['threedcart']}",
        "CARTBRIDGE_THREEDCART__SECURE_URL": store.secure_url,
        "CARTBRIDGE_THREEDCART__PRIVATE_KEY": store.private_key,
        "CARTBRIDGE_THREEDCART__TOKEN": store.token,
        "CARTBRIDGE_THREEDCART__REQUESTS_PER_SECOND": "0",
        **RECEIVER,
    }


def complete(stage: Stage, email: str) -> None:
    """Let a learner complete the course."""
    site, now = stage.world.learningcart, stage.timeline.now()
    customer = site.add_customer(email, FirstName="Jane", LastName="Doe")
    site.add_completion(customer.id, COMPLETED_COURSE_ID, started_at=now - timedelta(days=3), completed_at=now)


def problems(stage: Stage) -> Iterator[str]:
    """What is wrong with the end: there must be one run, one cart that holds the item once, and one who was told."""
    with stage.fresh.engine.connect() as connection:
        found = connection.execute(select(runs).where(runs.c.workflow == "follow_on")).all()
        reported = [
            payload["data"]
            for payload in connection.scalars(select(outbox.c.payload))
            if payload["type"] == "follow_on.cart_ready"
        ]
    filled = [cart for cart in stage.world.threedcart.carts.values() if cart["CartItemList"]]
    if len(found) != 1:
        yield f"{len(found)} runs follow on the course"
    for run in found:
        if run.state != "succeeded":
            yield f"the run ended {run.state} ({run.reason})"
    if len(filled) != 1:
        yield f"{len(filled)} carts hold something"
    for cart in filled:
        held = [(item["CatalogID"], item["ItemQuantity"]) for item in cart["CartItemList"]]
        if held != [(CATALOG_ID, 1.0)]:
            yield f"a cart holds {held}"
    if [data["cart_id"] for data in reported] != [cart["OrderKey"] for cart in filled]:
        yield f"{len(reported)} events tell of a cart"
