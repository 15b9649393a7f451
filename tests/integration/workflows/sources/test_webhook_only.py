"""A source that nothing is set to ask: what its webhooks' bodies say is all there is, and it is enough."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.faults.harness.product import Rig
from tests.unit.worker.web.asking import AppClient
from worker.broker.schedule import beat_schedule
from worker.cli.check.probes import probe_system
from worker.errors import ConfigurationError
from worker.ledger.orders import order_rows
from worker.ledger.session import Ledger
from worker.ledger.states import Via
from worker.sandbox import Sandbox
from worker.settings.warnings import warnings_of
from worker.web.app import create_app

CAPTURES = Path(__file__).parents[3] / "captures"
TOKEN = "0123456789abcdef0123456789abcdef"
OFFERS = """
[[offer]]
source = "studiocart"
product_id = "4"
grants = [{ price_id = 501, group_ids = [12] }]

[[offer]]
source = "threedcart"
product_id = "88"
grants = [{ price_id = 501, group_ids = [12] }]
"""
Company = Callable[..., Rig]


@pytest.fixture
def found_company(tmp_path: Path) -> Iterator[Company]:
    """Make a company whose one source is told by its webhooks alone."""
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox.start())

        def make(source: str = "studiocart", **given: str) -> Rig:
            url = f"sqlite:///{tmp_path}/ledger.db"
            ledger = Ledger(url)
            ledger.migrate()
            ledger.close()
            nothing = dict.fromkeys(("BASE_URL", "API_KEY", "WEBHOOK_SECRET"), "")
            named = {f"STUDIOCART__{name}": value for name, value in nothing.items()}
            named |= {f"{source.upper()}__{name}": value for name, value in given.items()}
            named |= {f"{source.upper()}__TRUST_WEBHOOK": "true", f"{source.upper()}__START_AT": "2020-01-01"}
            variables = {f"CARTBRIDGE_{name}": value for name, value in named.items()}
            rig = Rig(sandbox, url, tmp_path, clock=None, shared_clock=False, **variables)
            stack.callback(rig.close)
            (tmp_path / "offers.toml").write_text(OFFERS)
            return rig

        yield make


def post(rig: Rig, source: str, body: Any) -> int:
    web = AppClient(create_app(rig.settings, rig.runtime.ledger, rig.dispatcher, clock=rig.clock))
    try:
        return web.post(f"/webhooks/{source}/{TOKEN}", json=body).status_code
    finally:
        web.close()


def purchase() -> Any:
    captured = json.loads((CAPTURES / "studiocart" / "C-default-body-purchased.json").read_text())
    return json.loads(captured["request"]["body"])


def read(rig: Rig, source: str, order_id: str) -> None:
    rig.runtime.app.tasks["cartbridge.ingest"].apply(args=(source, order_id), throw=True)


def test_access_is_given_by_a_webhooks_body_when_the_source_cannot_be_asked(found_company: Company) -> None:
    rig = found_company(WEBHOOK_URL_TOKEN=TOKEN)
    assert post(rig, "studiocart", purchase()) == 202
    read(rig, "studiocart", "11")
    assert [(row["key"], row["state"]) for row in rig.rows("runs")] == [("studiocart/11/4/buyer/501", "pending")]


@pytest.mark.parametrize("later", ["pending-payment", "paid"])
def test_every_body_is_news_when_something_else_asked_for_the_same_order_meanwhile(
    found_company: Company, later: str
) -> None:
    rig = found_company(WEBHOOK_URL_TOKEN=TOKEN)
    body = purchase()
    two = [*body["items"], body["items"][0] | {"id": "99", "product_id": "5", "item_type": "bump"}]
    assert post(rig, "studiocart", body | {"items": two}) == 202
    rig.clock.move(5)
    with rig.runtime.ledger.write() as connection:
        order_rows.insert_delivery(
            connection, source="studiocart", order_id="11", via=Via.POLL, actor="source", now=rig.clock()
        )
    rig.clock.move(5)
    assert post(rig, "studiocart", body | {"status": later, "items": two}) == 202
    read(rig, "studiocart", "11")
    assert {row["key"]: row["state"] for row in rig.rows("runs")} == {
        "studiocart/11/4/buyer/501": "pending",
        "studiocart/11/5/buyer/unmapped": "review",
    }
    assert {row["state"] for row in rig.rows("deliveries")} == {"planned"}


def test_third_carts_whole_order_is_enough_and_its_test_is_known(found_company: Company) -> None:
    rig = found_company("threedcart", ORDERS_ENABLED="true", WEBHOOK_URL_TOKEN=TOKEN)
    captures = CAPTURES / "threedcart"
    for name, order_id in (("webhook_test_order_1", "1"), ("webhook_order_new", None)):
        body = json.loads((captures / f"{name}.json").read_text())
        assert post(rig, "threedcart", body) == 202
        read(rig, "threedcart", order_id or str(body[0]["OrderID"]))
    reasons = {row["order_id"]: row["reason"] for row in rig.rows("deliveries")}
    assert reasons == {"1": "test_notification", "1002": None}
    assert len(rig.rows("runs")) > 0


@pytest.mark.parametrize("said", [{"status": "paid"}, {"trigger": "purchased"}, {}])
def test_a_person_is_asked_when_the_body_says_too_little_to_plan_from(
    found_company: Company, said: dict[str, str]
) -> None:
    rig = found_company(WEBHOOK_URL_TOKEN=TOKEN)
    assert post(rig, "studiocart", {"id": 12, **said}) == 202
    read(rig, "studiocart", "12")
    [delivery] = rig.rows("deliveries")
    assert (delivery["state"], delivery["reason"]) == ("review", "source_off")
    assert "Set CARTBRIDGE_STUDIOCART__BASE_URL, CARTBRIDGE_STUDIOCART__API_KEY" in delivery["note"]
    assert rig.rows("runs") == []


def test_a_body_without_an_order_is_refused_when_no_poll_could_find_it(found_company: Company) -> None:
    rig = found_company(WEBHOOK_URL_TOKEN=TOKEN)
    assert post(rig, "studiocart", ["text"]) == 400
    assert post(rig, "studiocart", {"trigger": "purchased"}) == 422
    assert rig.rows("deliveries") == []


def test_nothing_is_asked_of_it_and_check_says_so(found_company: Company) -> None:
    rig = found_company(WEBHOOK_URL_TOKEN=TOKEN)
    assert "poll_studiocart" not in beat_schedule(rig.settings)
    rig.runtime.app.tasks["cartbridge.poll"].apply(args=("studiocart",), throw=True)
    assert [cursor for cursor in rig.rows("cursors") if cursor["last_attempt_at"]] == []
    with pytest.raises(ConfigurationError, match="API_KEY"):
        rig.runtime.ingest("studiocart", "11", actor="operator:test")
    found = probe_system("studiocart", rig.settings.studiocart)
    assert (found.works, found.failed) == (True, False)
    assert "bodies alone" in found.detail
    assert any(text.startswith("studiocart cannot be asked") for text in warnings_of(rig.settings))


def test_program_is_refused_when_it_names_an_order_of_it(found_company: Company) -> None:
    rig = found_company(WEBHOOK_URL_TOKEN=TOKEN)
    intake = rig.runtime.operations.intake
    for is_dry in (False, True):
        with pytest.raises(ConfigurationError, match="API_KEY"):
            intake.ask("studiocart", ["11"], actor="operator:api", dry_run=is_dry)
        with pytest.raises(ConfigurationError, match="API_KEY"):
            intake.backfill("studiocart", rig.clock(), None, actor="operator:api", dry_run=is_dry)
    assert rig.rows("deliveries") == []


@pytest.mark.parametrize("via", [Via.MANUAL, Via.POLL])
def test_body_is_planned_from_when_another_delivery_joins_it(found_company: Company, via: Via) -> None:
    rig = found_company(WEBHOOK_URL_TOKEN=TOKEN)
    assert post(rig, "studiocart", purchase()) == 202
    with rig.ledger.write() as connection:
        order_rows.insert_delivery(
            connection, source="studiocart", order_id="11", via=via, actor="source", now=rig.clock()
        )
    read(rig, "studiocart", "11")
    assert [(row["key"], row["state"]) for row in rig.rows("runs")] == [("studiocart/11/4/buyer/501", "pending")]
    assert {row["state"] for row in rig.rows("deliveries")} == {"planned"}


def test_it_is_off_and_says_what_is_missing_when_no_webhook_could_prove_itself(found_company: Company) -> None:
    rig = found_company()
    assert post(rig, "studiocart", purchase()) == 404
    [reported] = [text for text in warnings_of(rig.settings) if text.startswith("studiocart")]
    assert "CARTBRIDGE_STUDIOCART__TRUST_WEBHOOK needs CARTBRIDGE_STUDIOCART__WEBHOOK_SECRET or" in reported
