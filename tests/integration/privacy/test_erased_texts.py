"""Nobody who was forgotten is named anywhere: in no text, in no byte of the file, in no restored copy."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select, update

from tests.integration.privacy.forgetting import LATER, MARKED, TRACES, everything, finish, forget_one, states
from tests.unit.workflows.fakes.storefront import JANE, JOHN, NOW, an_order, record, rows
from worker.ledger.compaction import rewrite_file
from worker.ledger.events import record_event
from worker.ledger.follow_on import completions as completion_rows
from worker.ledger.learners import tombstones
from worker.ledger.learners.erasure import find_person, forget
from worker.ledger.learners.erasure_file import ErasureFile, ErasureFileError
from worker.ledger.learners.erasure_replay import forget_again, write_missing
from worker.ledger.orders.operator_entries import add_note
from worker.ledger.outbox import add_event
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.learners import erased_places, erasure_keys
from worker.ledger.tables.ledger import recoveries
from worker.ledger.tables.operator_entries import order_notes
from worker.ledger.tables.runs import (
    attempts,
    breakers,
    cursors,
    deliveries,
    events,
    learners,
    outbox,
    pauses,
    runs,
)
from worker.reasons import Reason

# Texts


def plant(ledger: Ledger) -> None:
    """The person in every column that may hold a text, as an older version wrote them."""
    raw = {"email": MARKED.email, "first_name": MARKED.first_name, "phone": "planted 555"}
    record(ledger, an_order(learner=MARKED).model_copy(update={"raw": raw}))
    finish(ledger)
    quote = f"5.7.1 {json.dumps(MARKED.last_name)} <{MARKED.email}> of 17 Planted Street; planted"
    typed = f"{MARKED.first_name} {MARKED.last_name} called from PL4 9NT"
    with ledger.write() as connection:
        run = connection.execute(select(runs)).one()
        connection.execute(update(runs).values(note=typed))
        attempt = {"run_id": run.id, "step": "add_customer", "number": 9, "kind": "call", "generation": 0, "fence": 0}
        connection.execute(
            attempts.insert().values(**attempt, holder="", started_at=NOW, error=f"InvalidRequestError: {quote}")
        )
        about = {"at": NOW, "actor": "operator:ann", "run_id": run.id, "source": "studiocart", "order_id": "1109"}
        detail = {"step": "add_customer", "error": quote}
        connection.execute(events.insert().values(**about, kind="run_failed", detail=detail))
        connection.execute(events.insert().values(**about, kind="run_replayed", reason=typed, detail={}))
        for order_id in ("1109", "1300"):
            add_note(connection, "studiocart", order_id, f"Ask <{MARKED.email}>", actor="operator:ann", now=NOW)
        alone = {"at": NOW, "actor": "operator:ann", "kind": "system_paused", "system": "learningcart", "detail": {}}
        connection.execute(events.insert().values(**alone, reason=f"asked by {MARKED.first_name} {MARKED.last_name}"))
        connection.execute(
            pauses.insert().values(
                system="threedcart", kind="operator", reason=f"for {MARKED.email}", actor="operator:ann", since=NOW
            )
        )
        connection.execute(
            breakers.insert().values(
                system="mail", state="open", allowance=0, failures=1, failing_run_ids=[], last_error=f"<{MARKED.email}>"
            )
        )
        connection.execute(update(cursors).values(last_error=f"refused {MARKED.email}"))
        connection.execute(
            recoveries.insert().values(
                id="r", copied_at=NOW, recovered_at=NOW, settled_at=NOW, steps=[], actor="a", reason=f"{MARKED.email}"
            )
        )
        waiting = {"source": "studiocart", "via": "webhook", "actor": "source", "received_at": NOW, "attempts": 0}
        flags = {"duplicate": False, "replan": False}
        connection.execute(
            deliveries.insert().values(**waiting, **flags, id="w", order_id="1300", state="waiting", body=raw)
        )
        name = f"{MARKED.first_name} {MARKED.last_name}"
        add_event(connection, "enrolment.succeeded", {"email": MARKED.email, "name": name}, now=NOW)
        connection.execute(update(outbox).values(last_error=f"refused {MARKED.email}"))
        completion_rows.add_completion(
            connection,
            {
                "key": "5/77/-",
                "state": "began",
                "customer_id": "5",
                "course_id": "77",
                "email": MARKED.email,
                "name": name,
            },
            now=NOW,
        )


def test_no_text_names_a_person_when_they_were_forgotten(ledger: Ledger) -> None:
    plant(ledger)
    before = everything(ledger)
    for trace in TRACES:
        assert trace in before
    receipt = forget_one(ledger, MARKED.email)
    after = everything(ledger)
    for trace in TRACES:
        assert trace not in after
    assert {"attempts", "events", "outbox", "order_versions", "runs"} <= receipt.removed.keys()
    assert {"run_failed", "run_replayed"} <= {row.kind for row in rows(ledger, events)}
    (attempt,) = (row for row in rows(ledger, attempts) if row.number == 9)
    assert attempt.error == "InvalidRequestError: [erased]"
    # Of their own orders a note goes whole; another keeps what it says of others.
    notes = {row.order_id: row.text for row in rows(ledger, order_notes)}
    assert notes == {"1109": "[erased]", "1300": "Ask <[erased]>"}


def test_trail_never_holds_a_person_when_a_reason_is_typed_and_a_refusal_quoted(ledger: Ledger) -> None:
    record(ledger, an_order(learner=MARKED))
    run = rows(ledger, runs)[0]
    about = {"at": NOW, "run_id": run.id, "source": "studiocart", "order_id": "1109"}
    with ledger.write() as connection:
        typed = "Marquerite called from 17 Planted Street: Överskog is right"
        record_event(connection, kind="run_replayed", actor="operator:ann", reason=typed, **about)
        quote = {"error": f"InvalidRequestError: no {json.dumps('Överskog')} at PL4 9NT <{MARKED.email}>"}
        record_event(connection, kind="run_failed", actor="engine", reason="refused", detail=quote, **about)
    said = rows(ledger, events)
    assert said[-2].reason == "[person] called from [person]: [person] is right"
    assert said[-1].reason == "refused"
    reported = repr([(row.reason, row.detail) for row in said]).casefold()
    for trace in TRACES:
        assert trace not in reported


# The file's bytes


def file_bytes(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in sorted(path.parent.glob(f"{path.name}*")))


def test_no_byte_of_the_file_names_a_person_when_they_were_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger(f"sqlite:///{path}")
    ledger.migrate()
    plant(ledger)
    for number in range(60):  # so that pages were split, freed and written over
        record(ledger, an_order(str(2000 + number), learner=MARKED), now=NOW)
    finish(ledger)
    with closing(sqlite3.connect(path)) as other:  # another process, whose connection stays open
        other.execute("SELECT count(*) FROM runs").fetchone()
        assert MARKED.email.encode() in file_bytes(path)
        forget_one(ledger, MARKED.email)
        assert rewrite_file(ledger)
        stored = file_bytes(path).lower()
        for trace in (*TRACES, "\\u00d6verskog", "överskog"):
            assert trace.lower().encode() not in stored
        assert other.execute("SELECT count(*) FROM runs").fetchone() == (61,)
    ledger.close()


# A restored copy


def test_copy_forgets_again_when_it_is_recovered(tmp_path: Path) -> None:
    path, file = tmp_path / "ledger.db", ErasureFile(tmp_path / "erasures.jsonl")
    ledger = Ledger(f"sqlite:///{path}")
    ledger.migrate()
    plant(ledger)
    record(ledger, an_order("1110", learner=JOHN))
    ledger.close()
    shutil.copy(path, tmp_path / "copy.db")
    ledger = Ledger(f"sqlite:///{path}")
    with ledger.write() as connection:
        connection.execute(update(runs).values(state=RunState.SUCCEEDED, next_attempt_at=None))
        forget(connection, find_person(connection, MARKED.email), now=NOW, actor="operator:ann", reason=None)
        write_missing(connection, file)
    ledger.close()
    restored = Ledger(f"sqlite:///{tmp_path / 'copy.db'}")
    with restored.write() as connection:
        connection.execute(update(runs).where(runs.c.order_id == "1109").values(state=RunState.WAITING))
        assert forget_again(connection, file.read(), now=LATER, actor="operator:ann") == 1
        assert forget_again(connection, file.read(), now=LATER, actor="operator:ann") == 0
    for trace in TRACES:
        assert trace not in everything(restored)
    assert sorted(states(restored)) == [("pending", None), ("review", Reason.LEARNER_ERASED)]
    record(restored, an_order(learner=MARKED, status="edited"), now=LATER)
    assert "marquerite" not in everything(restored)
    assert JOHN.email in everything(restored)
    restored.close()


def test_person_is_found_by_their_places_when_the_copy_has_another_key(ledger: Ledger, tmp_path: Path) -> None:
    file = ErasureFile(tmp_path / "erasures.jsonl")
    record(ledger, an_order())
    finish(ledger)
    with ledger.write() as connection:
        forget(connection, find_person(connection, JANE.email), now=NOW, actor="a", reason=None)
        write_missing(connection, file)
        connection.rollback()
    with ledger.write() as connection:
        connection.execute(erasure_keys.delete())
        connection.execute(erasure_keys.insert().values(id="new", key="00" * 32, created_at=NOW))
        assert forget_again(connection, file.read(), now=LATER, actor="a") == 1
    assert "jane" not in everything(ledger)


def test_person_who_came_back_is_kept_when_the_copy_was_made_after_they_were_forgotten(
    ledger: Ledger, tmp_path: Path
) -> None:
    file = ErasureFile(tmp_path / "erasures.jsonl")
    record(ledger, an_order())
    finish(ledger)
    forget_one(ledger)
    record(ledger, an_order("1500", created_at=LATER), now=LATER)
    with ledger.write() as connection:
        write_missing(connection, file)
        assert forget_again(connection, file.read(), now=LATER, actor="a") == 0
    assert JANE.email in {row.email for row in rows(ledger, learners)}


def test_file_holds_neither_address_nor_key_when_somebody_was_forgotten(ledger: Ledger, tmp_path: Path) -> None:
    file = ErasureFile(tmp_path / "erasures.jsonl")
    record(ledger, an_order())
    finish(ledger)
    with ledger.write() as connection:
        receipt = forget(connection, find_person(connection, JANE.email), now=NOW, actor="a", reason=None)
        write_missing(connection, file)
        write_missing(connection, file)
        key = connection.scalar(select(erasure_keys.c.key))
        assert tombstones.all_tombstones(connection) == file.read() == [receipt.tombstone]
    text = file.path.read_text()
    assert len(text.splitlines()) == 1
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert key is not None
    assert key not in text
    assert "jane" not in text.casefold()
    assert [(row.line_id, row.seat_id) for row in rows(ledger, erased_places)] == [("", ""), ("1107", "buyer")]


def test_file_is_named_when_it_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "erasures.jsonl"
    path.write_text('{"id": "x"}\n')
    with pytest.raises(ErasureFileError, match=r"erasures\.jsonl line 1"):
        ErasureFile(path).read()
    path.unlink()
    path.mkdir()
    with pytest.raises(ErasureFileError, match="CARTBRIDGE_ERASURES_FILE"):
        ErasureFile(path).read()
