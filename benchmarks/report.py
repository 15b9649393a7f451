"""What was measured, held against what it must be: the table, ratios first, and the file of every number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

Results = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """One line of the table: what is aimed at, and what must hold at least."""

    name: str
    measure: str
    aim: float
    at_least: float
    value: Callable[[Any], float]
    unit: str = ""

    def is_met(self, value: float, limit: float) -> bool:
        """Whether the value is on the limit's better side, which is the aim's."""
        return value >= limit if self.aim > self.at_least else value <= limit


def _ratio(over: str, under: str) -> Callable[[Any], float]:
    return lambda found: float(found["per_second"][over] / found["per_second"][under])


def _of(*path: str) -> Callable[[Any], float]:
    def value(found: Any) -> float:
        for name in path:
            found = found[name]
        return float(found)

    return value


def _growth_percent(found: Any) -> float:
    return float((found["worker_end"] / found["worker_settled"] - 1) * 100)


GOALS = (
    Goal("distributed ÷ Celery chain", "throughput", 1.0, 0.65, _ratio("distributed", "celery chain")),
    Goal("distributed ÷ DBOS", "throughput", 4, 2.5, _ratio("distributed", "dbos")),
    Goal("embedded ÷ DBOS", "throughput", 2, 1.2, _ratio("embedded", "dbos")),
    Goal("round trips to the database a run", "costs", 4, 8, _of("round_trips")),
    Goal("transactions a run", "costs", 3, 3, _of("transactions")),
    Goal("messages a run", "costs", 1, 1, _of("messages")),
    Goal("planned orders/s ÷ runs/s, of a process", "planning", 2, 1.5, _of("ratio")),
    Goal("300 ms a call, 32 slots: share of the ideal rate", "slow", 0.98, 0.95, _of("share")),
    Goal("webhook to first call, 20 orders/s: p50", "arrivals", 20, 40, _of("first call at 20/s", "p50"), unit="ms"),
    Goal("webhook to first call, 20 orders/s: p99", "arrivals", 60, 150, _of("first call at 20/s", "p99"), unit="ms"),
    Goal("webhook acknowledged, 200/s: p99", "arrivals", 15, 40, _of("acknowledged at 200/s", "p99"), unit="ms"),
    *(
        Goal(f"{name} on a full ledger ÷ on one of 10,000 runs", "growth", 1.1, 1.3, _of("ratios", name))
        for name in ("claim", "ingest", "dispatch", "page")
    ),
    Goal("memory of `up`", "memory", 80, 100, _of("up_worked"), unit="MB"),
    Goal("a worker's growth over its runs", "memory", 1, 2, _growth_percent, unit="%"),
    Goal("`cartbridge why` ÷ `python -c pass`", "start-up", 10, 20, _of("why_ratio")),
    Goal("`up` ready", "start-up", 1, 2, _of("up_ready_seconds"), unit="s"),
)
_TOLERANCE = 0.02
"""Of a count a run: what a worker does by the clock and not by the run."""


def lines(results: Results) -> list[tuple[Goal, float, str]]:
    """Each goal whose measure was taken, with its value and `aim`, `ok` or `MISSED`."""
    found = []
    for goal in GOALS:
        if goal.measure in results:
            value = goal.value(results[goal.measure])
            counted = value - _TOLERANCE if goal.measure == "costs" else value
            verdict = "aim" if goal.is_met(counted, goal.aim) else "ok"
            found.append((goal, value, verdict if goal.is_met(counted, goal.at_least) else "MISSED"))
    return found


def print_table(results: Results) -> None:
    """Print the goals, then every rate that stands behind them."""
    table = Table("what", "aim", "at least", "measured", "")
    for goal, value, verdict in lines(results):
        style = "bold red" if verdict == "MISSED" else ""
        table.add_row(
            goal.name, _shown(goal.aim, goal), _shown(goal.at_least, goal), _shown(value, goal), verdict, style=style
        )
    console = Console(width=120)
    console.print(table)
    if "throughput" in results:
        rates = Table("workflows/s", "median", "rounds")
        for name, rounds in results["throughput"]["rounds"].items():
            median = results["throughput"]["per_second"][name]
            rates.add_row(name, f"{median:.0f}", ", ".join(f"{rate:.0f}" for rate in rounds))
        console.print(rates)
        console.print(f"distributed: {results['throughput']['pool']}")


def _shown(value: float, goal: Goal) -> str:
    return f"{value:.3g} {goal.unit}".rstrip()
