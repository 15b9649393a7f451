"""The command: `python -m tests.faults.chaos --minutes 3 [--seed N] [--json FILE]`."""

from __future__ import annotations

import argparse
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.faults.chaos.external_systems import OutsideError
from tests.faults.chaos.report import Outcome, View, print_outcome
from tests.faults.chaos.scenario import HarnessError, Story
from tests.integration.servers import ServerUnavailableError

INTERRUPTED = 130


def main() -> int:
    """Run it. 0: nothing lost, nothing doubled that could be prevented, all settled; 1: not so; 130: interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="how long something breaks every few seconds")
    parser.add_argument("--seed", type=int, default=None, help="decides what is sold and what breaks, not its timing")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write every count there")
    parser.add_argument(
        "--without", action="append", default=[], metavar="KIND", help="leave a kind of disturbance out: 'FLUSHALL'"
    )
    parser.add_argument("--keep", action="store_true", help="keep the logs of a good run too")
    arguments = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="cartbridge-chaos-"))
    view = View(console)
    outcome: Outcome | None = None
    is_interrupted = False
    try:
        outcome = Story(arguments.minutes, seed, folder, view, frozenset(arguments.without)).run()
    except KeyboardInterrupt:
        is_interrupted = True
    except (HarnessError, OutsideError, ServerUnavailableError) as error:
        view.close()
        console.print(f"chaos could not be run to its end: {error}", style="bold red", markup=False)
    finally:
        view.close()
    if outcome is not None:
        print_outcome(console, outcome)
        if arguments.json is not None:
            outcome.write_json(arguments.json)
    is_good = outcome is not None and outcome.is_good
    if (is_good or is_interrupted) and not arguments.keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        console.print(f"seed {seed}; the logs and the books are in {folder}", markup=False, soft_wrap=True)
    if is_interrupted:
        return INTERRUPTED
    return 0 if is_good else 1


def _interrupt(*_: object) -> None:
    """End it once: a second Ctrl-C must not keep the first from tidying up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
