"""A client of the app without a socket, and how the web's tests read the answers and the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import Row, select
from starlette.types import ASGIApp

from tasks.dispatch import Dispatcher
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import deliveries
from worker.settings.settings import Settings

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
API_KEY = "planted-studiocart-key"
HOOK_SECRET = "planted-hook-secret"
API_TOKEN = "planted-api-token"
SECTIONS: dict[str, dict[str, Any]] = {
    "studiocart": {
        "base_url": "https://shop.example/wp-json/sc/v1",
        "api_key": SecretStr(API_KEY),
        "webhook_secret": SecretStr(HOOK_SECRET),
    },
    "frontcore": {"api_key": SecretStr("planted-frontcore-key")},
    "web": {"api_token": SecretStr(API_TOKEN)},
}


class RecordingDispatcher(Dispatcher):
    """Sends nothing, and remembers what it was to send."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.polled: list[str] = []
        self.is_there = True

    def send_order(self, source: str, order_id: str) -> bool:
        self.sent.append((source, order_id))
        return self.is_there

    def send_poll(self, source: str) -> bool:
        self.polled.append(source)
        return self.is_there

    def send_backfills(self) -> bool:
        return self.is_there

    def broker_ok(self) -> bool:
        return self.is_there


def settings_with(**changes: Any) -> Settings:
    """Studiocart and Frontcore are on, 3dcart is off; `changes` go into their sections."""
    sections = {name: {**section, **changes.pop(name, {})} for name, section in SECTIONS.items()}
    return Settings.model_validate({**sections, **changes})


class AppClient:
    """Asks an app from one client address. An answer comes back when the app has ended what it does after it."""

    def __init__(self, app: ASGIApp, address: str = "192.0.2.7") -> None:
        self.app = app
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 50000))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://cartbridge.example")
        self._runner = asyncio.Runner()

    def request(self, method: str, path: str, **how: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, path, **how))

    def get(self, path: str, **how: Any) -> httpx.Response:
        return self.request("GET", path, **how)

    def post(self, path: str, **how: Any) -> httpx.Response:
        return self.request("POST", path, **how)

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


ClientMaker = Callable[..., AppClient]

SECRET = {"X-Webhook-Secret": "planted-hook-secret"}
BEARER = {"Authorization": "Bearer planted-api-token"}


def rows(ledger: Ledger) -> list[Row[Any]]:
    with ledger.read() as connection:
        return list(connection.execute(select(deliveries).order_by(deliveries.c.id)).all())


def assert_problem(answer: httpx.Response, status: int) -> str:
    """The answer is a problem of this status and nothing more; returns its detail."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert set(document) >= {"type", "title", "status", "detail"}
    assert document["status"] == status
    return str(document["detail"])


def post(client: AppClient, body: Any, *, source: str = "studiocart", headers: Any = None) -> httpx.Response:
    """A webhook in JSON, authenticated unless `headers` say otherwise."""
    return client.post(f"/webhooks/{source}", json=body, headers=SECRET if headers is None else headers)
