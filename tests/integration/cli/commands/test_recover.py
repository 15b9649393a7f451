from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from tests.integration.cli.conftest import Run
from tests.unit.worker.ledger.rows import NOW, add_order, add_run
from worker.ledger.learners.erasure import find_person, forget
from worker.ledger.learners.erasure_file import ErasureFile
from worker.ledger.learners.erasure_replay import write_missing
from worker.ledger.learners.tombstones import Place, Tombstone
from worker.ledger.session import Ledger
from worker.ledger.tables.ledger import recoveries
from worker.ledger.tables.runs import attempts, events, runs


@pytest.fixture
def run_id(ledger: Ledger) -> str:
    with ledger.write() as connection:
        add_order(connection)
        add_run(connection, key="studiocart/1109/1107/buyer/502", state="succeeded")
        return add_run(connection, state="pending")


def test_ledger_is_recovered_when_it_is_confirmed(run: Run, ledger: Ledger, run_id: str) -> None:
    result = run("recover", "--without-erasures", "--since", "2d", "--dry-run")
    assert (result.exit_code, "1 run is asked about" in result.stdout) == (0, True)
    assert "Nothing was changed." in result.stdout
    assert run("recover", "--without-erasures", "--since", "2d").exit_code == 2  # nobody to ask
    with ledger.read() as connection:
        assert connection.execute(select(recoveries)).all() == []
    result = run("recover", "--without-erasures", "--since", "2d", "--yes", "--reason", "the disk broke")
    assert result.exit_code == 0
    assert "Start everything; no run goes on before" in result.stdout
    with ledger.read() as connection:
        [recovery] = connection.execute(select(recoveries)).all()
        [attempt] = connection.execute(select(attempts)).all()
        [reported] = connection.execute(select(events).where(events.c.kind == "ledger_recovered")).all()
    assert (recovery.actor, recovery.reason) == ("operator:ann", "the disk broke")
    assert recovery.steps == ["add_cart_item", "add_comped_order"]
    assert (attempt.run_id, attempt.step, attempt.outcome) == (run_id, "add_comped_order", "unknown")
    assert attempt.started_at == recovery.copied_at
    assert (reported.actor, reported.reason, reported.detail["doubted"]) == ("operator:ann", "the disk broke", 1)


def test_what_a_process_held_is_told_when_it_is_freed(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
        add_run(connection, state="running", lease_holder="gone", lease_until=NOW)
    result = run("recover", "--without-erasures", "--since", "1h", "--yes")
    assert "1 run held by a process while the copy was made is freed." in result.stdout


@pytest.mark.parametrize("given", [(), ("--since", "2099-01-01"), ("--since", "yesterday")])
def test_moment_is_refused_when_no_copy_can_be_of_it(run: Run, ledger: Ledger, given: tuple[str, ...]) -> None:
    assert run("recover", "--without-erasures", *given, "--yes").exit_code == 2
    with ledger.read() as connection:
        assert connection.execute(select(recoveries)).all() == []


def test_file_of_erasures_is_required_when_a_ledger_is_recovered(
    run: Run, ledger: Ledger, run_id: str, tmp_path: Path
) -> None:
    result = run("recover", "--since", "2d", "--yes")
    assert (result.exit_code, "--without-erasures" in result.stderr) == (2, True)
    assert "erasures.jsonl" in result.stderr
    with closing(sqlite3.connect(tmp_path / "cartbridge.db")) as connection:
        connection.execute(f"VACUUM INTO '{tmp_path / 'copy.db'}'")
    with ledger.write() as writing:
        writing.execute(update(runs).values(state="succeeded", next_attempt_at=None))
    assert run("forget", "jane@example.com", "--yes").exit_code == 0
    ledger.close()
    for each in tmp_path.glob("cartbridge.db*"):
        each.unlink()
    shutil.copy(tmp_path / "copy.db", tmp_path / "cartbridge.db")
    result = run("recover", "--since", "2d", "--yes")
    assert (result.exit_code, "1 person who was forgotten since is forgotten again" in result.stdout) == (0, True)
    assert b"jane@example" not in b"".join(each.read_bytes() for each in tmp_path.glob("cartbridge.db*")).lower()


@pytest.fixture
def file(tmp_path: Path) -> ErasureFile:
    return ErasureFile(tmp_path / "erasures.jsonl")


def erase(ledger: Ledger, file: ErasureFile) -> None:
    with ledger.write() as connection:
        add_order(connection)
        add_run(connection, state="succeeded")
        forget(connection, find_person(connection, "jane@example.com"), now=NOW, actor="operator:ann", reason=None)
        write_missing(connection, file)


@pytest.mark.parametrize("left", [b"", b"\n"])
def test_file_is_refused_when_nothing_is_left_in_it(run: Run, ledger: Ledger, file: ErasureFile, left: bytes) -> None:
    file.path.write_bytes(left)
    result = run("recover", "--since", "2d", "--yes")
    assert (result.exit_code, "is not there, or empty" in result.stderr) == (2, True)


def test_file_is_refused_when_it_lacks_what_the_copy_has(run: Run, ledger: Ledger, file: ErasureFile) -> None:
    erase(ledger, file)
    other = Tombstone("other", NOW - timedelta(days=1))
    file.path.unlink()
    file.add([other])
    result = run("recover", "--since", "2d", "--yes")
    assert (result.exit_code, "lacks 1 erasure that the copy" in result.stderr) == (2, True)
    with ledger.read() as connection:
        assert connection.execute(select(recoveries)).all() == []
    assert run("recover", "--since", "2d", "--without-erasures", "--yes").exit_code == 0


def test_nobody_is_forgotten_when_the_file_is_of_another_ledger_too(
    run: Run, ledger: Ledger, file: ErasureFile
) -> None:
    """Whose order of the same number was another person's."""
    with ledger.write() as connection:
        add_order(connection)
        add_run(connection, state="succeeded")
    places = (Place("studiocart", "1109", "1107", "buyer"), Place("studiocart", "1109", "", ""))
    file.add([Tombstone("theirs", datetime.now(UTC) + timedelta(days=1), "key-of-theirs", "00" * 32, {}, places)])
    result = run("recover", "--since", "2d", "--yes")
    assert (result.exit_code, "1 erasure in" in result.stderr, "the first theirs" in result.stderr) == (2, True, True)
    with ledger.read() as connection:
        assert find_person(connection, "jane@example.com").is_known
    assert run("recover", "--since", "2d", "--yes", "--foreign-erasures").exit_code == 0
