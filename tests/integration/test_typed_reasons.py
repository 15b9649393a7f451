"""What operators type names nobody the ledger knows, from the moment it is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from tests.unit.workflows.fakes.storefront import (
    JANE,
    NOW,
    ONE_OFFER,
    Clock,
    FakeSource,
    a_hint_reader,
    an_order,
    record,
    rows,
)
from worker.ledger.runs import recoveries as recoveries_of
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.ledger import recoveries
from worker.ledger.tables.runs import events, pauses, runs
from worker.reasons import Reason
from worker.sources.order import Learner
from workflows.operations.pausing import pause, resume
from workflows.operations.replay import Operations
from workflows.planning.offers_file import OffersFile

WANG = Learner(email="wang@person.test", first_name="小明", last_name="王")
MARKED = Learner(email="mark.erwin@person.test", first_name="Marquerite", last_name="Överskog")


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    ledger = Ledger(database_url)
    ledger.migrate()
    record(ledger, an_order(learner=MARKED))
    record(ledger, an_order("1110", learner=JANE))
    record(ledger, an_order("1111", learner=WANG))
    yield ledger
    ledger.close()


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Marquerite Överskog called", "[person] called"),
        ("Överskog, Marquerite called", "[person] called"),
        ("asked by marquerite överskog herself", "asked by [person] herself"),
        ("Överskog called", "[person] called"),
        ("Call Marquerite's boss about PL4", "Call [person]'s boss about PL4"),
        ("write to Mark.Erwin@person.test", "write to …"),
        ("John and Jane called", "John and [person] called"),
        ("王小明来电", "王[person]来电"),
        ("The vendor's maintenance, until nine", "The vendor's maintenance, until nine"),
        ("maintenance", "maintenance"),
    ],
)
def test_no_known_person_is_named_when_a_reason_belongs_to_no_order(ledger: Ledger, typed: str, kept: str) -> None:
    for change in (pause, resume, pause):
        change(ledger, "learningcart", actor="operator:ann", reason=typed, dry_run=False, now=NOW)
    with ledger.write() as connection:
        moments = {"copied_at": NOW, "recovered_at": NOW, "settled_at": NOW}
        recoveries_of.add(connection, **moments, steps_asked=[], actor="operator:ann", reason=typed)
    said = {row.reason for row in rows(ledger, events) if row.kind in {"system_paused", "system_resumed"}}
    assert said == {row.reason for row in rows(ledger, pauses)} == {row.reason for row in rows(ledger, recoveries)}
    assert said == {kept}


def test_no_other_person_is_named_when_a_run_is_settled_by_hand(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "offers.toml").write_text(ONE_OFFER)
    with ledger.write() as connection:
        connection.execute(update(runs).values(state=RunState.REVIEW, reason=Reason.REFUSED, next_attempt_at=None))
    reader = a_hint_reader(ledger, FakeSource(Clock()), OffersFile(tmp_path / "offers.toml"), Clock())
    operations = Operations(ledger, reader, check_source=str, clock=lambda: NOW)
    first, second, _ = (row.id for row in sorted(rows(ledger, runs), key=lambda row: row.order_id))
    typed = "Jane Doe gave it to Marquerite Överskog"
    operations.resolve(second, actor="operator:ann", note=typed)
    operations.replay(first, actor="operator:ann", reason=typed)
    operations.cancel(first, actor="operator:ann", reason=typed)
    notes = {row.note for row in rows(ledger, runs) if row.id == second}
    assert notes == {"[person] gave it to [person]"}
    typed_kinds = {"run_resolved", "run_replayed", "run_cancelled"}
    said = {row.kind: row.reason for row in rows(ledger, events) if row.kind in typed_kinds}
    assert said == dict.fromkeys(typed_kinds, "[person] gave it to [person]")
