"""The product's processes: started in their places, killed, frozen, and started again as a supervisor would."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.integration.servers import die_with_parent

STOP_SECONDS = 40.0
"""More than Celery's soft shutdown takes."""
_RESTART_SECONDS = 1.0
_ABORT_SECONDS = 2.0
_ROOT = Path(__file__).resolve().parents[3]
_FROM_OUTSIDE = ("PATH", "TMPDIR", "LANG", "LC_ALL")

PLACES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "web": ("web", {}),
    "worker-1": ("worker", {}),
    "worker-2": ("worker", {}),
    "worker-3": ("worker", {"CARTBRIDGE_WORKER__POOL": "prefork", "CARTBRIDGE_WORKER__CONCURRENCY": "2"}),
    "beat-1": ("beat", {}),
    "beat-2": ("beat", {}),
}
"""What runs where: each place's command and the settings of its own."""
WORKERS = tuple(place for place, (command, _) in PLACES.items() if command == "worker")
BEATS = tuple(place for place, (command, _) in PLACES.items() if command == "beat")
FULL_DISK = Path("/dev/full")


@dataclass(frozen=True)
class Freeze:
    """A time during which processes stood still. Seconds since the epoch."""

    process_ids: frozenset[int]
    from_at: float
    until_at: float


@dataclass
class _Place:
    name: str
    process: subprocess.Popen[bytes] | None = None
    start_at: float | None = None
    """When it is to be started again (monotonic); None: it runs, or is to stay down."""
    frozen: tuple[frozenset[int], float] | None = None


@dataclass
class Fleet:
    """The processes by their places. Use it from one thread, which must live as long as they do."""

    folder: Path
    environment: Mapping[str, str]
    starts: int = 0
    freezes: list[Freeze] = field(default_factory=list)
    skewed: set[int] = field(default_factory=set)
    """The ids of the processes that were started under a wrong clock."""
    ended_by_themselves: Counter[str] = field(default_factory=Counter)
    """How often a process ended that nobody had ended, by `place: exit code`; the supervisor starts it again."""
    stopped: Counter[str] = field(default_factory=Counter)
    """What came of asking processes to stop, by `command: exit code`; None had to be killed."""
    _places: dict[str, _Place] = field(default_factory=lambda: {name: _Place(name) for name in PLACES})

    def start(self, name: str, *, skew_seconds: float = 0.0, on_full_disk: bool = False) -> None:
        """Start a place's process, in a process group of its own; harmless where one runs."""
        place = self._places[name]
        if place.process is not None and place.process.poll() is None:
            return
        command, settings = PLACES[name]
        program = ["-c", "from worker.cli.app import main; main()"]
        if skew_seconds:
            program = ["-m", "tests.faults.chaos.skewed_clock", str(skew_seconds)]
        environment = {variable: os.environ[variable] for variable in _FROM_OUTSIDE if variable in os.environ}
        self.starts += 1
        with self._log_of(name, on_full_disk=on_full_disk) as log:
            place.process = subprocess.Popen(
                [sys.executable, *program, command],
                cwd=self.folder,
                env=environment
                | {"PYTHONPATH": str(_ROOT), "PYTHONFAULTHANDLER": "1"}
                | dict(self.environment)
                | dict(settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - two system calls, no lock taken
            )
        place.start_at = None
        if skew_seconds:
            self.skewed.add(place.process.pid)

    def _log_of(self, name: str, *, on_full_disk: bool) -> IO[bytes]:
        if on_full_disk:
            return FULL_DISK.open("wb", buffering=0)
        return (self.folder / f"{self.starts:03}-{name}.log").open("wb")

    def start_all(self) -> None:
        """Have a process in every place, and none of them frozen."""
        for name in PLACES:
            self.thaw(name)
            self.start(name)

    def kill(self, name: str) -> None:
        """SIGKILL to the place's process and its children: as when a machine loses its power."""
        place = self._places[name]
        place.start_at = None
        if place.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(place.process.pid, signal.SIGKILL)
        place.process.wait(STOP_SECONDS)
        place.process, place.frozen = None, None

    def stop(self, name: str) -> int | None:
        """SIGTERM, and the exit code; None where nothing ran, or what ran did not end and was killed."""
        process = self._places[name].process
        if process is None:
            return None
        process.terminate()
        return self._wait(name, process)

    def _wait(self, name: str, process: subprocess.Popen[bytes]) -> int | None:
        code: int | None = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(STOP_SECONDS)
        if code is None:
            process.send_signal(signal.SIGABRT)  # with PYTHONFAULTHANDLER it first says where its threads stand
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_ABORT_SECONDS)
        self.stopped[f"{PLACES[name][0]}: {code}"] += 1
        self.kill(name)  # whatever is left of its group
        return code

    def freeze(self, name: str) -> None:
        """SIGSTOP to the place's process and its children."""
        place = self._places[name]
        if place.process is None:
            return
        members = _members(place.process.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(place.process.pid, signal.SIGSTOP)
        place.frozen = (members, time.time())

    def thaw(self, name: str) -> None:
        """SIGCONT; harmless where nothing is frozen."""
        place = self._places[name]
        if place.frozen is None or place.process is None:
            return
        process_ids, from_at = place.frozen
        place.frozen = None
        self.freezes.append(Freeze(process_ids, from_at, time.time()))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(place.process.pid, signal.SIGCONT)

    def is_running(self, name: str) -> bool:
        process = self._places[name].process
        return process is not None and process.poll() is None

    def tend(self) -> None:
        """Start again, after a moment, what ended by itself: a supervisor's work."""
        now = time.monotonic()
        for place in self._places.values():
            if place.start_at is not None and now >= place.start_at:
                self.start(place.name)
            elif place.process is not None and place.process.poll() is not None and place.start_at is None:
                self.ended_by_themselves[f"{PLACES[place.name][0]}: {place.process.returncode}"] += 1
                self.kill(place.name)  # whatever is left of its group
                place.start_at = now + _RESTART_SECONDS

    def stop_all(self) -> dict[str, int | None]:
        """SIGTERM to all at once; their exit codes, None for what had to be killed."""
        running = {name: place.process for name, place in self._places.items() if place.process is not None}
        for name, process in running.items():
            self.thaw(name)
            process.terminate()
        return {name: self._wait(name, process) for name, process in running.items()}

    def close(self) -> None:
        """Kill whatever runs, frozen or not."""
        for name in PLACES:
            self.kill(name)


def _members(group_id: int) -> frozenset[int]:
    """The ids of the processes of a group."""
    found = {group_id}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if os.getpgid(int(entry.name)) == group_id:
                found.add(int(entry.name))
    return frozenset(found)
