"""`make bench`: measures everything in one run, against servers of its own, and prints what must hold first.

    python -m benchmarks [--only throughput,costs] [--rounds 3] [--runs 200000] [--memory-runs 1000] [--plot FILE]

Ends with 1 when a line of the table is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import arrivals, costs, growth, processes, slow_destination, throughput
from benchmarks.plot import plot
from benchmarks.product import Backlog
from benchmarks.report import Results, lines, print_table
from benchmarks.target import ROOT, Target
from benchmarks.throughput import Servers
from tests.integration.servers import PostgresServer, RedisServer

MEASURES = ("throughput", "costs", "planning", "slow", "arrivals", "start-up", "memory", "growth")


class Bench:
    """One run of the benchmark: its servers, its backlog, and what it found so far."""

    def __init__(self, servers: Servers, arguments: argparse.Namespace) -> None:
        self.servers, self.arguments = servers, arguments
        self.results: Results = {}
        self._planned: list[float] = []
        self._begun = time.monotonic()

    def run(self) -> None:
        chosen = self.arguments.only.split(",") if self.arguments.only else MEASURES
        memory_runs = self.arguments.memory_runs if "memory" in chosen else 0
        orders = max(1000, memory_runs) if {*chosen} & {"throughput", "costs", "slow", "memory", "planning"} else 0
        if orders:
            self._advance(0, "planning", f"{orders} orders")
            self.backlog = Backlog(self.servers.target, self.servers.postgres, self.servers.broker, orders)
        steps: dict[str, Callable[[Callable[[str], None]], object]] = {
            "throughput": lambda say: throughput.measure(self.servers, self.backlog, self.arguments.rounds, say),
            "costs": lambda _: costs.measure(self.servers, self.backlog),
            "planning": lambda _: self._planning(),
            "slow": lambda _: slow_destination.measure(self.servers, self.backlog),
            "arrivals": lambda say: arrivals.measure(self.servers, say),
            "start-up": lambda _: processes.measure_start_up(self.servers),
            "memory": lambda _: processes.measure_memory(self.servers, self.backlog, memory_runs),
            "growth": lambda say: growth.measure(self.servers, self.arguments.runs, say),
        }
        for number, name in enumerate(chosen):
            share = number / len(chosen)
            self._advance(share, name, "")
            self.results[name] = steps[name](lambda what, share=share, name=name: self._advance(share, name, what))  # type: ignore[misc]
            self._write()  # what was measured stays when a later measure fails
        self._advance(1, "done", "")

    def _write(self) -> None:
        found = {"measured_at": datetime.now(UTC).isoformat(), **self.results}
        self.arguments.json.parent.mkdir(exist_ok=True)
        self.arguments.json.write_text(json.dumps(found, indent=1))
        if self.arguments.plot and "throughput" in self.results:
            self.arguments.plot.write_text(plot(self.results["throughput"]))

    def _planning(self) -> dict[str, float]:
        """Orders a second that a backfill plans in one process, against the runs a second of one solo worker."""
        rates = [self.backlog.planned_per_second]
        for _ in range(self.arguments.rounds - 1):
            again = Backlog(self.servers.target, self.servers.postgres, self.servers.broker, 500)
            rates.append(again.planned_per_second)
        throughput.POOLS["one solo worker"] = (1, "solo", 1)
        runs = [
            throughput.distributed(self.servers, self.backlog, "one solo worker", 300)
            for _ in range(self.arguments.rounds)
        ]
        planned, worked = statistics.median(rates), statistics.median(runs)
        return {"planned_per_second": planned, "runs_per_second": worked, "ratio": planned / worked}

    def _advance(self, share: float, name: str, what: str) -> None:
        """A line that moves on a terminal, and lines elsewhere."""
        done = round(share * 30)
        seconds = time.monotonic() - self._begun
        text = f"{'█' * done}{'░' * (30 - done)} {seconds:4.0f} s  {name}: {what}"
        print(
            f"\r\033[K{text}" if sys.stderr.isatty() else text,
            end="" if sys.stderr.isatty() else "\n",
            file=sys.stderr,
            flush=True,
        )


def main() -> None:
    """Measure, print, write, and say by the exit code whether everything held."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure Cartbridge beside its peers.")
    parser.add_argument("--only", default="", help=f"Some of: {','.join(MEASURES)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=200_000, help="Of the full ledger.")
    parser.add_argument("--memory-runs", type=int, default=1000, help="Of the worker whose growth is measured.")
    parser.add_argument("--json", type=Path, default=ROOT / ".bench" / "bench.json")
    parser.add_argument("--plot", type=Path, help="Where the picture of the throughput is written.")
    arguments = parser.parse_args()
    unknown = {*arguments.only.split(",")} - {*MEASURES, ""}
    if unknown:
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    with Target() as target, PostgresServer(durable=True) as postgres, RedisServer() as broker:
        bench = Bench(Servers(target, postgres, broker), arguments)
        bench.run()
    print_table(bench.results)
    raise SystemExit(any(verdict == "MISSED" for _, _, verdict in lines(bench.results)))


if __name__ == "__main__":
    main()
