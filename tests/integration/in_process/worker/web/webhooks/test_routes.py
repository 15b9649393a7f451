from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.worker.web.asking import (
    API_KEY,
    HOOK_SECRET,
    NOW,
    SECRET,
    AppClient,
    ClientMaker,
    RecordingDispatcher,
    assert_problem,
    post,
    rows,
)
from tests.unit.worker.web.webhooks.signing import FORM, JSON, signed
from worker.ledger.session import Ledger
from worker.ledger.states import DeliveryState
from worker.web.webhooks import body as webhook_body
from worker.web.webhooks.body import LARGEST_BODY_BYTES, LARGEST_UNPROVEN_BODY_BYTES


def test_delivery_is_committed_and_the_worker_rung_when_a_webhook_is_accepted(
    client: AppClient, ledger: Ledger, dispatcher: RecordingDispatcher
) -> None:
    answer = post(client, {"id": 1109, "customer_email": "a@b.example"})

    assert answer.status_code == 202
    [row] = rows(ledger)
    assert answer.json() == {"delivery_id": row.id}
    assert (row.source, row.order_id, row.via, row.actor) == ("studiocart", "1109", "webhook", "source")
    assert (row.state, row.received_at, row.dispatched_at) == (DeliveryState.RECEIVED, NOW, NOW)
    assert row.body is None
    assert dispatcher.sent == [("studiocart", "1109")]


def test_webhook_is_accepted_when_the_broker_is_away(
    client: AppClient, ledger: Ledger, dispatcher: RecordingDispatcher
) -> None:
    dispatcher.is_there = False
    assert post(client, {"id": 1}).status_code == 202
    assert len(rows(ledger)) == 1


