"""A 3dcart client on a stubbed wire."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.unit.worker.clients.stub import Reply, StubTransport
from worker.clients.base import ApiClient
from worker.clients.threedcart.client import ThreedcartClient
from worker.clients.threedcart.models import CartFields
from worker.errors import (
    ApiError,
)
from worker.settings.systems import ThreedcartSettings
from worker.text.redaction import SecretRegistry

CAPTURES = Path(__file__).parents[4] / "captures" / "threedcart"
PRIVATE_KEY, TOKEN = "hunter2-private", "hunter2-token"
KEY = "6F027F81ggx48to"
HTML = b"<!DOCTYPE html><html><body>Runtime Error</body></html>"
CREATED = b'[{"Key":"OrderKey","Value":"6F027F81ggx48to","Status":"201","Message":"Created successfully",}]'
"""The document's own answer, trailing comma included."""
STORE = timezone(timedelta(hours=-5))


class Access(ThreedcartSettings):
    base_url: str | None = "https://apirest.example.test/3dCartWebAPI/v2"
    secure_url: str | None = "store.example.test"
    private_key: SecretStr | None = SecretStr(PRIVATE_KEY)
    token: SecretStr | None = SecretStr(TOKEN)
    requests_per_second: float = 0.0


def client(store: StubTransport, **options: Any) -> ThreedcartClient:
    registry = SecretRegistry([PRIVATE_KEY, TOKEN])
    api = ApiClient("threedcart", base_url=str(Access().base_url), transport=store, redact=registry.redact)
    return ThreedcartClient(Access(), api=api, **options)


def capture(name: str) -> Any:
    return json.loads((CAPTURES / name).read_text(encoding="utf-8"))


def result_row(status: object = "200", message: str = "done", *, key: str = "OrderKey", value: object = KEY) -> Any:
    return [{"Key": key, "Value": value, "Status": status, "Message": message}]


def raised(call: Callable[[ThreedcartClient], object], reply: Reply) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call(client(StubTransport(reply)))
    assert caught.value.system == "threedcart"
    return caught.value


READS: dict[str, Callable[[ThreedcartClient], object]] = {
    "retrieve_cart": lambda store: store.retrieve_cart(KEY),
    "retrieve/orders": lambda store: store.retrieve_order(7),
    "list/orders": lambda store: list(store.list_orders()),
}
CHANGES: dict[str, Callable[[ThreedcartClient], object]] = {
    "update_cart": lambda store: store.update_cart(KEY, CartFields()),
    "delete_cart": lambda store: store.delete_cart(KEY),
    "update_cart_item": lambda store: store.update_cart_item(KEY, 123, quantity=2),
    "delete_cart_item": lambda store: store.delete_cart_item(KEY, 123),
}
CREATES: dict[str, Callable[[ThreedcartClient], object]] = {
    "create_cart": lambda store: store.create_cart(CartFields()),
    "create_cart_item": lambda store: store.create_cart_item(KEY, 1234),
}
