"""Starts `cartbridge web`, `worker` or `beat` in a process that kills itself at the boundary it is told.

The processes are forked from one that has imported everything, so that one more costs a tenth of a second instead of
two. Each is a real one all the same: its command line, its settings, its connections and its pool are its own.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

from celery import signals
from kombu.message import Message

from tests.faults.simulation.boundaries import (
    ACKNOWLEDGE,
    ACKNOWLEDGED,
    PUBLISH,
    PUBLISHED,
    READ,
    RECEIVED,
    Boundary,
    Reach,
    watching,
)
from tests.integration.servers import PR_SET_PDEATHSIG
from worker.broker.schedule import LedgerScheduler

ENOUGH_SECONDS = 120.0
"""Far more than anything here takes, on a busy machine too."""
_REPOSITORY = Path(__file__).resolve().parents[3]
_WARM = (
    "celery.app.amqp",
    "celery.app.control",
    "celery.app.events",
    "celery.app.log",
    "celery.apps.beat",
    "celery.apps.worker",
    "celery.concurrency.prefork",
    "celery.concurrency.thread",
    "celery.events.state",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.consumer",
    "celery.worker.strategy",
    "kombu.asynchronous.hub",
    "kombu.transport.redis",
    "psycopg",
    "rich.console",
    "rich.table",
    "sqlalchemy.dialects.postgresql.psycopg",
    "tasks",
    "tests.faults.crash_points.deployment",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "worker.cli.app",
    "worker.cli.processes",
    "worker.cli.commands.processes",
)
"""Imported once, by the process that all others are forked from."""


class TrialError(Exception):
    """A trial did not go as it should; the message says how."""


@dataclass(frozen=True)
class Point:
    """One boundary of one process: the `occurrence`-th time that it comes there."""

    boundary: Boundary
    occurrence: int = 1

    def __str__(self) -> str:
        return str(self.boundary) if self.occurrence == 1 else f"{self.boundary} #{self.occurrence}"


@dataclass(frozen=True)
class Errand:
    """What a process is to do, and where it dies."""

    command: str
    environment: Mapping[str, str]
    log: Path
    record: Path | None = None
    """Where it writes each boundary that it comes to, a line each."""
    doom: Point | None = None
    mark: Path | None = None
    """Where it writes the id of the process that comes to its doom, right before it dies. Who finds it lives on."""

    def reached(self) -> list[Point]:
        """What has been recorded so far, in order."""
        if self.record is None or not self.record.exists():
            return []
        lines = [json.loads(line) for line in self.record.read_text().splitlines()]
        return [Point(Boundary(kind, place), occurrence) for kind, place, occurrence in lines]

    def doomed_pid(self) -> int | None:
        """The id of the process that came to its doom; None as long as none did."""
        text = self.mark.read_text() if self.mark is not None and self.mark.exists() else ""
        return int(text) if text else None


class Nursery:
    """The warmed-up process that every other is forked from. It ends with the process that made it."""

    def __init__(self) -> None:
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(_WARM))
        path = os.environ.get("PYTHONPATH")
        # The server looks for what it imports in its own path only, wherever it was started.
        os.environ["PYTHONPATH"] = os.pathsep.join([str(_REPOSITORY), *([path] if path else [])])
        try:
            forkserver.ensure_running()
        finally:
            os.environ.pop("PYTHONPATH")
            if path is not None:
                os.environ["PYTHONPATH"] = path

    def start(self, errand: Errand) -> ForkServerProcess:
        """Fork a process, in a session of its own, that runs `cartbridge COMMAND`."""
        process = self._context.Process(target=_run, args=(errand,), daemon=True)
        process.start()
        return process


def kill(process: ForkServerProcess) -> None:
    """SIGKILL to a process and its children; harmless when it is dead."""
    process.kill()
    if process.pid is not None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.join(ENOUGH_SECONDS)


def await_death(process: ForkServerProcess, errand: Errand) -> bool:
    """Return once the process that came to its doom is dead. True: it was `process` itself, not a child of its pool.

    Raises `TrialError` if none comes to its doom in time.
    """
    wait(
        lambda: errand.doomed_pid() is not None or not process.is_alive(),
        what=f"{errand.command} comes to {errand.doom}",
    )
    pid = errand.doomed_pid()
    if pid is None:
        raise TrialError(f"{errand.command} ended with {process.exitcode}, and never came to {errand.doom}")
    if pid != process.pid:
        wait(lambda: not Path(f"/proc/{pid}").exists(), what="the pool's child is dead")
        return False
    process.join(ENOUGH_SECONDS)
    if process.exitcode != -signal.SIGKILL:
        raise TrialError(f"{errand.command} ended with {process.exitcode}, not by SIGKILL")
    return True


def wait(condition: Callable[[], object], *, what: str) -> None:
    """Look every now and then until the condition holds. Raises `TrialError` when it does not for too long."""
    give_up_at = time.monotonic() + ENOUGH_SECONDS
    while not condition():
        if time.monotonic() > give_up_at:
            raise TrialError(f"still not after {ENOUGH_SECONDS:g} s: {what}")
        time.sleep(0.05)


def _run(errand: Errand) -> None:
    """Become `cartbridge COMMAND`."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    os.setsid()
    log = os.open(errand.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(errand.log.parent)
    for name in [name for name in os.environ if name.startswith("CARTBRIDGE_")]:
        del os.environ[name]
    os.environ.update(errand.environment)
    sys.argv = ["cartbridge", errand.command]
    from worker.cli.app import main  # noqa: PLC0415 -- imported by the process this one is forked from

    if errand.record is None and errand.doom is None:
        main()
    reach = _Fate(errand).reach
    _watch_messages(reach)
    with watching(reach):
        main()


class _Fate:
    """Counts the boundaries of one process, writes them down, and kills the process at its doom."""

    def __init__(self, errand: Errand) -> None:
        self._errand = errand
        self._counting = threading.Lock()
        self._counts: Counter[Boundary] = Counter()

    def reach(self, boundary: Boundary) -> None:
        if boundary.kind == READ:
            return  # a death there is a death at what came before: nothing was changed in between
        with self._counting:
            self._counts[boundary] += 1
            point = Point(boundary, self._counts[boundary])
            if self._errand.record is not None:
                line = json.dumps([boundary.kind, boundary.place, point.occurrence])
                _append(self._errand.record, line + "\n")
            if point == self._errand.doom and self._errand.mark is not None:
                self._die(self._errand.mark)

    def _die(self, mark: Path) -> None:
        try:
            file = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return  # another child of this pool has died of it before
        os.write(file, str(os.getpid()).encode())
        os.kill(os.getpid(), signal.SIGKILL)


def _append(path: Path, line: str) -> None:
    """Add a line at once, so that the lines of several processes keep their order."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, line.encode())
    os.close(file)


def _watch_messages(reach: Reach) -> None:
    """Tell `reach` also of what only real processes do: take messages, take them off the queue, and beat."""

    def received(request: Any, **_: object) -> None:
        reach(Boundary(RECEIVED, request.name))

    acknowledge: Callable[..., None] = Message.ack
    beat: Callable[..., None] = LedgerScheduler.apply_entry

    def watched_acknowledge(self: Message, multiple: bool = False) -> None:
        place = self.headers.get("task")
        if place is None:  # Celery's own talk between workers
            acknowledge(self, multiple)
            return
        reach(Boundary(ACKNOWLEDGE, place))
        acknowledge(self, multiple)
        reach(Boundary(ACKNOWLEDGED, place))

    def watched_beat(self: LedgerScheduler, entry: Any, producer: Any = None) -> None:
        reach(Boundary(PUBLISH, f"beat {entry.task}"))
        beat(self, entry, producer)
        reach(Boundary(PUBLISHED, f"beat {entry.task}"))

    signals.task_received.connect(received, weak=False)
    Message.ack = watched_acknowledge  # type: ignore[method-assign]
    LedgerScheduler.apply_entry = watched_beat  # type: ignore[method-assign]
