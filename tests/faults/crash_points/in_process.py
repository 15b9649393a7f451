"""Kills a process at every boundary of every scenario, and at every pair of two of the main one, and judges the end.

    python -m tests.faults.crash_points.in_process [--engine sqlite] [--no-pairs] [--json FILE]

One process at a time, in virtual time, on the real planner, ledger, executor and clients. Each telling is a world of
its own, so that a failure is told again by its scenario and its numbers alone: `--tell webhook --kill 43 --kill 61`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.faults.crash_points.crash_run import CrashResult, CrashRun, scenario_named
from tests.faults.crash_points.scenarios import SCENARIOS
from tests.faults.simulation.simulator import be_silent
from tests.faults.simulation.world import FreshLedger
from tests.integration.servers import PostgresServer

PAIRED = ("webhook",)
"""The scenarios that are told with every pair of two kills unless others are named: the undisturbed one."""


@dataclass
class Tally:
    """What one engine's tellings came to."""

    engine: str
    boundaries: dict[str, int] = field(default_factory=dict)
    """By scenario: how many a telling without a kill comes to."""
    places: list[str] = field(default_factory=list)
    """The different boundaries, over all scenarios."""
    singles: int = 0
    pairs: int = 0
    """Every pair of two kills; those whose second leaves what another telling had left are not told further."""
    known_worlds: int = 0
    """How many of the pairs those were."""
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, result: CrashResult) -> None:
        """Count one telling's boundaries, and that it failed if it did."""
        self.places = sorted({*self.places, *map(str, result.reached)})
        if not result.ok:
            self.failures.append(str(result))
            sys.stderr.write(f"{self.engine}: FAILED: {result}\n")
            sys.stderr.flush()


class Progress:
    """Says every so often how many tellings a process has told, and how long the rest may take."""

    EVERY_SECONDS = 20.0

    def __init__(self, name: str) -> None:
        self._name = name
        self._began = self._said = time.perf_counter()
        self._done = 0
        self._total = 0

    def expect(self, tellings: int) -> None:
        """Add what is to be told."""
        self._total += tellings

    def tell(self) -> None:
        """Count one telling."""
        self._done += 1
        now = time.perf_counter()
        if now - self._said < self.EVERY_SECONDS:
            return
        self._said, seconds = now, now - self._began
        left = seconds / self._done * max(self._total - self._done, 0)
        sys.stderr.write(f"{self._name}: {self._done} of {self._total}, {seconds:.0f} s, about {left:.0f} s left\n")
        sys.stderr.flush()


def every_single(
    fresh: FreshLedger, scenario_name: str, undisturbed: CrashResult, tally: Tally, progress: Progress, *, both: bool
) -> dict[int, CrashResult]:
    """Tell a scenario once for each boundary, and with `both` for both fates of a killed worker's message.

    Returns the tellings whose message was lost, by the number of the boundary.
    """
    scenario = scenario_named(scenario_name)
    tally.add(undisturbed)
    tally.boundaries[scenario_name] = len(undisturbed.reached)
    lost = {}
    for first in range(len(undisturbed.reached)):
        for redelivers in (False, True) if both else (False,):
            result = CrashRun(fresh, scenario, [first], redelivers=redelivers).run()
            tally.singles += 1
            tally.add(result)
            progress.tell()
            if not redelivers:
                lost[first] = result
    return lost


def every_pair(
    fresh: FreshLedger,
    scenario_name: str,
    singles: dict[int, CrashResult],
    tally: Tally,
    progress: Progress,
    *,
    share: int,
    shares: int,
) -> None:
    """Tell a scenario with every pair of two kills: each first, and each boundary the telling with it comes to.

    Two first kills that leave the same world have the same second ones, and so have two pairs: the rest would be told
    twice. All are counted.
    """
    scenario = scenario_named(scenario_name)
    known = {result.world for result in singles.values()}
    firsts: dict[str, int] = {}
    for first, single in singles.items():
        pairs = range(first + 1, len(single.reached))
        if firsts.setdefault(single.world, first) == first:
            progress.expect(len(pairs[share::shares]))
        elif first % shares == share:
            tally.pairs += len(pairs)
            tally.known_worlds += len(pairs)
    for first in firsts.values():
        for second in range(first + 1, len(singles[first].reached))[share::shares]:
            result = CrashRun(fresh, scenario, [first, second], known=known).run()
            tally.pairs += 1
            tally.known_worlds += result.is_known
            tally.add(result)
            known.add(result.world)
            progress.tell()


