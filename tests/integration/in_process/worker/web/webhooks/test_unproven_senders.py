"""Who is let in by a webhook's headers or its body, and what a stranger learns: nothing."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from tests.unit.worker.web.asking import (
    API_KEY,
    HOOK_SECRET,
    SECRET,
    AppClient,
    ClientMaker,
    RecordingDispatcher,
    assert_problem,
    post,
    rows,
)
from tests.unit.worker.web.webhooks.signing import JSON, signed
from worker.ledger.session import Ledger
from worker.web.webhooks import intake as webhook_intake
from worker.web.webhooks import routes as webhooks
from worker.web.webhooks.intake import Taken


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Webhook-Secret": "wrong"},
        {"X-Webhook-Secret": b"\xe9\xff"},
        {"webhook-signature": "v1,x"},
        {"Authorization": f"Bearer {HOOK_SECRET}"},
    ],
)
def test_webhook_is_401_when_its_headers_do_not_prove_the_sender(
    client: AppClient, ledger: Ledger, headers: dict[str, Any]
) -> None:
    answer = post(client, {"id": 1}, headers=headers)
    assert_problem(answer, 401)
    assert "www-authenticate" in answer.headers
    assert rows(ledger) == []


@pytest.mark.parametrize("secret", [API_KEY, HOOK_SECRET])
def test_webhook_is_accepted_when_studiocarts_body_holds_the_secret(client: AppClient, secret: str) -> None:
    assert post(client, {"id": 1, "studiocart_secret": secret}, headers={}).status_code == 202
    # A custom header of the operator's that is no longer right does not outweigh it.
    assert post(client, {"id": 1, "studiocart_secret": secret}, headers={"X-Webhook-Secret": "old"}).status_code == 202


def test_webhook_is_401_when_another_source_uses_studiocarts_field(client_with: ClientMaker) -> None:
    client = client_with(frontcore={"webhook_secret": SecretStr("frontcore-hook")})
    body = {"id": 1, "studiocart_secret": "frontcore-hook"}
    assert_problem(post(client, body, source="frontcore", headers={}), 401)
    assert post(client, body, source="frontcore", headers={"X-Webhook-Secret": "frontcore-hook"}).status_code == 202


def test_secret_is_accepted_when_it_is_not_ascii(client_with: ClientMaker) -> None:
    client = client_with(studiocart={"webhook_secret": SecretStr("schlüssel ")})
    headers: Any = {"X-Webhook-Secret": "schlüssel".encode()}
    assert post(client, {"id": 1}, headers=headers).status_code == 202


def test_log_names_the_variable_when_no_secret_is_set(client: AppClient) -> None:
    with capture_logs() as lines:
        assert_problem(post(client, {"id": 1}, source="frontcore"), 401)
    assert "CARTBRIDGE_FRONTCORE__WEBHOOK_SECRET" in str(lines)


@pytest.mark.parametrize("body", [b"{", b"[]", b"", b'{"id": 1, "x": ' + b"[" * 20_000])
def test_stranger_learns_nothing_of_the_body_when_nothing_proves_the_sender(client: AppClient, body: bytes) -> None:
    headers = {**JSON, "X-Webhook-Secret": "wrong"}
    assert_problem(client.post("/webhooks/studiocart", content=body, headers=headers), 401)
    assert_problem(client.post("/webhooks/frontcore", content=body, headers=headers), 401)
    assert_problem(client.post("/webhooks/studiocart", content=body, headers=JSON), 401)


def test_nothing_is_parsed_when_the_body_holds_no_secret(client: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr(webhook_intake, "parse_document", refuse)
    hostile = b'{"a":[' + b"{}," * 20_000 + b'{"studiocart_secret":"guess"}]}'
    answers = [client.post("/webhooks/studiocart", content=hostile, headers=JSON) for _ in range(31)]
    assert [answer.status_code for answer in answers] == [401] * 30 + [429]
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_nothing_of_the_body_outlives_its_refusal(client: AppClient) -> None:
    secret = f'"studiocart_secret": "{API_KEY}"'.encode()
    gc.collect()
    gc.disable()
    try:
        known = {id(each) for each in gc.get_objects() if isinstance(each, dict)}
        for body in (b'{"n": [%s], "planted": {"p": 1}, %s}', b'{"id": "planted", "planted": {"p": 1}, %s}'):
            content = body % ((b"1", secret) if b"[%s]" in body else secret)
            assert_problem(client.post("/webhooks/studiocart", content=content, headers=JSON), 422)
        stored = [each for each in gc.get_objects() if isinstance(each, dict) and id(each) not in known]
        assert not [each for each in stored if "planted" in each]
    finally:
        gc.enable()


def test_webhook_is_503_in_time_when_the_ledger_does_not_answer(
    client_with: ClientMaker, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "ANSWER_SECONDS", 0.01)
    monkeypatch.setattr(webhooks, "_MOST_UNANSWERED", 3)
    client = client_with()
    free, ended = threading.Event(), threading.Semaphore(0)

    def take_later(*_: Any, **__: Any) -> Taken:
        free.wait(30)
        ended.release()
        return Taken("x", "1")

    with monkeypatch.context() as patch:
        patch.setattr(webhook_intake.WebhookIntake, "take", take_later)
        answers = [post(client, {"id": 1}) for _ in range(5)]
        assert {answer.status_code for answer in answers} == {503}
        assert int(answers[-1].headers["retry-after"]) >= 1
        free.set()
        assert all(ended.acquire(timeout=30) for _ in range(3))
        assert not ended.acquire(blocking=False)  # no more than these were begun
    monkeypatch.setattr(webhooks, "ANSWER_SECONDS", 30.0)
    assert client.get("/livez").status_code == 200
    assert post(client, {"id": 1}).status_code == 202


def test_signature_is_accepted_when_it_is_standard_webhooks(client: AppClient) -> None:
    key, body = HOOK_SECRET.encode(), b'{"id": 1}'
    assert client.post("/webhooks/studiocart", content=body, headers=signed(key, body)).status_code == 202
    assert_problem(client.post("/webhooks/studiocart", content=b'{"id": 2}', headers=signed(key, body)), 401)


def test_webhook_is_401_when_the_signed_body_is_not_utf_8(client: AppClient) -> None:
    headers = signed(b"planted-hook-secret", b"{}")
    assert_problem(client.post("/webhooks/studiocart", content=b"\xff", headers=headers), 401)


def test_stranger_is_429_when_it_keeps_failing(client: AppClient, ledger: Ledger) -> None:
    for _ in range(30):
        assert_problem(post(client, {"id": 1}, headers={}), 401)
    answer = post(client, {"id": 1}, headers={})
    assert_problem(answer, 429)
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    # Who proves who they are is never refused, wherever they come from.
    assert post(client, {"id": 1}).status_code == 202
    assert len(rows(ledger)) == 1


def test_connection_is_let_go_when_the_sender_leaves_in_the_midst(client: AppClient, ledger: Ledger) -> None:
    async def cut() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        messages: Iterator[dict[str, Any]] = iter(
            [{"type": "http.request", "body": b'{"id"', "more_body": True}, {"type": "http.disconnect"}]
        )

        async def receive() -> dict[str, Any]:
            return next(messages)

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"content-type", b"application/json"), (b"x-webhook-secret", HOOK_SECRET.encode())]
        path = "/webhooks/studiocart"
        scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
        await client.app(scope, receive, send)
        return sent

    assert asyncio.run(cut())[0]["status"] == 400
    assert rows(ledger) == []


def test_webhook_is_503_when_the_ledger_cannot_commit(
    client: AppClient, ledger: Ledger, dispatcher: RecordingDispatcher
) -> None:
    with ledger.write() as connection:
        connection.exec_driver_sql("ALTER TABLE deliveries RENAME TO gone")
    with capture_logs() as lines:
        answer = post(client, {"id": 1, "customer_email": "who@learner.example"})
    assert_problem(answer, 503)
    assert int(answer.headers["retry-after"]) >= 1
    assert dispatcher.sent == []
    assert "no such table" in str(lines)
    assert "who@learner.example" not in str(lines)


def test_nothing_is_half_done_when_the_commit_fails(
    client: AppClient, ledger: Ledger, dispatcher: RecordingDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = type(ledger.engine.dialect)

    def refuse(*_: Any) -> None:
        raise OperationalError("COMMIT", {}, Exception("disk is full"))

    with monkeypatch.context() as patch:
        patch.setattr(engine, "do_commit", refuse)
        assert_problem(post(client, {"id": 1}), 503)
    assert rows(ledger) == []
    assert dispatcher.sent == []
    assert post(client, {"id": 1}).status_code == 202


def test_body_is_kept_without_secrets_when_it_is_trusted(client_with: ClientMaker, ledger: Ledger) -> None:
    client = client_with(studiocart={"trust_webhook": True, "webhook_id_field": "order_id"})
    body = {
        "id": 7,
        "order_id": "1109",
        "studiocart_secret": API_KEY,
        "copy": HOOK_SECRET,
        HOOK_SECRET: "x",
        "link": f"https://shop.example/?key={API_KEY}&x=1",
        "items": [{"name": "A\0B\ud800", "key": API_KEY}, API_KEY, 5, None, True, 1.5],
    }
    content = json.dumps(body)
    assert client.post("/webhooks/studiocart", content=content, headers={**JSON, **SECRET}).status_code == 202
    [row] = rows(ledger)
    assert row.order_id == "1109"
    assert row.body == {
        "id": "1109",
        "order_id": "1109",
        "link": "https://shop.example/?key=***&x=1",
        "items": [{"name": "A\ufffdB\ufffd"}, 5, None, True, 1.5],
    }
