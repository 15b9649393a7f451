from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from worker.cli.demo import command
from worker.cli.demo.process import DemoError
from worker.cli.demo.proof import Check
from worker.cli.demo.report import Result
from worker.cli.demo.scenario import Progress
from worker.sandbox import SECRET_MARKS


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo makes its temporary directory."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def play(monkeypatch: pytest.MonkeyPatch, outcome: Result | BaseException) -> None:
    """Let the demo come to `outcome` without showing anything."""

    def demonstrate(folder: Path, *_: Any) -> Result:
        assert folder.is_dir()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(command, "_demonstrate", demonstrate)


GOOD = Result(Progress(seconds=3.0), [Check("all is well")], None)
BAD = Result(Progress(seconds=3.0), [Check("all is well", ("it is not",))], None)


def test_directory_is_removed_when_all_holds(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play(monkeypatch, GOOD)
    assert command.run_demo() == 0
    assert list(folders.iterdir()) == []
    assert "Everything agrees" in capsys.readouterr().out


def test_directory_stays_when_asked_to_keep_it(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play(monkeypatch, GOOD)
    assert command.run_demo(keep=True) == 0
    [folder] = folders.iterdir()
    assert str(folder) in capsys.readouterr().out


def test_directory_stays_when_something_does_not_hold(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play(monkeypatch, BAD)
    assert command.run_demo(as_json=True) == 1
    [folder] = folders.iterdir()
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    assert found["folder"] == str(folder)


def test_directory_stays_when_the_product_fails(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play(monkeypatch, DemoError("`cartbridge up` ended by itself."))
    assert command.run_demo() == 1
    [folder] = folders.iterdir()
    reported = capsys.readouterr().err
    assert "`cartbridge up` ended by itself." in reported
    assert str(folder) in reported


def test_directory_stays_when_the_demo_itself_breaks(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        command.run_demo()
    assert len(list(folders.iterdir())) == 1


def test_everything_is_removed_when_interrupted(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play(monkeypatch, KeyboardInterrupt())
    assert command.run_demo() == 1
    assert list(folders.iterdir()) == []
    assert "interrupted" in capsys.readouterr().err


def test_sigterm_interrupts_when_it_arrives_during_the_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def demonstrate(*_: Any) -> Result:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("not interrupted")

    monkeypatch.setattr(command, "_demonstrate", demonstrate)
    before = signal.getsignal(signal.SIGTERM)
    assert command.run_demo() == 1
    assert signal.getsignal(signal.SIGTERM) is before
    assert "interrupted" in capsys.readouterr().err


def test_signals_are_left_alone_when_run_in_another_thread(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play(monkeypatch, GOOD)
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(command.run_demo()))
    thread.start()
    thread.join()
    assert codes == [0]
    assert not any(mark in capsys.readouterr().out for mark in SECRET_MARKS)
