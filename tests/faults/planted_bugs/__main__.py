"""Plants each bug and looks whether it is caught: `python -m tests.faults.planted_bugs`. A survivor is a failure."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.faults.planted_bugs import copy_of_tree
from tests.faults.planted_bugs.bug import Bug, Detector, together
from tests.faults.planted_bugs.copy_of_tree import Seen
from tests.faults.planted_bugs.planted import BUGS

Given = TypeVar("Given")
Found = TypeVar("Found")


@dataclass(frozen=True)
class BugResult:
    """What became of one bug."""

    bug: Bug
    seen: Seen

    def __str__(self) -> str:
        return f"{self.bug.name}: {'caught' if self.seen.caught else 'SURVIVED'}, {self.seen.words}"

    def shape(self) -> dict[str, object]:
        """As it is written to a file."""
        return {"name": self.bug.name, "caught_by": str(self.bug.caught_by), **asdict(self.seen)}


@dataclass(frozen=True)
class Trial:
    """What a detector saw where nothing is wrong."""

    detector: Detector
    seen: Seen

    @property
    def is_silent(self) -> bool:
        return self.seen.works and not self.seen.caught

    def __str__(self) -> str:
        return f"{self.detector}: {'silent' if self.is_silent else f'not silent, {self.seen.words}'}"


def main(
    only: Annotated[list[str] | None, typer.Option(help="Plant the bug of this name alone; may be repeated.")] = None,
    jobs: Annotated[int, typer.Option(help="How many detectors run at once.", min=1)] = min(2, os.cpu_count() or 1),
    json_file: Annotated[Path | None, typer.Option("--json", help="Where to write the results.")] = None,
    *,
    list_bugs: Annotated[bool, typer.Option("--list", help="Tell which bugs there are, and plant none.")] = False,
) -> None:
    """Plant each bug in a copy of the tree, and run what should catch it. Exit 1 if one survived."""
    console = Console()
    bugs = [bug for bug in BUGS if not only or bug.name in only]
    if unknown := sorted({*(only or ())} - {bug.name for bug in bugs}):
        console.print(f"There is no bug called {', '.join(unknown)}; --list tells them.")
        sys.exit(2)
    if list_bugs:
        console.print(_list_of(bugs))
        return
    began, before = time.perf_counter(), copy_of_tree.digest()
    with _progress(console) as progress, copy_of_tree.copied() as pristine:
        if troubles := _try_detectors({bug.caught_by for bug in bugs}, pristine, jobs, progress):
            progress.stop()
            for trouble in troubles:
                console.print(f"Without any bug, {trouble}", highlight=False, soft_wrap=True)
            console.print("A detector that always fails catches nothing: no bug was planted.")
            sys.exit(2)
        results = _plant_all(bugs, pristine, jobs, progress)
    console.print(_table_of(results))
    survivors = [result for result in results if not result.seen.caught]
    for result in survivors:
        why = result.seen.words or f"{result.bug.caught_by} saw nothing"
        console.print(f"survived: {result.bug.name}: {why}", highlight=False, soft_wrap=True)
    if changed := _changed(before):
        console.print(f"Changed meanwhile by somebody, and not looked at: {', '.join(changed)}", soft_wrap=True)
    caught, seconds = len(results) - len(survivors), time.perf_counter() - began
    cpu_seconds = sum(result.seen.cpu_seconds for result in results)
    console.print(f"caught {caught}/{len(results)} planted bugs ({seconds:.0f} s, {cpu_seconds:.0f} s of CPU)")
    if json_file is not None:
        shape = {"caught": caught, "total": len(results), "seconds": round(seconds, 1)}
        json_file.write_text(json.dumps(shape | {"bugs": [result.shape() for result in results]}, indent=2))
    sys.exit(1 if survivors else 0)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _try_detectors(detectors: Iterable[Detector], pristine: Path, jobs: int, progress: Progress) -> list[str]:
    """Run each detector where nothing is wrong: what is not silent there, or does not work."""
    ordered = together(set(detectors), jobs)

    def attempt(detector: Detector) -> Trial:
        return Trial(detector, copy_of_tree.run(detector, pristine, compiles=True))

    trials = _all_at_once(attempt, ordered, jobs, progress, "detectors without a bug")
    return [str(trial) for trial in trials if not trial.is_silent]


def _plant_all(bugs: list[Bug], pristine: Path, jobs: int, progress: Progress) -> list[BugResult]:
    def plant(bug: Bug) -> BugResult:
        return BugResult(bug, copy_of_tree.detect(bug, pristine))

    found = list(_all_at_once(plant, bugs, jobs, progress, "planted bugs"))
    return sorted(found, key=lambda result: bugs.index(result.bug))


def _all_at_once(
    act: Callable[[Given], Found], given: list[Given], jobs: int, progress: Progress, what: str
) -> Iterator[Found]:
    bar, began = progress.add_task(what, total=len(given)), time.perf_counter()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for done, future in enumerate(as_completed([pool.submit(act, each) for each in given]), start=1):
                progress.advance(bar)
                found = future.result()
                if not progress.console.is_terminal:
                    seconds = time.perf_counter() - began
                    left = seconds / done * (len(given) - done)
                    text = f"{what}: {done} of {len(given)}, {seconds:.0f} s, about {left:.0f} s left: {found}"
                    progress.console.print(text, highlight=False, markup=False, soft_wrap=True)
                yield found
        finally:
            pool.shutdown(cancel_futures=True)  # interrupted: only what runs is waited for


def _changed(before: dict[str, str]) -> list[str]:
    """The files of the tree that are not what they were. None of it was done here, which only reads it."""
    after = copy_of_tree.digest()
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _list_of(bugs: list[Bug]) -> Table:
    table = Table("bug", "what follows", "file", "caught by")
    for bug in bugs:
        table.add_row(bug.name, bug.breaks, bug.file, str(bug.caught_by))
    return table


def _table_of(results: list[BugResult]) -> Table:
    table = Table("bug", "caught by", "CPU seconds")
    for result in results:
        by = str(result.bug.caught_by) if result.seen.caught else "SURVIVED"
        table.add_row(result.bug.name, by, f"{result.seen.cpu_seconds:.1f}")
    return table


if __name__ == "__main__":
    typer.run(main)
