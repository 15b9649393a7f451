from __future__ import annotations

from datetime import timedelta

from tests.unit.workflows.fakes.storefront import NOW, rows
from worker.ledger.session import Ledger
from worker.ledger.tables.web import web_sessions as table
from worker.ledger.views.webhook_refusals import refusal_sentences
from worker.ledger.web import sessions, webhook_refusals

LATER = NOW + timedelta(hours=12)


def test_session_is_open_until_it_ends_or_its_time_is_up(ledger: Ledger) -> None:
    with ledger.write() as connection:
        for nonce in ("a", "b"):
            sessions.begin(connection, nonce, expires_at=LATER, now=NOW)
        sessions.end(connection, "a")
        sessions.end(connection, "nobody's")
        found = {nonce: sessions.is_open(connection, nonce, now=NOW) for nonce in ("a", "b", "c")}
        assert found == {"a": False, "b": True, "c": False}
        assert not sessions.is_open(connection, "b", now=LATER)


def test_ledger_keeps_no_cookie_and_no_session_of_the_past(ledger: Ledger) -> None:
    with ledger.write() as connection:
        sessions.begin(connection, "planted", expires_at=LATER, now=NOW)
    assert "planted" not in str(rows(ledger, table))
    with ledger.write() as connection:
        sessions.begin(connection, "next", expires_at=LATER + timedelta(hours=12), now=LATER)
    assert len(rows(ledger, table)) == 1


def test_refusals_are_told_for_a_week(ledger: Ledger) -> None:
    with ledger.write() as connection:
        for hours in (0, 1):
            now = NOW + timedelta(hours=hours)
            webhook_refusals.note(connection, "studiocart", webhook_refusals.WRONG_METHOD, now=now)
        webhook_refusals.note(connection, "threedcart", webhook_refusals.UNAUTHENTICATED, now=NOW)
        webhook_refusals.note(connection, "threedcart", "of a later version", now=NOW)
        reported = refusal_sentences(connection, now=NOW)
        assert [sentence.partition(" (")[0] for sentence in reported] == [
            "A webhook of studiocart",
            "A webhook of threedcart",
        ]
        assert "GET" in reported[0]
        assert refusal_sentences(connection, now=NOW + timedelta(days=8)) == []


def test_cause_is_told_when_studiocart_alone_sends_a_webhook_without_an_order(ledger: Ledger) -> None:
    with ledger.write() as connection:
        for source in ("studiocart", "threedcart"):
            webhook_refusals.note(connection, source, webhook_refusals.NO_ORDER_ID, now=NOW)
        studiocart, threedcart = refusal_sentences(connection, now=NOW)
    assert "custom headers replace its body: take them out" in studiocart
    assert "custom headers" not in threedcart
