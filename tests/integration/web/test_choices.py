from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.web.filling import add_delivery, add_order, add_run
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import deliveries, runs
from worker.ledger.views.page import choices as module
from worker.ledger.views.page.choices import choices

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
ALL: dict[str, str | None] = {"state": None, "reason": None, "source": None, "system": None}
KNOWN = {"state": ("failed", "review", "succeeded"), "source": ("studiocart", "frontcore"), "system": ("learningcart",)}


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    rows = [("review", "unnamed_seat")] * 3 + [("review", "unmapped_product")] + [("succeeded", None)] * 5
    with ledger.write() as connection:
        add_order(connection, "1109", NOW)
        for number, (state, reason) in enumerate(rows):
            at = NOW - timedelta(hours=number)
            add_run(connection, f"r{number}", at, state=state, reason=reason, system="learningcart")
    return ledger


def offered(ledger: Ledger, since: datetime | None = None, **chosen: str) -> dict[str, Any]:
    with ledger.read() as connection:
        found = choices(connection, runs, ALL | chosen, KNOWN, since=since)
    return {name: [(each.value, each.count, each.is_more) for each in values] for name, values in found.items()}


def test_only_what_occurs_is_offered_with_its_count_when_nothing_is_chosen(filled: Ledger) -> None:
    found = offered(filled)
    assert found["state"] == [("review", 4, False), ("succeeded", 5, False)]
    assert found["reason"] == [("unmapped_product", 1, False), ("unnamed_seat", 3, False)]
    assert found["source"] == [("studiocart", 9, False)]
    assert found["system"] == [("learningcart", 9, False)]


def test_counts_are_of_what_the_other_filters_leave_when_some_are_chosen(filled: Ledger) -> None:
    found = offered(filled, reason="unnamed_seat", since=NOW - timedelta(hours=1))
    assert found["state"] == [("review", 2, False)]
    assert found["reason"] == [("unnamed_seat", 2, False)]
    assert offered(filled, state="failed")["state"][0] == ("failed", 0, False)  # chosen, so it stays
    assert offered(filled, state="failed")["reason"] == []


def test_no_more_is_looked_at_than_is_counted_when_there_are_many(
    filled: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_COUNTED", 2)
    assert offered(filled)["state"] == [("review", 2, True), ("succeeded", 2, True)]


def test_ways_are_counted_among_the_newest_when_no_index_has_them(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ledger.write() as connection:
        for number in range(6):
            via = "poll" if number else "webhook"
            add_delivery(connection, f"d{number}", NOW - timedelta(hours=number), via=via, state="planned")
    chosen: dict[str, str | None] = {"state": None, "reason": None, "source": None, "via": None}
    known = {"state": ("planned", "review"), "source": ("studiocart",), "via": ("manual", "poll", "webhook")}

    def ways(**more: str) -> list[tuple[str, int, bool]]:
        with ledger.read() as connection:
            found = choices(connection, deliveries, chosen | more, known, since=None)
        return [(each.value, each.count, each.is_more) for each in found["via"]]

    assert ways() == [("poll", 5, False), ("webhook", 1, False)]
    assert ways(state="planned") == ways()
    assert ways(state="review") == []
    monkeypatch.setattr(module, "MOST_COUNTED", 3)
    assert ways() == [("manual", 0, True), ("poll", 3, True), ("webhook", 1, True)]  # there may be older ones
