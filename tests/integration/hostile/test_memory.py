"""61 KiB of gzip, and documents that are deep or wide, from a vendor: a process of 512 MiB outlives many at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_a_small_process_is_alive_when_every_vendor_answers_with_bombs() -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("bombed_process.py"))],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "alive after 130 calls of 13 kinds", done.stdout
