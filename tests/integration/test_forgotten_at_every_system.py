"""A person who bought at all three sources and was mailed to is forgotten: nothing of them is left in any place.

Every text of the sources' samples that is about a person is theirs, every system refuses something and quotes them, and
where events go to quotes what it was sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from tests.faults.harness.mail_product import KEY
from tests.faults.harness.offers import ALL_OFFERS, FRONTCORE_COURSE_ID
from tests.faults.harness.waiting import wait_until
from tests.integration.product import ENOUGH_SECONDS, Product
from tests.integration.test_forgotten_everywhere import (
    EMAIL,
    FIRST,
    LAST,
    PASSWORD,
    QUOTE,
    TOKEN,
    TYPED,
    assert_forgotten,
    assert_forgotten_in_copy,
    copy_ledger,
    run,
    run_ids,
    sandbox,
    sell_to_them,
    shown,
    stored,
)
from worker.sandbox import Fault, Sandbox
from worker.sandbox.mailbox import Mailbox, MailFault

__all__ = ["sandbox"]

pytestmark = pytest.mark.integration

CAPTURES = Path(__file__).resolve().parents[1] / "captures"
OFFERS = f"""{ALL_OFFERS}
[[offer]]
source = "threedcart"
sku = "FA-COURSE-MAY"
grants = [{{ price_id = 951 }}]
"""
THEIRS = {
    # Of the Frontcore sample.
    "Lars": FIRST,
    "Larsen": LAST,
    "lars@eksemel.ek": EMAIL,
    "Veien 2": "1 Planted Street",
    "3120": "PL4 9NT",
    "21212121": "planted-555",
    "Per Pedersen": f"{FIRST} {LAST}",
    "Kundeveien 10": "2 Planted Street",
    # Of the 3dcart sample.
    "Kari": FIRST,
    "Prove": LAST,
    "kari@prove.example": EMAIL,
    "1 Sample Way": "1 Planted Street",
    "00000": "PL4 9NT",
    "Kari Prove": f"{FIRST} {LAST}",
}
"""Whose each text is instead of a sample's person."""
SALES = ("studiocart/7001", "frontcore/27244", "threedcart/1001")


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox.start() as running:
        yield running


def theirs(value: Any) -> Any:
    """A sample, as if the person had bought it."""
    if isinstance(value, dict):
        return {name: theirs(each) for name, each in value.items()}
    if isinstance(value, list):
        return [theirs(each) for each in value]
    return THEIRS.get(value, value) if isinstance(value, str) else value


def sell_everywhere(product: Product, **changes: Any) -> None:
    """Put their order into each shop, or change it."""
    for order_id in (7001, 7002):
        sell_to_them(product, order_id, status="completed" if changes else "paid")
    with Sandbox.start() as samples:
        frontcore = samples.frontcore.order(27244)
    frontcore["lines"][0]["database_relations"][0]["course_id"] = FRONTCORE_COURSE_ID
    product.sandbox.frontcore.replace_order(27244, theirs(frontcore) | {"booker": {"name": f"{FIRST} {LAST}"}})
    (threedcart,) = json.loads((CAPTURES / "threedcart" / "order_full.json").read_text())
    comments = {"CustomerComments": TYPED, "InternalComments": TYPED, "IP": "203.0.113.7"}
    product.sandbox.threedcart.replace_order(1001, theirs(threedcart) | comments | changes)


