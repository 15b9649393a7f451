"""Starts the product under a clock that goes wrong: `python -m tests.faults.chaos.skewed_clock SECONDS COMMAND…`."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Any, cast

from tasks import runtime
from worker.cli.app import main
from worker.ledger.clock import utc_now


def shift_clock(seconds: float) -> None:
    """Have every `Runtime` of this process, and of its forks, tell the time so many seconds off."""
    shift = timedelta(seconds=seconds)

    def shifted() -> datetime:
        return utc_now() + shift

    setattr(runtime, "utc_now", shifted)  # noqa: B010  (mypy refuses the plain way)
    # A default is bound when its function is made: replacing the name alone would not change it. None is looked up.
    defaults = cast("Any", runtime.Runtime.__init__).__kwdefaults__
    if defaults.get("clock") not in {None, utc_now}:
        raise SystemExit("Runtime does not take its clock from utc_now any more: nothing would be skewed")
    if defaults["clock"] is utc_now:
        defaults["clock"] = shifted


if __name__ == "__main__":
    shift_clock(float(sys.argv.pop(1)))
    sys.argv[0] = "cartbridge"
    main()
