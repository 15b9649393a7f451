"""Every webhook that the vendors' own software was seen to send, whole, with its right answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.unit.worker.web.asking import AppClient, ClientMaker, RecordingDispatcher, rows
from worker.ledger.session import Ledger

CAPTURES = Path(__file__).parents[5] / "captures"
STUDIOCART = sorted(path.name for path in (CAPTURES / "studiocart").glob("*.json"))
HOOKS = [name for name in STUDIOCART if name.startswith("hook-")]
NAMED = {
    "A-readme-custom-header.json": (400, None),
    "B-map-and-header.json": (400, None),
    "C-default-body-purchased.json": (401, "11"),
    "D-map-with-static-secret.json": (202, "12"),
    "E-get.json": (405, None),
    "I-global-hook-prices-in-cents.json": (401, "13"),
}
"""The answer at the plain address, and the order that is named."""
SECRET = "wh-secret-3c9d"
TOKEN = "plantedTokenOfTheAddress0123456789"


@pytest.fixture
def client(client_with: ClientMaker) -> AppClient:
    token = SecretStr(TOKEN)
    return client_with(
        studiocart={"webhook_secret": SecretStr(SECRET), "webhook_url_token": token},
        threedcart={
            "orders_enabled": True,
            "secure_url": "store.example",
            "private_key": SecretStr("planted-private-key"),
            "token": SecretStr("planted-store-token"),
            "webhook_url_token": token,
        },
    )


def capture(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CAPTURES / "studiocart" / name).read_bytes())
    return found


def send(client: AppClient, request: dict[str, Any], *, token: str = "") -> int:
    path, _, query = request["path"].partition("?")
    path = f"{path}{f'/{token}' if token else ''}{f'?{query}' if query else ''}"
    answer = client.request(request["method"], path, headers=request["headers"], content=request["body"].encode())
    assert SECRET not in answer.text
    assert token == "" or token not in answer.text
    return answer.status_code


@pytest.mark.parametrize("name", NAMED)
def test_capture_is_answered_as_it_deserves_when_it_comes_to_the_plain_address(
    client: AppClient, ledger: Ledger, name: str
) -> None:
    status, order_id = NAMED[name]
    assert send(client, capture(name)["request"]) == status
    assert [row.order_id for row in rows(ledger)] == ([order_id] if status == 202 else [])


@pytest.mark.parametrize("name", NAMED)
def test_capture_is_taken_when_it_comes_to_the_address_with_the_token(
    client: AppClient, ledger: Ledger, dispatcher: RecordingDispatcher, name: str
) -> None:
    status, order_id = NAMED[name]
    assert send(client, capture(name)["request"], token=TOKEN) == (405 if status == 405 else 202)
    assert [row.order_id for row in rows(ledger)] == ([] if status == 405 else [order_id])
    assert dispatcher.polled == (["studiocart"] if status == 400 else [])


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_taken_when_it_can_be(
    client: AppClient, ledger: Ledger, dispatcher: RecordingDispatcher, name: str
) -> None:
    seen = capture(name)
    request = seen["request"]
    # What the header of a line of text proves is the sender, but it names no order.
    assert send(client, request) == seen["cartbridge"]["status"]
    taken = len(rows(ledger))
    if request["method"] == "GET":
        assert send(client, request, token=TOKEN) == 405
        return
    assert send(client, request, token=TOKEN) == 202
    body = json.loads(request["body"])
    order_id = str(body["id"]) if isinstance(body, dict) else None
    assert [row.order_id for row in rows(ledger)][taken:] == [order_id]
    assert dispatcher.polled == ([] if order_id else ["studiocart"])


@pytest.mark.parametrize(
    ("name", "order_id"),
    [
        ("webhook_order_new.json", "1002"),
        ("webhook_order_status_change.json", "1002"),
        ("webhook_test_order_1.json", "1"),
    ],
)
def test_store_order_is_taken_when_it_comes_in_an_array_of_one(
    client: AppClient, ledger: Ledger, name: str, order_id: str
) -> None:
    body = (CAPTURES / "threedcart" / name).read_bytes()
    headers = {"Content-Type": "application/json"}
    assert client.post("/webhooks/threedcart", content=body, headers=headers).status_code == 401
    assert client.post(f"/webhooks/threedcart/{TOKEN}", content=body, headers=headers).status_code == 202
    [row] = rows(ledger)
    assert (row.source, row.order_id, row.body) == ("threedcart", order_id, None)
