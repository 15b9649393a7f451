from __future__ import annotations

import json
from urllib.parse import parse_qs

from worker.sandbox.seeds import seed_records
from worker.sandbox.studiocart.webhook import studiocart_webhook

ORDER = seed_records("studiocart", "orders")[0]


def test_amounts_are_decimals_and_empty_fields_gone_when_sent_as_json() -> None:
    headers, body = studiocart_webhook(ORDER)
    sent = json.loads(body)
    assert headers["Content-Type"] == "application/json"
    assert (sent["id"], sent["order_amount"], sent["product_id"]) == (1109, "5.00", "1107")
    assert not {"shipping_amount", "items", "studiocart_secret"} & set(sent)


def test_the_same_fields_travel_when_sent_as_a_form() -> None:
    headers, body = studiocart_webhook(ORDER, form="form", secret="sandbox-secret-x")
    sent = parse_qs(body.decode())
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert sent["id"] == ["1109"]
    assert sent["studiocart_secret"] == ["sandbox-secret-x"]


def test_the_secret_is_in_a_header_alone_when_one_is_named() -> None:
    headers, body = studiocart_webhook(ORDER, secret="sandbox-secret-x", secret_header="X-Webhook-Secret")
    assert headers["X-Webhook-Secret"] == "sandbox-secret-x"
    assert b"sandbox-secret-x" not in body


def test_amounts_stay_as_they_are_when_prices_are_in_cents_or_have_none() -> None:
    assert json.loads(studiocart_webhook(ORDER, prices_in_cents=True)[1])["order_amount"] == 500
    assert json.loads(studiocart_webhook(ORDER | {"currency": "jpy"})[1])["order_amount"] == "500"


def test_fields_have_the_operators_names_when_renamed() -> None:
    sent = json.loads(studiocart_webhook(ORDER, field_names={"id": "order_id"})[1])
    assert sent["order_id"] == 1109
    assert "id" not in sent


def test_there_is_no_order_id_when_it_is_a_lead() -> None:
    assert "id" not in json.loads(studiocart_webhook(ORDER, lead=True)[1])
