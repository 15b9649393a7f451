"""Texts that a buyer may make as long as they like: an index of PostgreSQL's takes 2,704 bytes, and refuses the row.

One such order ended every poll of its source, and with it everybody's provisioning.
"""

from __future__ import annotations

import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.faults.harness.waiting import wait_until
from tests.integration.product import ENOUGH_SECONDS, Product
from tests.unit.workflows.fakes.storefront import NOW, an_order, offers, record
from worker.clients.learningcart.models import CourseCompletionInfo
from worker.ledger.follow_on.completions import add_completion
from worker.ledger.session import Ledger
from worker.sandbox import Sandbox
from worker.sandbox.config import SandboxConfig
from worker.sources.order import Address, Learner, Line, Order, Payment, Seat
from worker.sources.order import Product as Sold
from workflows.follow_on.completion_progress import Progress

pytestmark = pytest.mark.integration
LETTERS = "".join(
    random.Random(7).choices("abcdefghijklmnopqrstuvwxyz\u65e5\u672c\u8a9e\U0001f600ABCDEF0123456789", k=30_000)
)
"""That nothing packs small, in characters of up to four bytes."""
HOSTILE: list[dict[str, Any]] = [
    {"customer_firstname": LETTERS},
    {"customer_email": f"{LETTERS}@example.test"},
    {"customer_email": "", "customer_lastname": LETTERS},
    {"items": [{"product_name": LETTERS, "quantity": 1}], "product_name": LETTERS},
    {"items": [{"product_name": "A", "product_id": LETTERS, "quantity": 1}], "product_id": LETTERS},
    {"status": LETTERS},
    {"pay_status": LETTERS, "payment_plan_id": LETTERS},
]


def test_honest_orders_are_provisioned_when_others_hold_texts_without_end(database_url: str, tmp_path: Path) -> None:
    with (
        Sandbox.start(config=SandboxConfig(seeded=False)) as sandbox,
        Product(sandbox, database_url, tmp_path) as product,
    ):
        product.sell(1, first_id=7001)
        honest = sandbox.studiocart.order(7001)
        for number, changes in enumerate(HOSTILE):
            hostile = honest | {"customer_email": f"hostile-{number}@example.test", "id": 8001 + number} | changes
            sandbox.studiocart.replace_order(8001 + number, hostile)
        product.sell(1, first_id=9001)
        product.start("up")
        wanted = {"learner-7001@example.test", "learner-9001@example.test"}
        wait_until(
            lambda: wanted <= {facts["email"] for facts in product.comped_orders},
            seconds=ENOUGH_SECONDS,
            what="access for the honest buyers",
        )


def test_an_order_is_recorded_when_each_of_its_texts_has_no_end(database_url: str) -> None:
    learner = Learner(
        email=f"{LETTERS}@example.test",
        first_name=LETTERS,
        last_name=LETTERS,
        address=Address(line_1=LETTERS, country=LETTERS),
    )
    sold = Sold(product_id=LETTERS, plan_id=LETTERS, product_name=LETTERS, course_id=LETTERS, sku=LETTERS)
    line = Line(
        id=LETTERS, title=LETTERS, product=sold, seats=(Seat(id=LETTERS, learner=learner, course_date_id=LETTERS),)
    )
    order: Order = an_order(
        learner=learner, lines=[line], status=LETTERS, company=LETTERS, subscription_id=LETTERS, recurring=True
    )
    ledger = Ledger(database_url)
    ledger.migrate()
    record(ledger, order, rules=offers())
    record(ledger, order.model_copy(update={"payment": Payment.REFUNDED}), rules=offers())
    ledger.close()


def test_a_completion_is_recorded_when_each_of_its_texts_has_no_end(database_url: str) -> None:
    info = CourseCompletionInfo.model_validate(
        {
            "Status": 1,
            "Course": {"Course ID": 77, "Course Name": LETTERS},
            "Customer": {"Customer ID": 7, "Email": f"{LETTERS}@example.test", "First Name": LETTERS},
        }
    )
    progress = Progress.reported(info)
    assert progress is not None
    ledger = Ledger(database_url)
    ledger.migrate()
    with ledger.write() as connection:
        add_completion(connection, asdict(progress), now=NOW)
    ledger.close()
