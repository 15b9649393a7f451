"""Copies of the tree to plant bugs in, and detectors run on them. The tree itself is only ever read."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.planted_bugs.bug import Bug, Detector
from tests.faults.planted_bugs.detecting import CAUGHT, CPU_SECONDS, TREE

_COPIED = ("migrations", "pyproject.toml", "tasks", "tests", "worker", "workflows")
"""What the detectors need: no repository, no environment, nothing a run leaves behind."""
_LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*")
LONGEST_SECONDS = 6.0 * CPU_SECONDS
"""On the clock on the wall, for a detector that waits instead of working; the machine may be busy."""


@dataclass(frozen=True)
class Seen:
    """What a detector came to."""

    caught: bool
    words: str
    """What it saw; where it did not work, why."""
    cpu_seconds: float
    works: bool = True
    """False: it ended in another way than by seeing something, or nothing."""


def digest(tree: Path = TREE) -> dict[str, str]:
    """The checksum of each file that is copied, by path."""
    files = [
        path
        for name in _COPIED
        for path in sorted([tree / name, *(tree / name).rglob("*")])
        if path.is_file() and "__pycache__" not in path.parts
    ]
    return {str(path.relative_to(tree)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@contextmanager
def copied(tree: Path = TREE) -> Iterator[Path]:
    """A copy of a tree, which is gone afterwards. What is compiled in it is copied along with it."""
    with TemporaryDirectory(prefix="cartbridge-planted-bugs-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder) / "tree"
        copy.mkdir()
        for name in _COPIED:
            if (tree / name).is_dir():
                shutil.copytree(tree / name, copy / name, ignore=_LEFT_OUT if tree == TREE else None)
            else:
                shutil.copy2(tree / name, copy / name)
        yield copy


def detect(bug: Bug, pristine: Path) -> Seen:
    """Plant a bug in a copy of its own, and run its detector there."""
    with copied(pristine) as copy:
        bug.plant(copy)
        return run(bug.caught_by, copy, compiles=False)


def run(detector: Detector, tree: Path, *, compiles: bool) -> Seen:
    """Run a detector on a tree, in processes that are gone afterwards. `compiles`: what is compiled stays there."""
    environment = {
        **{name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ},
        "HOME": str(tree),
        "PYTHONPATH": str(tree),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "" if compiles else "1",  # so that no copy takes a bug's code for its own
    }
    process = subprocess.Popen(
        [sys.executable, "-m", *detector.arguments()],
        cwd=tree,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        out = process.communicate(timeout=LONGEST_SECONDS)[0]
    except subprocess.TimeoutExpired:
        return Seen(caught=False, words=f"did not end within {LONGEST_SECONDS:.0f} s", cpu_seconds=0.0, works=False)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return read(process.returncode, out)


def read(code: int, out: str) -> Seen:
    """What a detector's exit and its last line say."""
    last = (out.strip().splitlines() or ["it said nothing"])[-1]
    if code not in {0, CAUGHT}:
        return Seen(caught=False, words=f"exit {code}: {last}", cpu_seconds=0.0, works=False)
    seconds, _, words = last.partition(" ")
    return Seen(caught=code == CAUGHT, words=words, cpu_seconds=float(seconds))
