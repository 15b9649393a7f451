"""Whoever forgets somebody is killed at each moment: nothing is half done, and nothing of the person stays for good."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.integration.privacy.forgetting import LATER, everything, finish
from tests.unit.workflows.fakes.storefront import JANE, an_order, record, rows
from worker.ledger.compaction import rewrite_if_owed
from worker.ledger.learners.erasure_file import ErasureFile, ErasureFileError
from worker.ledger.session import Ledger
from worker.ledger.tables.learners import erasures
from worker.ledger.tables.periodic import periodic_tasks
from workflows.operations.forgetting import Forgotten, forget_person

REPOSITORY = Path(__file__).parents[3]
KILLED = """
import os, signal, sys
from datetime import datetime, UTC
from pathlib import Path
sys.path.insert(0, {repository!r})
import worker.ledger.compaction as compaction
import worker.ledger.learners.erasure_file as erasure_file
import workflows.operations.forgetting as forgetting
from worker.ledger.session import Ledger

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def and_die(call):
    return lambda *given, **more: (call(*given, **more), die())

{killing}
how = dict(actor="operator:ann", reason=None, now=datetime.now(UTC))
forgetting.forget_person(Ledger({url!r}), {email!r}, erasures_path=Path({erasures!r}), **how)
"""
BEFORE_THE_COMMIT = {
    "nothing is written": "erasure_file.ErasureFile.add = die",
    "the line is not on the disk": "erasure_file.os.fsync = die",
    "the line is written": "erasure_file.ErasureFile.add = and_die(erasure_file.ErasureFile.add)",
}
AFTER_THE_COMMIT = {
    "the file is as it was": "forgetting.rewrite_file = die",
    "the search's index is rewritten": "compaction.drop_traces = and_die(compaction.drop_traces)",
    "the file is rewritten": "compaction.periodic_tasks.drop_since = die",
}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    ledger.migrate()
    record(ledger, an_order())
    finish(ledger)
    yield ledger
    ledger.close()


@pytest.fixture
def file(tmp_path: Path) -> ErasureFile:
    return ErasureFile(tmp_path / "erasures.jsonl")


def kill(ledger: Ledger, file: ErasureFile, killing: str) -> None:
    about = {"repository": str(REPOSITORY), "url": f"sqlite:///{ledger.path}", "email": JANE.email}
    program = KILLED.format(**about, erasures=str(file.path), killing=killing)
    killed = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


def forget_her(ledger: Ledger, file: ErasureFile) -> Forgotten:
    return forget_person(ledger, JANE.email, erasures_path=file.path, actor="a", reason=None, now=LATER)


def file_bytes(ledger: Ledger) -> bytes:
    path = ledger.path
    assert path is not None
    return b"".join(each.read_bytes() for each in sorted(path.parent.glob(f"{path.name}*")))


@pytest.mark.parametrize("moment", BEFORE_THE_COMMIT)
def test_person_is_as_before_and_can_be_forgotten_when_it_was_not_committed(
    ledger: Ledger, file: ErasureFile, moment: str
) -> None:
    kill(ledger, file, BEFORE_THE_COMMIT[moment])
    assert JANE.email in everything(ledger)
    receipt = forget_her(ledger, file)
    assert receipt.file_rewritten
    assert JANE.email.encode() not in file_bytes(ledger)
    # One that the ledger does not know is of the same person: a restored copy forgets them by either.
    assert receipt.erasure_id in {each.id for each in file.read()}
    assert {row.id for row in rows(ledger, erasures)} == {receipt.erasure_id}


@pytest.mark.parametrize("moment", AFTER_THE_COMMIT)
def test_file_is_rewritten_by_whoever_comes_later_when_it_was_committed(
    ledger: Ledger, file: ErasureFile, moment: str
) -> None:
    kill(ledger, file, AFTER_THE_COMMIT[moment])
    assert JANE.email not in everything(ledger)
    assert len(file.read()) == 1
    (row,) = rows(ledger, periodic_tasks)
    assert not rewrite_if_owed(ledger, now=row.done_at + timedelta(minutes=9))
    assert rewrite_if_owed(ledger, now=row.done_at + timedelta(minutes=11))
    assert JANE.email.encode() not in file_bytes(ledger)
    assert rows(ledger, periodic_tasks) == []
    assert not rewrite_if_owed(ledger, now=row.done_at + timedelta(days=1))


def test_nothing_is_owed_when_the_file_was_rewritten(ledger: Ledger, file: ErasureFile) -> None:
    assert forget_her(ledger, file).file_rewritten
    assert rows(ledger, periodic_tasks) == []


@pytest.mark.parametrize("written", [0, 40])
def test_nothing_is_forgotten_when_the_disk_is_full(
    ledger: Ledger, file: ErasureFile, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    write = os.write

    def fill(handle: int, content: bytes) -> int:
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, content[:written])

    monkeypatch.setattr("worker.ledger.learners.erasure_file.os.write", fill)
    with pytest.raises(ErasureFileError, match=r"No space left on device\. Nothing was forgotten"):
        forget_her(ledger, file)
    assert (file.path.read_bytes(), JANE.email in everything(ledger)) == (b"", True)
    monkeypatch.undo()
    forget_her(ledger, file)
    assert len(file.read()) == 1
