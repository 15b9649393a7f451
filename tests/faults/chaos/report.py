"""How a chaos run is shown: its progress while it lasts, and the table and the JSON of what it came to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tests.faults.chaos.log_reading import LogReading
from tests.faults.chaos.verdict import ChaosVerdict, percentile

_LINE_EVERY_SECONDS = 10.0
_SHOWN = 20


@dataclass
class Standing:
    """How far the run is."""

    seconds: float = 0.0
    minutes: float = 0.0
    phase: str = "starting"
    sold: int = 0
    comped: int = 0
    runs: Counter[str] = field(default_factory=Counter)
    disturbances: int = 0
    last: str = "none yet"
    ledger_is_away: bool = False

    @property
    def rows(self) -> dict[str, str]:
        runs = ", ".join(f"{count} {state}" for state, count in sorted(self.runs.items())) or "none"
        return {
            "orders sold": str(self.sold),
            "comped orders": str(self.comped),
            "runs": "the ledger is away" if self.ledger_is_away else runs,
            "disturbances": f"{self.disturbances}, last: {self.last}",
        }


class View:
    """Draws the standing on a terminal, and says a line now and then everywhere else. Close it before printing."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._standing = Standing()
        self._reported_at = -_LINE_EVERY_SECONDS
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(console=console, auto_refresh=False, get_renderable=self._picture)
            self._live.start()

    def update(self, standing: Standing) -> None:
        """Show how it stands."""
        self._standing = standing
        if self._live is not None:
            self._live.refresh()
        elif standing.seconds - self._reported_at >= _LINE_EVERY_SECONDS:
            self._reported_at = standing.seconds
            reported = "; ".join(f"{name} {value}" for name, value in standing.rows.items())
            self._console.print(Text(f"{standing.seconds:5.0f} s  {standing.phase}: {reported}"), soft_wrap=True)

    def close(self) -> None:
        """Leave the last picture standing; harmless when closed."""
        if self._live is not None:
            self._live.stop()

    def _picture(self) -> Table:
        standing = self._standing
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="ellipsis", no_wrap=True)
        heading = f"{standing.phase}, {standing.seconds:.0f} s ({standing.minutes:g} min of disturbances)"
        table.add_row(Text("chaos", style="bold"), Text(heading, style="bold cyan"))
        for name, value in standing.rows.items():
            table.add_row(name, value)
        return table


@dataclass
class Outcome:
    """What a chaos run came to."""

    minutes: float
    seed: int
    orders: int
    kinds: Counter[str]
    webhooks: Counter[str]
    disturbances: Counter[str]
    starts: int
    ended_by_themselves: Counter[str]
    stopped: Counter[str]
    full_disk_exits: Counter[str]
    verdict: ChaosVerdict
    logs: LogReading
    is_settled: bool
    settle_seconds: float
    """From the end of the disturbances until everything was settled."""
    unsettled: list[str]
    """What was not, when the wait was given up."""
    problems: list[str]
    """What went wrong with the run itself."""

    @property
    def wrong(self) -> dict[str, list[str]]:
        """What must be empty, by name."""
        return self.verdict.wrong | {
            "unsettled": self.unsettled,
            "leaks": self.logs.leaks,
            "unexpected tracebacks": [f"{count} × {what}" for what, count in sorted(self.logs.unexpected.items())],
            "problems": self.problems,
        }

    @property
    def is_good(self) -> bool:
        return self.is_settled and not any(self.wrong.values())

    def shape(self) -> dict[str, Any]:
        """As JSON, every count of it."""
        verdict = self.verdict
        return {
            "ok": self.is_good,
            "minutes": self.minutes,
            "seed": self.seed,
            "orders": self.orders,
            "seats": verdict.seats,
            "comped": verdict.comped,
            "doubled_by_thaw": len(verdict.by_thaw),
            "failed": len(verdict.failed),
            "settled": self.is_settled,
            "settle_seconds": round(self.settle_seconds, 1),
            **{name.replace(" ", "_"): len(found) for name, found in self.wrong.items()},
            "access_seconds": _percentiles(verdict.access_seconds),
            "recovery_seconds": _percentiles(verdict.recovery_seconds) | {"runs": len(verdict.recovery_seconds)},
            "parked": dict(sorted(verdict.parked.items())),
            "disturbances": dict(sorted(self.disturbances.items())),
            "orders_by_kind": dict(sorted(self.kinds.items())),
            "webhooks": dict(sorted(self.webhooks.items())),
            "process_starts": self.starts,
            "ended_by_themselves": dict(sorted(self.ended_by_themselves.items())),
            "stopped": dict(sorted(self.stopped.items())),
            "full_disk_exits": dict(sorted(self.full_disk_exits.items())),
            "expected_tracebacks": dict(sorted(self.logs.expected.items())),
            "log_lines": self.logs.lines,
        }

    def write_json(self, path: Path) -> None:
        path.write_text(json.dumps(self.shape(), indent=2) + "\n", encoding="utf-8")


