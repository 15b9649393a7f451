"""Runs every part of the proof and prints its counts: `python -m tests.faults.prove` (`make prove`).

Each part is a program of its own with its own exit code; this one starts them one after the other, keeps what they say,
and ends with one table. A part that fails leaves its words behind, and the whole fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Counts = Any
"""What a part wrote as JSON."""
_TAIL_LINES = 60
_SHOWN_EVERY_SECONDS = 1.0


@dataclass(frozen=True)
class Part:
    """One program of the proof."""

    name: str
    what: str
    command: tuple[str, ...]
    """`python -m` this, with its options."""
    sentence: Callable[[Counts], str]
    """Its counts in words."""
    limit_seconds: float
    """Many times what it takes on an idle machine: a part that hangs must not hang the whole."""


def parts(*, minutes: float, seeds: int, trials: int) -> tuple[Part, ...]:
    """Every part, the quickest answer first."""
    module = "tests.faults"
    return (
        Part(
            "simulation",
            "the real code in virtual time, judged after every event",
            (f"{module}.simulation", "--seeds", str(seeds)),
            _simulation,
            limit_seconds=2.0 * seeds + 120,
        ),
        Part(
            "crash points",
            "killed at every boundary, and at every pair of two",
            (f"{module}.crash_points.in_process",),
            _crash_points,
            limit_seconds=6000,
        ),
        Part(
            "SIGKILL",
            "real workers on real Redis and PostgreSQL, killed at every boundary",
            (f"{module}.crash_points.sigkill",),
            _sigkill,
            limit_seconds=3600,
        ),
        Part(
            "races",
            "eight beats, twenty webhooks, polls, replays and an ingest of one order at once",
            (f"{module}.races", "--trials", str(trials)),
            _races,
            limit_seconds=8.0 * trials + 120,
        ),
        Part(
            "planted bugs",
            "bugs planted one at a time: is each caught?",
            (f"{module}.planted_bugs",),
            _planted_bugs,
            limit_seconds=12000,
        ),
        Part(
            "chaos",
            "everything as real processes, something broken every few seconds",
            (f"{module}.chaos", "--minutes", f"{minutes:g}"),
            _chaos,
            limit_seconds=120 * minutes + 420,
        ),
    )


def _simulation(counts: Counts) -> str:
    return (
        f"{counts['seeds']} seeds, {counts['failed']} failed; {counts['events']} events, "
        f"{counts['comped_orders']} comped orders, {counts['outcomes'].get('call unknown', 0)} unknown outcomes, "
        f"{counts['explained_doubles']} doubles that no client can prevent, each detected"
    )


def _crash_points(counts: Counts) -> str:
    by_engine = [
        f"{sum(each['singles'] for each in shares)} single kills and {sum(each['pairs'] for each in shares)} pairs "
        f"({sum(each['known_worlds'] for each in shares)} of them to a state that was judged before) on "
        f"{engine}, {sum(len(each['failures']) for each in shares)} failed"
        for engine in ("sqlite", "postgresql")
        if (shares := [each for each in counts if each["engine"] == engine])
    ]
    places = {place for each in counts for place in each["places"]}
    return f"{len(places)} different boundaries enumerated; " + "; ".join(by_engine)


def _sigkill(counts: Counts) -> str:
    return (
        f"{counts['boundaries']} boundaries enumerated, {counts['killed']} killed, {counts['recovered']} recovered, "
        f"{counts['lost']} lost, {counts['doubled']} doubled"
    )


def _races(counts: Counts) -> str:
    engines = ", ".join(f"{count} on {engine}" for engine, count in counts["by_engine"].items())
    return (
        f"{counts['trials']} trials ({engines}): {counts['runs']} runs, {counts['comped_orders']} comped orders, "
        f"{counts['lost']} lost, {counts['doubled']} doubled, {len(counts['violations'])} violations"
    )


def _planted_bugs(counts: Counts) -> str:
    return f"{counts['caught']} of {counts['total']} planted bugs caught"


def _chaos(counts: Counts) -> str:
    recovery, disturbances = counts["recovery_seconds"], sum(counts["disturbances"].values())
    return (
        f"{counts['minutes']:g} minutes, seed {counts['seed']}, {disturbances} disturbances: {counts['seats']} seats, "
        f"lost {counts['lost']}, doubled {counts['doubled']}, doubled by a thawed process "
        f"{counts['doubled_by_thaw']}, parked {sum(counts['parked'].values())}; "
        f"recovery p50 {recovery['p50']} s, p99 {recovery['p99']} s"
    )


def main(
    minutes: Annotated[float, typer.Option(help="How long chaos reigns.")] = 3.0,
    seeds: Annotated[int, typer.Option(help="How many seeds the simulation plays.")] = 2000,
    trials: Annotated[int, typer.Option(help="How many races are run.")] = 500,
    only: Annotated[list[str] | None, typer.Option(help="Run this part alone; may be given several times.")] = None,
) -> None:
    """Run every part of the proof, and print what each counted. Exit 1 if one did not hold."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the part that runs is ended too
    console = Console()
    every = parts(minutes=minutes, seeds=seeds, trials=trials)
    chosen = [part for part in every if not only or part.name in only]
    if only and len(chosen) != len(set(only)):
        console.print(f"The parts are {', '.join(part.name for part in every)}.")
        sys.exit(2)
    table = Table("part", "what", "counts", "seconds", "holds", title="What was proved")
    failed = False
    with tempfile.TemporaryDirectory(prefix="cartbridge-proof-") as folder:
        for part in chosen:
            console.print(f"{part.name}: {part.what} …", highlight=False)
            held, counts, seconds = run(part, Path(folder), console)
            failed = failed or not held
            table.add_row(part.name, part.what, counts, f"{seconds:.0f}", "yes" if held else "NO")
            console.print(f"{part.name}: {counts} ({seconds:.0f} s){'' if held else ': FAILED'}", highlight=False)
    console.print(table)
    sys.exit(1 if failed else 0)


def run(part: Part, folder: Path, console: Console) -> tuple[bool, str, float]:
    """Run one part: whether it held, its counts in words, and how long it took. Its words are shown where it failed."""
    counts_file, log_file = folder / f"{part.name}.json", folder / f"{part.name}.log"
    began = time.perf_counter()
    code = _run(["-m", *part.command, "--json", str(counts_file)], log_file, part.limit_seconds, console)
    seconds = time.perf_counter() - began
    sentence = part.sentence(json.loads(counts_file.read_text())) if counts_file.exists() else "no counts"
    if code != 0:
        tail = log_file.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        console.print("\n".join(tail), highlight=False, markup=False, soft_wrap=True)
        sentence += f" (exit code {code})" if code is not None else f" (not done after {part.limit_seconds:.0f} s)"
    return code == 0 and counts_file.exists(), sentence, seconds


def _run(arguments: Sequence[str], log_file: Path, limit_seconds: float, console: Console) -> int | None:
    """Run Python with these arguments, its words in a file; the exit code, None where it had to be ended.

    A terminal shows the last of its words meanwhile. Nothing that it started in its own session outlives it.
    """
    until = time.monotonic() + limit_seconds
    with log_file.open("wb") as log, console.status("begins") as status:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "160"},
            start_new_session=True,
        )
        try:
            while time.monotonic() < until:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(_SHOWN_EVERY_SECONDS)
                status.update(escape(log_file.read_text(errors="replace").rstrip().rpartition("\n")[2]))
            return None
        finally:
            if process.poll() is None:
                process.terminate()  # each part cleans up after itself when it is asked to end
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    typer.run(main)
