from __future__ import annotations

from tests.unit.workflows.fakes.operations import ANN, note_down
from tests.unit.workflows.fakes.storefront import NOW, rows
from worker.ledger.pauses import pause as set_pause
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import events, pauses
from workflows.operations.replay import Operations


def test_system_is_paused_and_resumed_once_when_told_so_twice(ledger: Ledger, operations: Operations) -> None:
    assert "would" in operations.pause("learningcart", actor=ANN, dry_run=True)
    assert operations.pause("learningcart", actor=ANN, reason="maintenance").startswith("paused")
    assert operations.pause("learningcart", actor="operator:bob") == "learningcart is paused already"
    (row,) = rows(ledger, pauses)
    assert (row.kind, row.reason, row.actor, row.since) == ("operator", "maintenance", ANN, NOW)
    assert "would" in operations.resume("learningcart", actor=ANN, dry_run=True)
    assert operations.resume("learningcart", actor=ANN, reason="over").startswith("resumed")
    assert operations.resume("learningcart", actor=ANN) == "learningcart is not paused"
    assert [(row.kind, row.system, row.reason) for row in rows(ledger, events)] == [
        ("system_paused", "learningcart", "maintenance"),
        ("system_resumed", "learningcart", "over"),
    ]


def test_an_operators_pause_takes_the_place_of_one_that_refused_credentials_set(
    ledger: Ledger, operations: Operations
) -> None:
    """3dcart's holds back its orders too; of one whose credentials are refused they are polled on."""
    with ledger.write() as connection:
        set_pause(connection, "threedcart", kind="authentication", reason="HTTP 401", actor="engine", now=NOW)
    assert operations.pause("threedcart", actor=ANN, dry_run=True) == "would pause threedcart"
    assert operations.pause("threedcart", actor=ANN).startswith("paused threedcart")
    assert operations.pause("threedcart", actor=ANN, dry_run=True) == "threedcart is paused already"
    with ledger.write() as connection:
        assert not set_pause(connection, "threedcart", kind="authentication", reason="x", actor="engine", now=NOW)
    (row,) = rows(ledger, pauses)
    assert (row.kind, row.reason, row.actor) == ("operator", "HTTP 401", ANN)
    assert [(row.kind, row.actor) for row in rows(ledger, events)] == [
        ("system_paused", "engine"),
        ("system_paused", ANN),
    ]


def test_a_pause_of_refused_credentials_stays_where_an_operators_would_hold_back_no_more(
    ledger: Ledger, operations: Operations
) -> None:
    """It says why, and what to do; and nobody asks LearningCart with credentials that it refuses."""
    with ledger.write() as connection:
        set_pause(connection, "learningcart", kind="authentication", reason="HTTP 401", actor="engine", now=NOW)
    for dry_run in (True, False):
        assert operations.pause("learningcart", actor=ANN, dry_run=dry_run) == "learningcart is paused already"
    (row,) = rows(ledger, pauses)
    assert (row.kind, row.reason, row.actor) == ("authentication", "HTTP 401", "engine")


def test_nothing_would_be_resumed_when_the_system_is_neither_paused_nor_down(
    ledger: Ledger, operations: Operations
) -> None:
    assert operations.resume("learningcart", actor=ANN, dry_run=True) == "learningcart is not paused"
    note_down(ledger)
    assert operations.resume("learningcart", actor=ANN, dry_run=True) == "would resume learningcart"
