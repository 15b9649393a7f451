"""What `cartbridge check` is told of webhooks that could not be used as they came."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from tests.unit.worker.web.asking import NOW, AppClient, ClientMaker, post
from tests.unit.workflows.fakes.storefront import rows
from worker.ledger.session import Ledger
from worker.ledger.tables.web import webhook_refusals
from worker.web.webhooks.refusal_notes import RefusalNotes

TOKEN = "plantedTokenOfTheAddress0123456789"


@pytest.fixture
def client(client_with: ClientMaker) -> AppClient:
    return client_with(studiocart={"webhook_url_token": SecretStr(TOKEN)})


def noted(ledger: Ledger) -> list[tuple[str, str]]:
    return sorted((row.source, row.kind) for row in rows(ledger, webhook_refusals))


@pytest.mark.parametrize(
    "path", ["/webhooks/studiocart?id=13&studiocart_secret=x", f"/webhooks/studiocart/{TOKEN}?id=13"]
)
def test_get_is_noted_when_a_source_sent_it(client: AppClient, ledger: Ledger, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert noted(ledger) == [("studiocart", "wrong_method")]
    assert TOKEN not in str(rows(ledger, webhook_refusals))


@pytest.mark.parametrize(
    "path", ["/webhooks/studiocart", "/webhooks/studiocart/guess", "/webhooks/nobody?studiocart_secret=x"]
)
def test_get_is_not_noted_when_anybody_may_have_sent_it(client: AppClient, ledger: Ledger, path: str) -> None:
    assert client.get(path).status_code == 405
    assert noted(ledger) == []


def test_webhook_is_noted_when_nothing_proves_it_or_it_names_no_order(client: AppClient, ledger: Ledger) -> None:
    for _ in range(3):
        post(client, {"id": 1}, headers={})
        client.post(f"/webhooks/studiocart/{TOKEN}", json=["text"])
    assert noted(ledger) == [("studiocart", "no_order_id"), ("studiocart", "unauthenticated")]


def test_ledger_is_written_once_a_minute_when_strangers_go_on(ledger: Ledger) -> None:
    now = [0.0]
    notes = RefusalNotes(ledger, clock=lambda: NOW, monotonic=lambda: now[0])
    assert [notes.is_due("studiocart", "unauthenticated") for _ in range(3)] == [True, False, False]
    assert notes.is_due("studiocart", "wrong_method")
    now[0] = 60.0
    assert notes.is_due("studiocart", "unauthenticated")


def test_nothing_is_lost_but_the_note_when_the_ledger_is_away(ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.exec_driver_sql("DROP TABLE webhook_refusals")
    notes = RefusalNotes(ledger, clock=lambda: NOW)
    assert notes.write("studiocart", "unauthenticated") is False