def _percentiles(ordered: list[float]) -> dict[str, float | None]:
    found = {"p50": percentile(ordered, 50), "p99": percentile(ordered, 99), "max": percentile(ordered, 100)}
    return {name: None if value is None else round(value, 2) for name, value in found.items()}


def print_outcome(console: Console, outcome: Outcome) -> None:
    """The summary, what is wrong in full, and last one line for programs."""
    verdict = outcome.verdict
    table = Table("", "chaos", show_edge=False)
    table.add_row("minutes, seed", f"{outcome.minutes:g}, {outcome.seed}")
    table.add_row("orders sold", f"{outcome.orders}: {_listing(outcome.kinds)}")
    table.add_row("webhooks", _listing(outcome.webhooks))
    table.add_row("disturbances", f"{outcome.disturbances.total()}: {_listing(outcome.disturbances)}")
    table.add_row("processes", f"{outcome.starts} starts; ended by themselves: {_listing(outcome.ended_by_themselves)}")
    table.add_row(
        "asked to stop", f"{_listing(outcome.stopped)}; with a full disk: {_listing(outcome.full_disk_exits)}"
    )
    table.add_row("paid seats", f"{verdict.seats}, of which {verdict.comped} have their comped order")
    table.add_row("parked, by reason", _listing(verdict.parked))
    table.add_row("doubled by a thawed process", f"{len(verdict.by_thaw)}, undetected {len(verdict.undetected)}")
    table.add_row("sale to access", _percentile_text(verdict.access_seconds))
    table.add_row(
        "first failure to success",
        f"{_percentile_text(verdict.recovery_seconds)}, {len(verdict.recovery_seconds)} runs hit",
    )
    table.add_row("settled after", f"{outcome.settle_seconds:.0f} s" if outcome.is_settled else "never")
    table.add_row("tracebacks expected", _listing(outcome.logs.expected))
    for name, found in outcome.wrong.items():
        table.add_row(name, Text(str(len(found)), style="bold red" if found else "green"))
    console.print(table)
    for name, found in ({"failed runs": verdict.failed, "doubled by a thaw": verdict.by_thaw} | outcome.wrong).items():
        for line in found[:_SHOWN]:
            console.print(Text(f"{name}: {line}"), soft_wrap=True)
        if len(found) > _SHOWN:
            console.print(Text(f"{name}: and {len(found) - _SHOWN} more"))
    shape = outcome.shape()
    counts = " ".join(f"{name}={shape[name]}" for name in ("minutes", "seed", "orders", "seats", "lost", "doubled"))
    more = f"doubled_by_thaw={shape['doubled_by_thaw']} undetected={shape['undetected']} settled={shape['settled']}"
    console.print(Text(f"chaos: {'ok' if outcome.is_good else 'FAILED'} {counts} {more}"), soft_wrap=True)


def _percentile_text(ordered: list[float]) -> str:
    found = _percentiles(ordered)
    return ", ".join(f"{name} {value:.1f} s" for name, value in found.items() if value is not None) or "none"


def _listing(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "none"
