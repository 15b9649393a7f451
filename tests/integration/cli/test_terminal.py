"""What a terminal is shown, and what is refused before anything is done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).resolve().parents[3]


def cartbridge(folder: Path, *arguments: str | bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", "from worker.cli.app import main; main()", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CARTBRIDGE_")}
    return subprocess.run(
        command, cwd=folder, env=environment | {"PYTHONPATH": str(REPOSITORY)}, capture_output=True, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [(b"why", b"\xff\xe9"), (b"runs", b"list", b"--email", b"\xff"), (b"ingest", b"studiocart", b"\xc3"), (b"\xff",)],
)
def test_argument_is_refused_in_a_sentence_when_it_is_not_utf_8(tmp_path: Path, arguments: tuple[bytes, ...]) -> None:
    done = cartbridge(tmp_path, *arguments)
    assert done.returncode == 2
    assert b"An argument is not UTF-8 text." in done.stderr
    assert b"Traceback" not in done.stderr


def test_direction_controls_are_escaped_when_anything_is_printed(tmp_path: Path) -> None:
    assert cartbridge(tmp_path, "migrate").returncode == 0
    done = cartbridge(tmp_path, "why", "\u202eplanted\u2066@\u200f.example")
    shown = (done.stdout + done.stderr).decode()
    assert "planted" in shown
    assert not {"\u202e", "\u2066", "\u200f"} & set(shown)


def test_first_streams_can_be_written_when_the_process_is_guarded() -> None:
    """Celery's handler of SIGTERM does, and what it raises would end a process that was asked to stop as a failure."""
    reported = "print('planted\\u202e', file=sys.__{0}__); sys.__{0}__.fileno()"
    guarded = "import sys; from worker.cli.output import guard_streams; guard_streams(); guard_streams()"
    written = "\n".join([guarded, reported.format("stdout"), reported.format("stderr")])
    done = subprocess.run([sys.executable, "-c", written], cwd=REPOSITORY, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    for stream in (done.stdout, done.stderr):
        assert b"planted" in stream
        assert "\u202e" not in stream.decode()
