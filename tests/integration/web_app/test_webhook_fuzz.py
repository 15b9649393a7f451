"""Whatever is sent: never a 5xx, and never a word of it in an answer or in the log."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.unit.worker.web.asking import HOOK_SECRET, SECRET, AppClient, ClientMaker, rows
from worker.ledger.session import Ledger
from worker.web.webhooks.authentication import SECRET_HEADER, SIGNATURE_HEADERS

MARK = "planted-in-the-payload"
TYPES = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain", ""]

fuzzed = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
    database=None,
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(MARK)
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
names = st.sampled_from(["id", "order_id", "OrderID", "studiocart_secret", "event"]) | st.text()
ids = st.integers() | st.text("0123456789- ", max_size=25) | st.floats() | values


@pytest.fixture
def trusting(client_with: ClientMaker) -> AppClient:
    return client_with(studiocart={"trust_webhook": True})


def send(client: AppClient, caplog: pytest.LogCaptureFixture, body: bytes, headers: dict[str, Any]) -> int:
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="python_multipart"), capture_logs() as lines:
        answer = client.post("/webhooks/studiocart", content=body, headers=headers)
    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
    for text in (answer.text, str(answer.headers), str(lines), caplog.text):
        assert MARK not in text
        assert HOOK_SECRET not in text
    return answer.status_code


@fuzzed
@given(body=st.binary(max_size=200), content_type=st.sampled_from(TYPES), secret=st.booleans())
def test_bytes_are_answered_when_they_are_anything(
    client: AppClient, caplog: pytest.LogCaptureFixture, body: bytes, content_type: str, secret: bool
) -> None:
    headers = {"Content-Type": content_type, **(SECRET if secret else {})}
    send(client, caplog, body + MARK.encode(), headers)
    send(client, caplog, b"--b\r\n" + body + MARK.encode(), headers)


@fuzzed
@given(fields=st.dictionaries(names, values, max_size=6), order_id=ids)
def test_json_is_answered_when_it_is_any_object(
    trusting: AppClient, caplog: pytest.LogCaptureFixture, ledger: Ledger, fields: dict[str, Any], order_id: Any
) -> None:
    body = json.dumps({**fields, "id": order_id, "x": MARK}).encode()
    status = send(trusting, caplog, body, {"Content-Type": "application/json", **SECRET})
    assert status in {202, 400, 422}
    for row in rows(ledger)[-1:]:
        assert row.order_id is None or 0 < int(row.order_id) < 2**63
        assert HOOK_SECRET not in str(row)


@fuzzed
@given(texts=st.fixed_dictionaries(dict.fromkeys([*SIGNATURE_HEADERS, SECRET_HEADER], st.text())))
def test_headers_are_answered_when_they_are_anything(
    client: AppClient, caplog: pytest.LogCaptureFixture, texts: dict[str, str]
) -> None:
    headers = {name: text.encode("utf-8", "surrogatepass") for name, text in texts.items()}
    assert send(client, caplog, b'{"id": 1}', {"Content-Type": "application/json", **headers}) in {401, 429}
