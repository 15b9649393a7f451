from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.errors import ConfigurationError
from worker.ledger import lock
from worker.ledger.lock import ProcessLock

REPOSITORY = Path(__file__).parents[5]
HOLD = """
import sys
sys.path.insert(0, {repository!r})
from pathlib import Path
from worker.ledger.lock import ProcessLock
lock = ProcessLock(Path({path!r}))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_second_holder_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    ledger = tmp_path / "cartbridge.db"
    with ProcessLock(ledger):
        assert (tmp_path / "cartbridge.db.lock").exists()
        with pytest.raises(ConfigurationError, match=rf"process {os.getpid()}\) works on this ledger"):
            ProcessLock(ledger).acquire()
    with ProcessLock(ledger) as again:
        assert again is not None


def test_second_holder_is_refused_when_it_names_the_ledger_by_a_link(tmp_path: Path) -> None:
    """Taken for alone, it would end the leases of the first, and ask for and repeat what that is about to send."""
    (tmp_path / "data").mkdir()
    ledger = tmp_path / "data" / "cartbridge.db"
    ledger.touch()
    link = tmp_path / "link.db"
    link.symlink_to(ledger)
    with ProcessLock(ledger), pytest.raises(ConfigurationError, match="works on this ledger"):
        ProcessLock(link).acquire()


def test_lock_is_free_when_its_holder_was_killed(tmp_path: Path) -> None:
    ledger = tmp_path / "cartbridge.db"
    program = HOLD.format(repository=str(REPOSITORY), path=str(ledger))
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigurationError, match=f"process {holder.pid}"):
            ProcessLock(ledger).acquire()
        holder.kill()
        holder.wait()
    own = ProcessLock(ledger)
    assert own.acquire() is True
    assert (tmp_path / "cartbridge.db.lock").read_text() == f"{os.getpid()}\n"
    own.release()
    own.release()


def test_lock_cannot_tell_when_the_system_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    assert ProcessLock(tmp_path / "cartbridge.db").acquire() is False
    with ProcessLock(tmp_path / "cartbridge.db"):
        assert not list(tmp_path.glob("*.lock"))
