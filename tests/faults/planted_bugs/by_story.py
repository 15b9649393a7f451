"""Detects by simulated stories: `python -m tests.faults.planted_bugs.by_story seeds 50`, or `… kills "webhook" "…"`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from tests.faults.crash_points.crash_run import CrashRun, scenario_named
from tests.faults.planted_bugs.detecting import tell
from tests.faults.simulation.simulator import be_silent, play
from tests.faults.simulation.world import FreshLedger


def play_seeds(seeds: int) -> str:
    """What the first failing seed violates; empty if none fails."""
    with FreshLedger() as fresh:
        fresh.observe()
        for seed in range(1, seeds + 1):
            played = play(fresh, seed)
            if not played.ok:
                return f"seed {seed}: {'; '.join(played.violations)}"
    return ""


def run_kills(scenario_name: str, at: str) -> str:
    """What is wrong with the first telling that ends badly; empty if all end well."""
    with FreshLedger() as fresh:
        for trial in _tellings(fresh, scenario_name, at):
            result = trial.run()
            if not result.ok:
                return str(result)
    return ""


def _tellings(fresh: FreshLedger, scenario_name: str, at: str) -> Iterator[CrashRun]:
    """Undisturbed, and then killed wherever that came to `at`, with both fates of a killed worker's message."""
    scenario = scenario_named(scenario_name)
    yield CrashRun(fresh, scenario)
    undisturbed = CrashRun(fresh, scenario)  # the first one leaves a first sweep behind for all that follow
    yield undisturbed
    places = [number for number, boundary in enumerate(undisturbed.result.reached) if str(boundary) == at]
    if at and not places:
        raise LookupError(f"“{scenario_name}” never comes to {at}")
    for number in places:
        for redelivers in (False, True):
            yield CrashRun(fresh, scenario, [number], redelivers=redelivers)


def main(kind: str, *arguments: str) -> int:
    """Look in one of two ways."""
    be_silent()
    if kind == "seeds":
        return tell(lambda: play_seeds(int(arguments[0])))
    return tell(lambda: run_kills(*arguments))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
