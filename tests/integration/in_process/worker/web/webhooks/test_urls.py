"""`POST /webhooks/{source}/{token}`: the address for senders that can set neither a header nor a field."""

from __future__ import annotations

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from tests.unit.worker.web.asking import SECRET, AppClient, ClientMaker, RecordingDispatcher, assert_problem, rows
from worker.ledger.session import Ledger
from worker.ledger.states import DeliveryState
from worker.web.webhooks.body import LARGEST_UNPROVEN_BODY_BYTES

TOKEN = "plantedTokenOfTheAddress0123456789"
URL = f"/webhooks/studiocart/{TOKEN}"
JSON = {"Content-Type": "application/json"}
THREEDCART = {
    "orders_enabled": True,
    "secure_url": "store.example",
    "private_key": SecretStr("planted-private-key"),
    "token": SecretStr("planted-store-token"),
}


@pytest.fixture
def client(client_with: ClientMaker) -> AppClient:
    return client_with(studiocart={"webhook_url_token": SecretStr(TOKEN)})


def send(client: AppClient, body: bytes, path: str = URL) -> httpx.Response:
    return client.post(path, content=body, headers=JSON)


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": 7}',
        b'[{"id": 7}]',
        b'[{"OrderID": "7", "order": {"id": 8}}]',
        b" " * LARGEST_UNPROVEN_BODY_BYTES + b'{"id":7}',
    ],
)
def test_order_is_taken_when_the_address_holds_the_token(
    client: AppClient, ledger: Ledger, dispatcher: RecordingDispatcher, body: bytes
) -> None:
    assert send(client, body).status_code == 202
    assert [row.order_id for row in rows(ledger)] == ["7"]
    assert (dispatcher.sent, dispatcher.polled) == ([("studiocart", "7")], [])


@pytest.mark.parametrize(
    "body", [b'["text"]', b'["a: 1", "b: 2"]', b"[]", b"{}", b'[{"x": 1}]', b'"x"', b"5", b"null", b"", b'{"id": " "}']
)
def test_source_is_polled_when_the_body_names_no_order(
    client: AppClient, ledger: Ledger, dispatcher: RecordingDispatcher, body: bytes
) -> None:
    answer = send(client, body)
    assert answer.status_code == 202
    [row] = rows(ledger)
    assert answer.json() == {"delivery_id": row.id}
    assert (row.state, row.order_id, row.body) == (DeliveryState.RECEIVED, None, None)
    assert (dispatcher.sent, dispatcher.polled) == ([], ["studiocart"])


def test_lead_is_ignored_when_the_address_holds_the_token(
    client: AppClient, ledger: Ledger, dispatcher: RecordingDispatcher
) -> None:
    assert send(client, b'{"event": "lead"}').status_code == 202
    assert [row.state for row in rows(ledger)] == [DeliveryState.IGNORED]
    assert dispatcher.polled == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b'[{"id": 1}, {"id": 2}]', 400),
        (b"[" * 40 + b"]" * 40, 400),
        (b'{"id": "x"}', 422),
        (b'{"id": 0}', 422),
    ],
)
def test_body_is_refused_as_elsewhere_when_it_is_wrong(
    client: AppClient, ledger: Ledger, body: bytes, status: int
) -> None:
    assert_problem(send(client, body), status)
    assert rows(ledger) == []


@pytest.mark.parametrize("token", [TOKEN[:-1], TOKEN + "x", "x", "%20", "%00", "planted-hook-secret", "%FF"])
def test_webhook_is_401_when_the_token_is_another(client: AppClient, ledger: Ledger, token: str) -> None:
    answer = client.post(f"/webhooks/studiocart/{token}", json={"id": 7}, headers=SECRET)
    assert_problem(answer, 401)
    assert rows(ledger) == []


def test_address_is_closed_and_the_log_says_so_when_no_token_is_set(client_with: ClientMaker) -> None:
    client = client_with()
    with capture_logs() as lines:
        assert_problem(send(client, b'{"id": 7}'), 401)
    assert "CARTBRIDGE_STUDIOCART__WEBHOOK_URL_TOKEN" in str(lines)


def test_token_of_one_source_opens_no_other(client: AppClient) -> None:
    assert_problem(send(client, b'{"id": 7}', f"/webhooks/frontcore/{TOKEN}"), 401)
    assert_problem(send(client, b'{"id": 7}', f"/webhooks/threedcart/{TOKEN}"), 404)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_webhook_is_405_when_it_is_not_a_post(client: AppClient, method: str) -> None:
    answer = client.request(method, f"{URL}?id=7")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_token_is_nowhere_when_webhooks_are_taken_and_refused(client: AppClient, ledger: Ledger) -> None:
    bodies = (b'{"id": 7}', b"{", b'["text"]', b'{"id": "x"}')
    with capture_logs() as lines:
        shown = [send(client, body) for body in bodies]
        shown += [client.get(URL), client.post(URL, content=b"x"), send(client, b"{}", f"{URL}/more")]
        shown.append(client.get("/metrics"))
    reported = "".join(f"{answer.text}{answer.headers}" for answer in shown)
    assert TOKEN not in f"{reported}{lines}{rows(ledger)}"
    assert 'route="/webhooks/{source}/{token}"' in reported


def test_carts_orders_are_taken_when_threedcart_is_a_source(client_with: ClientMaker, ledger: Ledger) -> None:
    client = client_with(threedcart={**THREEDCART, "webhook_url_token": SecretStr(TOKEN)})
    assert send(client, b'[{"OrderID": 20, "InvoiceNumber": 9}]', f"/webhooks/threedcart/{TOKEN}").status_code == 202
    assert [(row.source, row.order_id) for row in rows(ledger)] == [("threedcart", "20")]