def test_answer_is_given_before_the_ring_when_the_broker_hangs(
    client: AppClient, dispatcher: RecordingDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The test client ends a request with its background task, so the order is told by what the thread sees.
    threads: list[str] = []
    send = dispatcher.send_order

    def send_order(source: str, order_id: str) -> bool:
        threads.append(threading.current_thread().name)
        return send(source, order_id)

    monkeypatch.setattr(dispatcher, "send_order", send_order)
    assert post(client, {"id": 1}).status_code == 202
    assert len(threads) == 1
    assert "AnyIO worker" in threads[0]


@pytest.mark.parametrize("source", ["nobody", "threedcart", "learningcart", "STUDIOCART", "%00"])
def test_webhook_is_404_when_the_source_is_unknown_or_off(client: AppClient, source: str, ledger: Ledger) -> None:
    assert_problem(post(client, {"id": 1}, source=source), 404)
    assert rows(ledger) == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_webhook_is_405_when_it_is_not_a_post(client: AppClient, method: str) -> None:
    answer = client.request(method, "/webhooks/studiocart")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert answer.headers["content-type"] == "application/problem+json"


def test_webhook_is_413_when_it_announces_too_much(client: AppClient) -> None:
    too_large = b"x" * (LARGEST_BODY_BYTES + 1)
    assert_problem(client.post("/webhooks/studiocart", content=too_large, headers={**JSON, **SECRET}), 413)
    assert_problem(client.post("/webhooks/studiocart", content=too_large, headers=JSON), 413)


def test_webhook_is_413_when_nothing_but_its_body_could_prove_it_and_that_is_not_small(client: AppClient) -> None:
    secret = b'{"id": 5, "studiocart_secret": "%s", "x": "' % API_KEY.encode()
    body = secret + b"y" * (LARGEST_UNPROVEN_BODY_BYTES - len(secret) - 2) + b'"}'
    assert client.post("/webhooks/studiocart", content=body, headers=JSON).status_code == 202
    assert_problem(client.post("/webhooks/studiocart", content=body + b" ", headers=JSON), 413)

    async def chunks() -> AsyncIterator[bytes]:
        yield body
        yield b" "

    assert_problem(client.post("/webhooks/studiocart", content=chunks(), headers=JSON), 413)
    # Signed, it may be as large as any.
    large = b" " * LARGEST_UNPROVEN_BODY_BYTES + b'{"id": 5}'
    key = HOOK_SECRET.encode()
    assert client.post("/webhooks/studiocart", content=large, headers=signed(key, large)).status_code == 202


def test_webhook_is_413_when_it_sends_more_than_it_announced(client: AppClient) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(40):
            sent += 1
            yield b" " * 65536

    assert_problem(client.post("/webhooks/studiocart", content=chunks(), headers={**JSON, **SECRET}), 413)


def test_webhook_is_accepted_when_it_is_exactly_as_large_as_allowed(client: AppClient) -> None:
    body = b'{"id": 5, "x": "' + b"y" * (LARGEST_BODY_BYTES - 18) + b'"}'
    assert len(body) == LARGEST_BODY_BYTES
    assert client.post("/webhooks/studiocart", content=body, headers={**JSON, **SECRET}).status_code == 202


def test_webhook_is_read_all_the_same_when_its_content_length_is_nonsense(client: AppClient) -> None:
    headers = {**JSON, **SECRET, "Content-Length": "9" * 5000}
    assert client.post("/webhooks/studiocart", content=b'{"id": 5}', headers=headers).status_code == 202


def test_webhook_is_408_when_its_body_does_not_end(client: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_body, "BODY_TIMEOUT_SECONDS", 0.01)

    async def endless() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    assert_problem(client.post("/webhooks/studiocart", content=endless(), headers={**JSON, **SECRET}), 408)


def test_webhook_is_415_when_its_media_type_is_not_taken(client: AppClient) -> None:
    answer = client.post("/webhooks/studiocart", content=b'{"id": 1}', headers={**SECRET, "Content-Type": "text/plain"})
    assert_problem(answer, 415)
    assert_problem(client.post("/webhooks/studiocart", content=b'{"id": 1}', headers=SECRET), 415)


@pytest.mark.parametrize("body", [b"", b"[1]", b'{"id": 1, "x": ' + b"[" * 200_000])
def test_webhook_is_400_when_its_body_is_malformed(client: AppClient, ledger: Ledger, body: bytes) -> None:
    assert_problem(client.post("/webhooks/studiocart", content=body, headers={**JSON, **SECRET}), 400)
    assert rows(ledger) == []


@pytest.mark.parametrize("body", [{"id": -1}, {"id": True}, {}])
def test_webhook_is_422_when_it_names_no_order(client: AppClient, ledger: Ledger, body: dict[str, Any]) -> None:
    assert_problem(post(client, body), 422)
    assert rows(ledger) == []


def test_form_is_read_when_it_is_urlencoded(client: AppClient, ledger: Ledger) -> None:
    body = f"name=%C3%85se&order_id=1109&studiocart_secret={API_KEY}"
    assert client.post("/webhooks/studiocart", content=body, headers=FORM).status_code == 202
    assert [row.order_id for row in rows(ledger)] == ["1109"]


def test_form_is_read_when_it_is_multipart(client: AppClient, ledger: Ledger) -> None:
    answer = client.post(
        "/webhooks/studiocart",
        data={"id": "1109", "studiocart_secret": HOOK_SECRET, "name": "Åse"},
        files={"id": ("id.txt", b"77"), "upload": ("a.txt", b"x" * 30_000)},
    )
    assert answer.status_code == 202
    assert [row.order_id for row in rows(ledger)] == ["1109"]


def test_operators_own_field_comes_first_when_it_is_set(client_with: ClientMaker, ledger: Ledger) -> None:
    client = client_with(studiocart={"webhook_id_field": "bestellnr"})
    assert post(client, {"id": 1, "bestellnr": "22"}).status_code == 202
    assert post(client, {"id": 1}).status_code == 202
    assert_problem(post(client, {"id": 1, "bestellnr": "x"}), 422)
    assert {row.order_id for row in rows(ledger)} == {"22", "1"}


def test_lead_is_accepted_and_ignored_when_it_names_no_order(
    client: AppClient, ledger: Ledger, dispatcher: RecordingDispatcher
) -> None:
    answer = post(client, {"event": "Lead", "email": "a@b.example"})
    assert answer.status_code == 202
    [row] = rows(ledger)
    assert answer.json() == {"delivery_id": row.id}
    assert (row.state, row.reason, row.order_id, row.body) == (DeliveryState.IGNORED, "lead", None, None)
    assert (row.finished_at, row.dispatched_at) == (NOW, None)
    assert dispatcher.sent == []