def test_nothing_of_a_person_is_left_when_they_bought_everywhere(
    sandbox: Sandbox, mailbox: Mailbox, httpserver: HTTPServer, tmp_path: Path
) -> None:
    httpserver.expect_request("/events").respond_with_data(QUOTE, status=400)
    variables = {
        **sandbox.environment(systems=("frontcore", "threedcart")),
        **mailbox.environment(CARTBRIDGE_PASSWORDS__MODE="mail", CARTBRIDGE_PASSWORDS__KEY=KEY),
        **{f"CARTBRIDGE_{system}__START_AT": "2015-01-01" for system in ("STUDIOCART", "FRONTCORE", "THREEDCART")},
        **{f"CARTBRIDGE_{system}__POLL_SECONDS": "1" for system in ("FRONTCORE", "THREEDCART")},
        **{f"CARTBRIDGE_{system}__REQUESTS_PER_SECOND": "0" for system in ("FRONTCORE", "THREEDCART")},
        "CARTBRIDGE_FRONTCORE__BASELINE_DAYS": "5000",
        "CARTBRIDGE_THREEDCART__BASELINE_DAYS": "5000",
        "CARTBRIDGE_THREEDCART__ORDERS_ENABLED": "true",
        "CARTBRIDGE_EVENTS__WEBHOOK_URL": httpserver.url_for("/events"),
        "CARTBRIDGE_EVENTS__WEBHOOK_SECRET": "whsec_cGxhbnRlZHdlYmhvb2tzZWNyZXQwMTIzNDU2Nzg5",
        "CARTBRIDGE_WEB__ADMIN_PASSWORD": PASSWORD,
        "CARTBRIDGE_WEB__API_TOKEN": TOKEN,
        "CARTBRIDGE_ERASURES_FILE": str(tmp_path / "erasures.jsonl"),
        "CARTBRIDGE_RETRY__MAX_ATTEMPTS": "2",
    }
    with Product(sandbox, f"sqlite:///{tmp_path / 'cartbridge.db'}", tmp_path, **variables) as product:
        (tmp_path / "offers.toml").write_text(OFFERS)
        up = product.start("up")
        port = product.port_of(up)
        sandbox.inject(Fault("learningcart", "addCompOrder", kind="status", status=400, body=QUOTE, times=2))
        mailbox.inject(MailFault("rcpt", code=550, text=f"5.1.1 {FIRST} {LAST} <{EMAIL}> unknown"))
        sell_everywhere(product)
        wait_until(lambda: len(product.states()) >= 5, seconds=ENOUGH_SECONDS, what="four sales and a mail")
        settled = {"succeeded", "review", "failed"}
        wait_until(lambda: set(product.states()) <= settled, seconds=ENOUGH_SECONDS, what="runs that are done")
        assert product.states().count("failed") >= 2
        run(product, "replay", *run_ids(product), "--reason", TYPED)
        wait_until(lambda: set(product.states()) <= settled, seconds=ENOUGH_SECONDS, what="runs that are done again")
        for sale in SALES:
            source, order_id = sale.split("/")
            sandbox.inject(Fault(source, "retrieve_order", kind="status", status=400, body=QUOTE))
            run(product, "ingest", source, order_id, code=1)
        held = stored(product).casefold()
        assert all(text in held for text in ("planted", "pl4 9nt", "2 planted street", EMAIL))
        copied_at = copy_ledger(tmp_path)

        httpserver.clear()  # what it is sent from now on names nobody whom it could quote
        httpserver.expect_request("/events").respond_with_data("")
        run(product, "forget", EMAIL, "--yes", "--reason", TYPED)
        assert_forgotten({"ledger": stored(product), "log": product.log_of(up)})
        assert_forgotten(shown(product, port))
        for sale in SALES:
            assert_forgotten({sale: run(product, "why", sale, "--json") + run(product, "orders", "show", sale)})
        # An edit at each source, which a poll and the operator see.
        sell_everywhere(product, BillingPhoneNumber="planted-556", LastUpdate=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}")
        for sale in SALES:
            run(product, "ingest", *sale.split("/"))
        assert_forgotten({"ledger": stored(product), "log": product.log_of(up)})
        assert product.stop(up) == 0

        # A copy from before is restored.
        again = assert_forgotten_in_copy(product, tmp_path, copied_at)
        for sale in SALES:
            run(product, "ingest", *sale.split("/"))
        assert_forgotten({"ledger": stored(product), "log": product.log_of(again)})
