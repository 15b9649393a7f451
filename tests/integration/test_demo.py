"""The demo as people run it: it is the product's smoke test, so it must pass, fail and be interrupted as it should."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from worker.cli.demo.command import run_demo
from worker.sandbox import SECRET_MARKS

COMMAND = (sys.executable, "-c", "from worker.cli.app import main; main()", "demo")
REPOSITORY = Path(__file__).parents[2]


def environment(folder: Path, **variables: str) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(REPOSITORY), **variables}


def processes_in(folder: Path) -> list[str]:
    """The processes that work below `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append(process.name)
        except OSError:
            continue
    return [name for name in found if name != str(os.getpid())]


def test_everything_agrees_when_the_demo_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # What the operator has set and left lying about is not the demo's business.
    (tmp_path / ".env").write_text("CARTBRIDGE_NONSENSE=1\n")
    monkeypatch.setenv("CARTBRIDGE_DATABASE_URL", "sqlite:////nowhere/at/all.db")
    folders = tmp_path / "folders"
    folders.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folders))
    code = run_demo(as_json=True)
    reported = capsys.readouterr()
    found = json.loads(reported.out)
    assert [check for check in found["checks"] if not check["holds"]] == []
    assert code == 0
    assert found["orders"]["sold"] >= 25
    assert found["comped_orders"]["made"] == found["comped_orders"]["expected"] == found["runs"]["succeeded"]
    assert found["deliveries"]["duplicates"] >= 20
    assert found["adopted"] >= 6
    assert found["kills"] == 1
    assert found["seconds"] < 55
    outcomes = [
        (attempt["kind"], attempt["outcome"])
        for step in found["trail"]["steps"]
        if step["name"] == "add_comped_order"
        for attempt in step["attempts"]
    ]
    assert outcomes[0] == ("call", "unknown")
    assert outcomes[-1] == ("lookup", "adopted")
    assert outcomes.count(("call", "ok")) == 0
    assert not any(mark in reported.out + reported.err for mark in SECRET_MARKS)
    assert list(folders.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [".env", "folders"]


def test_rest_is_told_when_the_time_is_too_short(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--seconds", "2"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "not proven" in done.stdout
    assert "this never happened: " in done.stdout
    [folder] = tmp_path.iterdir()
    assert str(folder) in done.stdout
    left = {path.name for path in folder.iterdir()}
    # Nothing but what it was given and what it is meant to write; so early there may be no effect yet.
    assert left | {"effects.jsonl"} == {
        "cartbridge.db",
        "cartbridge.db.lock",
        "up.log",
        "effects.jsonl",
        "offers.toml",
        ".env",
    }
    assert processes_in(tmp_path) == []


def _take_interrupts() -> None:
    """Who is started in the background by a shell ignores them, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="looks for processes that were left behind in /proc")
def test_nothing_is_left_behind_when_interrupted(tmp_path: Path) -> None:
    folders = tmp_path / "folders"
    folders.mkdir()
    demo = subprocess.Popen(
        COMMAND,
        env=environment(folders, PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_take_interrupts,  # noqa: PLW1509  (it only asks the kernel)
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if "2/7" in line:
            break
    assert processes_in(folders) != []
    demo.send_signal(signal.SIGINT)
    _, reported = demo.communicate(timeout=120)
    assert demo.returncode == 1
    assert "interrupted" in reported
    assert list(folders.iterdir()) == []
    assert processes_in(folders) == []
