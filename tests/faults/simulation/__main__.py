"""Plays seeds: `python -m tests.faults.simulation --seeds 2000`. A failing seed is replayed by `--replay SEED`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from tests.faults.simulation.simulator import Played, be_silent, play
from tests.faults.simulation.world import FreshLedger

_CHUNK = 25
_SHOWN = 10
_SAID_EVERY_SECONDS = 20.0
"""Where no bar can be drawn."""

console = Console()


def play_seeds(first: int, count: int) -> list[Played]:
    """Play a row of seeds on one ledger, in this process."""
    be_silent()
    with FreshLedger() as fresh:
        fresh.observe()
        return [play(fresh, seed) for seed in range(first, first + count)]


def play_all(first: int, seeds: int, jobs: int) -> Iterator[list[Played]]:
    """Play seeds in several processes; yields them as they are done."""
    if jobs == 1:
        for start in range(first, first + seeds, _CHUNK):
            yield play_seeds(start, min(_CHUNK, first + seeds - start))
        return
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        waiting = [
            pool.submit(play_seeds, start, min(_CHUNK, first + seeds - start))
            for start in range(first, first + seeds, _CHUNK)
        ]
        for done in as_completed(waiting):
            yield done.result()


def _replay(seed: int) -> None:
    """Play one seed again with everything told, and stop with what was violated."""
    log: list[str] = []
    be_silent()
    with FreshLedger() as fresh:
        fresh.observe()
        played = play(fresh, seed, log=log)
    for line in log:
        console.print(line, highlight=False, soft_wrap=True)
    console.print(f"seed {seed}: {'; '.join(played.violations) or 'ok'}", highlight=False, soft_wrap=True)
    sys.exit(0 if played.ok else 1)


def main(
    seeds: Annotated[int, typer.Option(help="How many seeds to play.")] = 2000,
    first: Annotated[int, typer.Option(help="The first of them.")] = 1,
    jobs: Annotated[int, typer.Option(help="Processes to play in.")] = os.cpu_count() or 1,
    replay: Annotated[int | None, typer.Option(help="Play this one seed, and tell each boundary it comes to.")] = None,
    *,
    stop_early: Annotated[bool, typer.Option("--stop-early", help="Stop at the first seed that fails.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where to write the counts.")] = None,
) -> None:
    """Play seeds and judge each after every event. Exit 1 if anything did not hold."""
    if replay is not None:
        _replay(replay)
    began = time.perf_counter()
    total = Total()
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar, said = progress.add_task("seeds", total=seeds), began
        for chunk in play_all(first, seeds, jobs):
            for played in chunk:
                total.add(played)
                progress.advance(bar)
            now = time.perf_counter()
            if not console.is_terminal and now - said >= _SAID_EVERY_SECONDS:
                said = now
                console.print(total.so_far(seeds, now - began), highlight=False, soft_wrap=True)
            if total.failed and stop_early:
                break
    total.seconds = time.perf_counter() - began
    for line in total.lines():
        console.print(line, highlight=False, soft_wrap=True)
    if json_file is not None:
        json_file.write_text(json.dumps(total.shape(), indent=2))
    sys.exit(1 if total.failed else 0)


@dataclass
class Total:
    """What all seeds came to."""

    counts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    failed: list[Played] = field(default_factory=list)
    virtual_seconds: float = 0.0
    seconds: float = 0.0

    def add(self, played: Played) -> None:
        self.counts.update(
            seeds=1,
            events=played.events,
            sold=played.sold,
            comped_orders=played.effects,
            explained_doubles=played.explained_doubles,
        )
        self.outcomes.update(played.outcomes)
        self.seen.update(played.seen)
        self.virtual_seconds += played.virtual_seconds
        if not played.ok:
            self.failed.append(played)

    def so_far(self, seeds: int, seconds: float) -> str:
        """For people, while it goes on: of how many seeds, which failed, and how long the rest may take."""
        done = self.counts["seeds"]
        failed = f": {', '.join(str(played.seed) for played in self.failed[:_SHOWN])}" if self.failed else ""
        left = seconds / max(done, 1) * (seeds - done)
        return f"{done} of {seeds} seeds, {len(self.failed)} failed{failed}; {seconds:.0f} s, about {left:.0f} s left"

    def lines(self) -> Iterator[str]:
        """For people: each failure with how to see it again, and the counts in one sentence."""
        for played in sorted(self.failed, key=lambda each: each.seed)[:_SHOWN]:
            yield f"seed {played.seed}: {'; '.join(played.violations[:3])}"
            yield f"  python -m tests.faults.simulation --replay {played.seed}"
        counts, outcomes = self.counts, self.outcomes
        yield (
            f"{counts['seeds']} seeds: {counts['events']} events in {self.virtual_seconds / 3600:.0f} virtual hours, "
            f"{counts['sold']} orders sold, {counts['comped_orders']} comped orders, "
            f"{outcomes['call unknown']} unknown outcomes ({outcomes['lookup adopted']} adopted, "
            f"{outcomes['lookup absent']} proven absent), {counts['explained_doubles']} doubles that no client can "
            f"prevent, each detected; {len(self.failed)} seeds failed; {self.seconds:.0f} s, "
            f"{counts['events'] / max(self.seconds, 0.001):.0f} events/s"
        )

    def shape(self) -> dict[str, object]:
        """As JSON."""
        return {
            **self.counts,
            "failed": len(self.failed),
            "virtual_hours": round(self.virtual_seconds / 3600),
            "seconds": round(self.seconds),
            "outcomes": self.outcomes,
            "seen": self.seen,
            "shown": [asdict(each) for each in self.failed[:_SHOWN]],
        }


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of a set of texts is chance as well, and a seed must decide that too.
        command = [sys.executable, "-m", "tests.faults.simulation", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606  (ourselves, once more)
    typer.run(main)