def run_all(database_url: str | None, share: int, shares: int, paired: Sequence[str]) -> Tally:
    """One process's share of the work, on a ledger of its own."""
    be_silent()
    began = time.perf_counter()
    with FreshLedger(database_url) as fresh:
        tally = Tally("sqlite" if database_url is None else "postgresql")
        progress = Progress(f"{tally.engine}, share {share + 1} of {shares}")
        undisturbed: dict[str, CrashResult] = {}
        for number, scenario in enumerate(SCENARIOS):
            if number % shares == share or scenario.name in paired:
                result = undisturbed[scenario.name] = CrashRun(fresh, scenario).run()
                progress.expect(len(result.reached) * (2 if database_url is None and number % shares == share else 1))
        for number, scenario in enumerate(SCENARIOS):
            if scenario.name not in undisturbed:
                continue
            is_own = number % shares == share
            counted = tally if is_own else Tally(tally.engine)
            both = database_url is None and is_own
            singles = every_single(fresh, scenario.name, undisturbed[scenario.name], counted, progress, both=both)
            if scenario.name in paired:
                every_pair(fresh, scenario.name, singles, tally, progress, share=share, shares=shares)
    tally.seconds = time.perf_counter() - began
    return tally


def run(engines: Sequence[str], paired: Sequence[str]) -> list[Tally]:
    """Tell everything on each engine, in halves, so that no process is left to tell alone for long."""
    with ExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(max_workers=max(2, os.cpu_count() or 1)))
        jobs = []
        if "postgresql" in engines:
            server = stack.enter_context(PostgresServer())
            jobs += [pool.submit(run_all, server.create_database(), share, 2, paired) for share in range(2)]
        if "sqlite" in engines:
            jobs += [pool.submit(run_all, None, share, 2, paired) for share in range(2)]
        for job in as_completed(jobs):
            done = job.result()
            counts = f"{done.singles} single kills, {done.pairs} pairs, {len(done.failures)} failed"
            sys.stderr.write(f"{done.engine}: a share is done in {done.seconds:.0f} s: {counts}\n")
        return [job.result() for job in jobs]


def main(
    engines: Annotated[list[str] | None, typer.Option("--engine", help="sqlite, postgresql; both unless said.")] = None,
    *,
    pairs: Annotated[bool, typer.Option(help="Every pair of two kills as well.")] = True,
    pairs_of: Annotated[
        list[str] | None, typer.Option(help="The scenarios told in pairs; `webhook` unless said.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where to write the counts.")] = None,
    tell: Annotated[str | None, typer.Option(help="Tell one scenario, by name, and each boundary it comes to.")] = None,
    kill: Annotated[list[int] | None, typer.Option(help="The number of a boundary to kill at, with --tell.")] = None,
) -> None:
    """Kill at every boundary, and at every pair of two."""
    console = Console()
    if tell is not None:
        be_silent()
        with FreshLedger() as fresh:
            result = CrashRun(fresh, scenario_named(tell), kill or []).run()
        for number, boundary in enumerate(result.reached):
            console.print(f"{number:4} {'KILLED ' if number in result.kills else ''}{boundary}", highlight=False)
        console.print(str(result), highlight=False)
        sys.exit(0 if result.ok else 1)
    tallies = run(engines or ["sqlite", "postgresql"], (pairs_of or PAIRED) if pairs else ())
    table = Table("ledger", "scenarios", "boundaries", "single kills", "pairs", "known worlds", "failed", "seconds")
    for tally in tallies:
        counts: tuple[int, ...] = (len(tally.boundaries), len(tally.places), tally.singles, tally.pairs)
        counts += (tally.known_worlds, len(tally.failures))
        table.add_row(tally.engine, *map(str, counts), f"{tally.seconds:.0f}")
    console.print(table)
    for tally in tallies:
        for failure in tally.failures[:20]:
            console.print(f"{tally.engine}: {failure}", highlight=False, soft_wrap=True)
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(tally) for tally in tallies], indent=2))
    sys.exit(1 if any(tally.failures for tally in tallies) else 0)


if __name__ == "__main__":
    typer.run(main)
