"""Kills a process at every boundary of every scenario, and at every pair of two of the main one, and judges the end.

    python -m tests.faults.crashes.in_process [--engine sqlite] [--no-pairs] [--json FILE]

One process at a time, in virtual time, on the real planner, ledger, executor and clients. Each telling is a world of
its own, so that a failure is told again by its scenario and its numbers alone: `--tell webhook --kill 43 --kill 61`.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.faults.crashes.scenarios import SCENARIOS
from tests.faults.crashes.telling import Telling, Told, scenario_named
from tests.faults.simulation.stage import Book
from tests.integration.servers import PostgresServer

PAIRED = ("webhook", "answer lost")
"""The scenarios that are told with every pair of two kills: the undisturbed one, and one whose outcome is unknown."""


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
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, told: Told) -> None:
        if not told.ok:
            self.failures.append(str(told))


def every_single(book: Book, scenario_name: str, tally: Tally) -> dict[int, int]:
    """Tell a scenario once for each boundary and both fates of a killed worker's message.

    Returns, for each first kill, how many boundaries that telling came to.
    """
    scenario = scenario_named(scenario_name)
    undisturbed = Telling(book, scenario).tell()
    tally.add(undisturbed)
    tally.boundaries[scenario_name] = len(undisturbed.reached)
    tally.places = sorted({*tally.places, *(str(each) for each in undisturbed.reached)})
    lengths = {}
    for first in range(len(undisturbed.reached)):
        for redelivers in (False, True):
            told = Telling(book, scenario, [first], redelivers=redelivers).tell()
            tally.singles += 1
            tally.add(told)
            tally.places = sorted({*tally.places, *(str(each) for each in told.reached)})
            if not redelivers:
                lengths[first] = len(told.reached)
    return lengths


def pairs_of(lengths: dict[int, int]) -> Iterator[tuple[int, int]]:
    """Every pair of two kills: a first, and each boundary the telling with that one still comes to."""
    for first, length in lengths.items():
        for second in range(first + 1, length):
            yield first, second


def tell_all(database_url: str | None, share: int, shares: int, *, pairs: bool) -> Tally:
    """One process's share of the work, on a ledger of its own."""
    logging.disable(logging.CRITICAL)
    began = time.perf_counter()
    with Book(database_url) as book:
        tally = Tally("sqlite" if database_url is None else "postgresql")
        for number, scenario in enumerate(SCENARIOS):
            in_pairs = pairs and scenario.name in PAIRED
            mine = number % shares == share
            if not (mine or in_pairs):
                continue
            counted = tally if mine else Tally(tally.engine)
            lengths = every_single(book, scenario.name, counted)
            if in_pairs:
                for first, second in list(pairs_of(lengths))[share::shares]:
                    tally.add(Telling(book, scenario, [first, second]).tell())
                    tally.pairs += 1
    tally.seconds = time.perf_counter() - began
    return tally


def run(engines: Sequence[str], *, pairs: bool, shares: int = 1) -> list[Tally]:
    """Tell everything on each engine, the engines side by side."""
    with ProcessPoolExecutor(max_workers=len(engines) * shares) as pool:
        if "postgresql" not in engines:
            jobs = [pool.submit(tell_all, None, share, shares, pairs=pairs) for share in range(shares)]
            return [job.result() for job in jobs]
        with PostgresServer() as server:
            jobs = [
                pool.submit(
                    tell_all, server.create_database() if engine == "postgresql" else None, share, shares, pairs=pairs
                )
                for engine in engines
                for share in range(shares)
            ]
            return [job.result() for job in jobs]


def main(
    engines: Annotated[list[str] | None, typer.Option("--engine", help="sqlite, postgresql; both unless said.")] = None,
    *,
    pairs: Annotated[bool, typer.Option(help="Every pair of two kills as well.")] = True,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where to write the counts.")] = None,
    tell: Annotated[str | None, typer.Option(help="Tell one scenario, by name, and each boundary it comes to.")] = None,
    kill: Annotated[list[int] | None, typer.Option(help="The number of a boundary to kill at, with --tell.")] = None,
) -> None:
    """Kill at every boundary, and at every pair of two."""
    console = Console()
    if tell is not None:
        with Book() as book:
            told = Telling(book, scenario_named(tell), kill or []).tell()
        for number, boundary in enumerate(told.reached):
            console.print(f"{number:4} {'KILLED ' if number in told.kills else ''}{boundary}", highlight=False)
        console.print(str(told), highlight=False)
        sys.exit(0 if told.ok else 1)
    tallies = run(engines or ["sqlite", "postgresql"], pairs=pairs)
    table = Table("ledger", "scenarios", "different boundaries", "single kills", "pairs", "failed", "seconds")
    for tally in tallies:
        counts = (len(tally.boundaries), len(tally.places), tally.singles, tally.pairs, len(tally.failures))
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
