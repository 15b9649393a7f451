"""Starts the product under a clock that goes wrong: `python -m tests.faults.chaos.skewed_clock SECONDS COMMAND…`."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Any, cast

from tasks import runtime
from worker.cli.app import main


def shift_clock(seconds: float) -> None:
    """Have every `Runtime` of this process, and of its forks, tell the time so many seconds off."""
    honest = runtime.utc_now
    shift = timedelta(seconds=seconds)

    def shifted() -> datetime:
        return honest() + shift

    runtime.utc_now = shifted
    # A default is bound when its function is made: replacing the name alone would not change it. None is looked up.
    defaults = cast("Any", runtime.Runtime.__init__).__kwdefaults__
    if defaults.get("clock") not in {None, honest}:
        raise SystemExit("Runtime does not take its clock from utc_now any more: nothing would be skewed")
    if defaults["clock"] is honest:
        defaults["clock"] = shifted


if __name__ == "__main__":
    shift_clock(float(sys.argv.pop(1)))
    sys.argv[0] = "cartbridge"
    main()
