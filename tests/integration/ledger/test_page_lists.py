from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.web.filling import add_order, add_run
from worker.errors import NotInLedgerError
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.views.page.runs import page_of_runs

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
ROWS = [
    ("succeeded", None, "studiocart", "learningcart"),
    ("review", "unmapped_product", "studiocart", None),
    ("failed", "refused", "frontcore", "learningcart"),
    ("review", "unnamed_seat", "frontcore", None),
    ("succeeded", None, "studiocart", "threedcart"),
]


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """Five runs, an hour apart, `r0` the oldest."""
    with ledger.write() as connection:
        for source in ("studiocart", "frontcore"):
            add_order(connection, "1109", NOW, source=source)
        for number, (state, reason, source, system) in enumerate(ROWS):
            at = NOW - timedelta(hours=5 - number)
            add_run(connection, f"r{number}", at, state=state, reason=reason, source=source, system=system)
    return ledger


ASKED: list[tuple[dict[str, Any], str]] = [
    ({}, "r4 r3 r2 r1 r0"),
    ({"limit": 2}, "r4 r3"),
    ({"limit": 2, "after": "r3"}, "r2 r1"),
    ({"states": (RunState.REVIEW,)}, "r3 r1"),
    ({"states": (RunState.REVIEW,), "reason": "unnamed_seat"}, "r3"),
    ({"states": (RunState.SUCCEEDED,)}, "r4 r0"),
    ({"reason": "refused"}, "r2"),
    ({"source": "frontcore"}, "r3 r2"),
    ({"system": "learningcart"}, "r2 r0"),
    ({"system": "threedcart"}, "r4"),
    ({"since": NOW - timedelta(hours=2)}, "r4 r3"),
    ({"states": (RunState.REVIEW,), "source": "studiocart", "since": NOW}, ""),
]


def test_runs_are_newest_first_and_only_those_asked_for_when_filtered(filled: Ledger) -> None:
    with filled.read() as connection:
        found = [page_of_runs(connection, **{"limit": 10, **filters}) for filters, _ in ASKED]
    assert [" ".join(run.id for run in each) for each in found] == [ids for _, ids in ASKED]


def test_page_is_refused_when_the_run_to_go_on_after_is_not_there(filled: Ledger) -> None:
    with filled.read() as connection, pytest.raises(NotInLedgerError, match="to go on after"):
        page_of_runs(connection, after="r9", limit=10)
