"""Races everything that can bring, plan, send or replay an order against everything else, and counts.

    python -m tests.faults.races --trials 500 [--seed N] [--jobs N] [--json FILE]

Exits 1 on any violation, naming its seed. `--trials 1 --seed N` tries that seed again: the same purchase, faults and
jitter, under an interleaving that is the machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.faults.races.batch import engine_of, run_batches
from tests.faults.races.trial import Trial

_SHOWN_VIOLATIONS = 20


def main() -> int:
    """Run the trials; the process's exit code."""
    options = _options()
    began = time.monotonic()
    seeds = range(options.seed, options.seed + options.trials)
    trials: list[Trial] = []
    for _, done in run_batches(seeds, jobs=options.jobs):
        trials += done
        _show_progress(trials, total=options.trials, seconds=time.monotonic() - began)
    report = _report(trials, seconds=time.monotonic() - began)
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    violations = report["violations"]
    for violation in violations[:_SHOWN_VIOLATIONS]:
        _say(f"seed {violation['seed']} ({violation['engine']}): {violation['sentence']}")
    if len(violations) > _SHOWN_VIOLATIONS:
        _say(f"… and {len(violations) - _SHOWN_VIOLATIONS} more")
    _say(
        f"{report['trials']} trials: {report['runs']} runs, {report['comped_orders']} comped orders, "
        f"{report['lost']} lost, {report['doubled']} doubled, worst trial {report['worst_trial_milliseconds']} ms"
    )
    return 1 if violations or len(trials) < options.trials else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.races", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--trials", type=int, default=500, help="how many, each with a seed of its own (500)")
    parser.add_argument("--seed", type=int, default=1, help="the first trial's seed (1)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes that try at a time (one a core)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the report as JSON")
    return parser.parse_args()


def _report(trials: list[Trial], *, seconds: float) -> dict[str, Any]:
    verdicts = [trial.verdict for trial in trials]
    engines = [engine_of(trial.seed) for trial in trials]
    worst = max(trials, key=lambda trial: trial.seconds, default=None)
    return {
        "trials": len(trials),
        "by_engine": {engine: engines.count(engine) for engine in sorted(set(engines))},
        "runs": sum(verdict.runs for verdict in verdicts),
        "comped_orders": sum(verdict.comped_orders for verdict in verdicts),
        "lost": sum(verdict.lost for verdict in verdicts),
        "doubled": sum(verdict.doubled for verdict in verdicts),
        "disturbed": sum(trial.disturbances > 0 for trial in trials),
        "messages": sum(trial.messages for trial in trials),
        "worst_trial_milliseconds": round(worst.seconds * 1000) if worst else 0,
        "worst_trial_seed": worst.seed if worst else None,
        "seconds": round(seconds, 1),
        "violations": [
            {"seed": trial.seed, "engine": engine_of(trial.seed), "sentence": sentence}
            for trial in sorted(trials, key=lambda trial: trial.seed)
            for sentence in trial.verdict.violations
        ],
    }


def _show_progress(trials: list[Trial], *, total: int, seconds: float) -> None:
    """One line that is written over on a terminal, and one a batch elsewhere."""
    failed = sum(bool(trial.verdict.violations) for trial in trials)
    line = f"{len(trials)}/{total} trials in {seconds:.0f} s, {failed} with violations"
    if sys.stderr.isatty():
        line = f"\r{line}" + ("\n" if len(trials) == total else "")
    else:
        line += "\n"
    sys.stderr.write(line)
    sys.stderr.flush()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
