"""An account at Frontcore that answers as told, and a client of it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr

from tests.unit.worker.clients.stub import Asked, StubTransport, answer
from worker.clients.base import ApiClient
from worker.clients.frontcore.client import FrontcoreClient
from worker.clients.transport import Answer
from worker.sandbox.seeds import seed_records
from worker.settings.systems import FrontcoreSettings
from worker.text.redaction import SecretRegistry

KEY = "hunter2-frontcore"
HTML = b"<!DOCTYPE html><html><body>Under maintenance</body></html>"
SECRET = SecretStr(KEY)
SAMPLES = seed_records("frontcore", "orders")
WRONG_KEY = {"error": "Wrong API Key"}
"""The document's own unsuccessful response."""
INCLUDES = ["lines.database_relations.course", "lines.database_relations.participants", "campaign"]


class Access(FrontcoreSettings):
    base_url: str | None = "https://api.example.test/v2"
    api_key: SecretStr | None = SECRET
    requests_per_second: float = 0.0


def client(account: StubTransport, **options: Any) -> FrontcoreClient:
    api = ApiClient(
        "frontcore", base_url=str(Access().base_url), transport=account, redact=SecretRegistry([KEY]).redact
    )
    return FrontcoreClient(Access(), api=api, **options)


def account_of(ids: list[int], *, cap: int = 250, end: Answer | None = None) -> StubTransport:
    """An account that pages through orders of these ids, `cap` a page at most."""

    def page(asked: Asked) -> Answer:
        size = min(int(asked.query["limit"]), cap)
        first = (int(asked.query["page"]) - 1) * size
        rows = [{"id": number} for number in ids[first : first + size]]
        return end if end is not None and not rows else answer(rows)

    return StubTransport(page)


def query_of(asked: Asked) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(asked.url).query, keep_blank_values=True)
