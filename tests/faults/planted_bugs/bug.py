"""What a planted bug is, and what may catch it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SIMULATED_SEEDS = 250
"""Enough for every bug that is left to the simulation, several times over for most."""


@dataclass(frozen=True)
class Simulated:
    """The simulation: its seeds from the first on, until one fails."""

    seeds: int = SIMULATED_SEEDS

    def arguments(self) -> list[str]:
        return ["tests.faults.planted_bugs.by_story", "seeds", str(self.seeds)]

    def __str__(self) -> str:
        return "simulation"


@dataclass(frozen=True)
class Killed:
    """One scenario of the crash tellings: undisturbed, then killed at each boundary that is called `at`."""

    scenario: str
    at: str = ""
    """As `Boundary` prints it. Empty: it is told undisturbed alone."""

    def arguments(self) -> list[str]:
        return ["tests.faults.planted_bugs.by_story", "kills", self.scenario, self.at]

    def __str__(self) -> str:
        return f"crash telling “{self.scenario}”"


@dataclass(frozen=True)
class ByTest:
    """One test, by its path and name."""

    name: str

    def arguments(self) -> list[str]:
        return ["tests.faults.planted_bugs.by_test", self.name]

    def __str__(self) -> str:
        return self.name.partition("[")[0]


@dataclass(frozen=True)
class ByTests:
    """Many tests in one process, which is begun once: where no bug is planted, all of them are silent."""

    names: tuple[str, ...]

    def arguments(self) -> list[str]:
        return ["tests.faults.planted_bugs.by_test", *self.names]

    def __str__(self) -> str:
        return f"{len(self.names)} tests"


Detector = Simulated | Killed | ByTest | ByTests


def together(detectors: Iterable[Detector], groups: int) -> list[Detector]:
    """The same detectors, the tests among them in so many groups: a process's start takes longer than most tests."""
    tests = sorted(each.name for each in detectors if isinstance(each, ByTest))
    others: list[Detector] = sorted((each for each in detectors if not isinstance(each, ByTest)), key=str)
    return others + [ByTests(tuple(tests[number::groups])) for number in range(min(groups, len(tests)))]


@dataclass(frozen=True)
class Bug:
    """A change of a line or two that loses, doubles or wedges. `before` occurs exactly once in `file`."""

    name: str
    breaks: str
    """What follows from it, in a sentence."""
    file: str
    before: str
    after: str
    caught_by: Detector

    def plant(self, tree: Path) -> None:
        """Write it into a copy of the tree. Raises `BugDoesNotApplyError`, and then writes nothing."""
        target = tree / self.file
        target.write_text(self.planted(target.read_text(encoding="utf-8")), encoding="utf-8")

    def planted(self, source: str) -> str:
        """The source of `file` with the bug in it. Raises `BugDoesNotApplyError`."""
        found = source.count(self.before)
        if found != 1:
            raise BugDoesNotApplyError(f"{self.name}: its place occurs {found} times in {self.file}")
        return source.replace(self.before, self.after)


class BugDoesNotApplyError(Exception):
    """The source has changed so that a bug's place is not there, or not once: the table must follow it."""
