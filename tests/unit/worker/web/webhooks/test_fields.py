from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from tests.unit.worker.sources.captured import body_of
from tests.unit.worker.sources.studiocart_records import NOW
from tests.unit.worker.sources.test_studiocart_captures import WITH_A_BODY
from worker.clients.threedcart.models import Order as Record
from worker.errors import WebhookRejectedError
from worker.sources.source import SubscriptionFoundError
from worker.sources.studiocart import StudiocartSource
from worker.sources.threedcart import to_order
from worker.web.webhooks.fields import Storable, is_lead, no_order, order_id_of

SECRET = "a-planted-secret"
SHORT = "4711"


@pytest.mark.parametrize(
    ("fields", "order_id"),
    [
        ({"id": 1109}, "1109"),
        ({"id": "1109"}, "1109"),
        ({"id": "0001109"}, "1109"),
        ({"id": 1109.0}, "1109"),
        ({"id": 2**63 - 1}, "9223372036854775807"),
        ({"id": str(2**63 - 1)}, "9223372036854775807"),
        ({"id": " 1109\r\n"}, "1109"),
        ({"id": " \t", "order_id": "\u00a05"}, "5"),
        ({"order_id": 5}, "5"),
        ({"OrderID": 6}, "6"),
        ({"id": None, "order_id": "", "OrderID": 6}, "6"),
        ({"OrderID": 7, "order_id": 6, "id": 5}, "5"),
        ({"id": 5, "event": "lead"}, "5"),
    ],
)
def test_order_is_named_when_the_body_holds_its_id(fields: dict[str, Any], order_id: str) -> None:
    assert order_id_of(fields, None) == order_id


@pytest.mark.parametrize(
    "value",
    [
        *(True, False, [], [1], {}, {"id": 1}),
        *(-1, 0, 2**63, 1.5, -0.0, 1e300, 9007199254740994.0),
        *("0", "-1", "+1", "1 1", "\u200b1", "1.0", "1e3", "x", "lead", "١٢", str(2**63), "9" * 5000),
    ],
)
def test_id_is_refused_when_it_is_no_positive_whole_number(value: Any) -> None:
    with pytest.raises(WebhookRejectedError) as refusal:
        order_id_of({"id": value, "order_id": 5}, None)
    assert refusal.value.status == 422


@pytest.mark.parametrize("fields", [{}, {"id": None}, {"id": " "}, {"Id": 1}, {"event": "leads"}, {"events": ["lead"]}])
def test_no_order_is_named_when_no_field_holds_an_id(fields: dict[str, Any]) -> None:
    assert order_id_of(fields, None) is None
    assert not is_lead(fields)


def test_refusal_names_the_fields_when_there_is_no_order() -> None:
    assert no_order("bestellnr").status == 422
    assert "bestellnr, id, order_id, OrderID" in str(no_order("bestellnr"))


def test_operators_field_comes_first_when_it_is_there() -> None:
    assert order_id_of({"id": 1, "bestellnr": "22"}, "bestellnr") == "22"
    assert order_id_of({"id": 1}, "bestellnr") == "1"
    assert order_id_of({"id": 1, "OrderID": 2}, "OrderID") == "2"
    with pytest.raises(WebhookRejectedError):
        order_id_of({"id": 1, "bestellnr": "x"}, "bestellnr")


@pytest.mark.parametrize("value", ["lead", "Lead", "LEAD"])
def test_lead_is_no_order_when_a_member_says_so(value: str) -> None:
    assert order_id_of({"event": value}, None) is None
    assert is_lead({"event": value, "x": 1})


def test_secrets_are_left_out_when_a_body_is_to_be_stored() -> None:
    fields = {
        "id": 7,
        "order_id": "1109",
        "studiocart_secret": "anything",
        "copy": SECRET,
        SECRET: "x",
        "pin": 4711,
        "text": SHORT,
        "n": 47110,
        "link": f"https://shop.example/?key={SECRET}&x={SHORT}",
        "items": [{"studiocart_secret": 1, "key": SECRET, "name": "Ada"}, SECRET, 4711.5, None, True],
    }
    assert Storable([SECRET, SHORT]).fields(fields, "1109") == {
        "id": "1109",
        "order_id": "1109",
        "n": 47110,
        "link": f"https://shop.example/?key=***&x={SHORT}",
        "items": [{"name": "Ada"}, 4711.5, None, True],
    }


def test_characters_are_replaced_when_a_ledger_would_refuse_them() -> None:
    stored = Storable([]).fields({"a\0": "b\0", "c": ["\ud800x", "\U0001f600"]}, "1")
    assert stored == {"id": "1", "a\ufffd": "b\ufffd", "c": ["\ufffdx", "\U0001f600"]}


def test_card_is_left_out_when_a_body_is_kept() -> None:
    body = {
        "OrderStatusID": 4,
        "CardNumber": "4111111111111111",
        "card_name": "Jane",
        "PaymentTokenID": "t",
        "Shipments": [{"CVV2": "123", "City": "Pune"}],
        "discarded": "kept",
    }
    stored = Storable([]).fields(body, "9")
    assert stored == {"OrderStatusID": 4, "Shipments": [{"City": "Pune"}], "discarded": "kept", "id": "9"}


def test_a_store_s_order_keeps_what_shows_its_payment_and_no_key_address_or_card_when_it_is_kept() -> None:
    path = Path(__file__).parents[4] / "captures" / "threedcart" / "webhook_order_new.json"
    [order] = json.loads(path.read_text(encoding="utf-8"))
    stored = Storable([]).fields(order, "1002")
    for secret in ("192.0.2.7", "ABCDEFGHJKLMNPQ", "www.example", "Visa", "-0000", "0000000001"):
        assert secret not in str(stored), secret
    [transaction] = stored["TransactionList"]
    assert (transaction["TransactionType"], transaction["TransactionAmount"]) == ("Sale", 49.0)
    assert transaction["TransactionApproval"] == "000000"


@pytest.mark.parametrize("approval", ["000000", "Declined", "Pending review"])
@pytest.mark.parametrize("name", ["webhook_order_new", "webhook_order_status_change"])
def test_what_is_kept_of_a_store_s_order_is_read_as_the_whole_is(name: str, approval: str) -> None:
    path = Path(__file__).parents[4] / "captures" / "threedcart" / f"{name}.json"
    [order] = json.loads(path.read_text(encoding="utf-8"))
    order["TransactionList"] = [
        {
            "TransactionType": "Sale",
            "TransactionAmount": 49.0,
            "TransactionApproval": approval,
            "TransactionCaptured": 1,
        }
    ]
    order["OrderStatusID"] = 1
    whole, kept = (
        to_order(Record.model_validate(each), zone=UTC).model_dump(exclude={"raw"})
        for each in (order, Storable([]).fields(order, str(order["OrderID"])) | {"OrderID": order["OrderID"]})
    )
    assert kept == whole
    assert whole["payment"] == ("paid" if approval == "000000" else "waiting")


@pytest.mark.parametrize("name", WITH_A_BODY)
def test_what_is_kept_of_a_studiocart_webhook_is_read_as_the_whole_is(name: str) -> None:
    def read(body: dict[str, Any]) -> object:
        try:
            return StudiocartSource(None, clock=lambda: NOW).from_body(body).model_dump(exclude={"raw"})  # type: ignore[arg-type]
        except SubscriptionFoundError as news:
            return news.subscription
        except WebhookRejectedError as error:
            return str(error)

    body = body_of(name)
    if not isinstance(body, dict) or not body.get("id"):
        return
    assert read(Storable([]).fields(body, str(body["id"]))) == read(body)
