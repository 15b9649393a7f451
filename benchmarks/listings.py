"""Runs each listing of the command line on a large ledger, and says how soon its first line comes.

    python benchmarks/listings.py [--runs 1000000] [--times 5] [--limit-seconds 1.0] [--database-url …]

Without a database it starts a PostgreSQL of its own, as the tests do, and fills it. Each is a process of its own, from
its start to the first byte on its standard output. Ends with 1 when any median is over the limit.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import select

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.pages import filled_database
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import runs

ROOT = Path(__file__).resolve().parents[1]


def commands(url: str) -> list[list[str]]:
    """Every listing, and what answers the operator's question, about things that are in this ledger."""
    ledger = Ledger(url)
    with ledger.read() as connection:
        run = connection.execute(select(runs).order_by(runs.c.email_key).offset(1000).limit(1)).one()
    ledger.close()
    return [
        ["status"],
        ["runs", "list"],
        ["runs", "list", "--state", "review"],
        ["runs", "list", "--state", "failed", "--since", "30d"],
        ["runs", "list", "--email", run.email],
        ["runs", "list", "--json"],
        ["runs", "show", run.id],
        ["orders", "list"],
        ["orders", "list", "--source", run.source],
        ["orders", "show", f"{run.source}/{run.order_id}"],
        ["deliveries", "list"],
        ["completions", "list"],
        ["offers", "unmapped"],
        ["why", run.email],
        ["why", f"{run.source}/{run.order_id}"],
    ]


def first_line_seconds(command: list[str], url: str) -> float:
    """From the process's start to its first byte; it is ended then, whatever else it had to say."""
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", "from worker.cli.app import main; main()", *command],
        cwd=ROOT,
        env=os.environ | {"CARTBRIDGE_DATABASE_URL": url, "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        first = process.stdout.read(1) if process.stdout is not None else b""
        took_seconds = time.perf_counter() - begun
        process.kill()
    if not first:
        raise SystemExit(f"cartbridge {' '.join(command)} printed nothing")
    return took_seconds


def main() -> None:
    """Fill, run, print, and say by the exit code whether it was fast enough."""
    parser = argparse.ArgumentParser(description="Measure the command line's listings on a large ledger.")
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--limit-seconds", type=float, default=1.0)
    parser.add_argument("--database-url", default="", help="A ledger that is filled already.")
    arguments = parser.parse_args()
    slow = 0
    table = Table("command", "median s", "max s")
    with filled_database(arguments) as url:
        for command in commands(url):
            took = [first_line_seconds(command, url) for _ in range(arguments.times)]
            median = statistics.median(took)
            is_slow = median > arguments.limit_seconds
            slow += is_slow
            name = f"cartbridge {' '.join(command)}"
            table.add_row(name, f"{median:.2f}", f"{max(took):.2f}", style="bold red" if is_slow else "")
    Console(width=120).print(table)
    print(f"{slow} over {arguments.limit_seconds:g} s")
    raise SystemExit(1 if slow else 0)


if __name__ == "__main__":
    main()
