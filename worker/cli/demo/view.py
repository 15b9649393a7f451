"""How the demo's progress is shown: lines for what happens, and how things stand below them on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from worker.cli.demo.facts import Facts
from worker.cli.output import fields, state_cell
from worker.ledger.states import RunState

_LINE_EVERY_SECONDS: Final = 3.0


@dataclass
class Progress:
    """What has been done so far, and what came of it."""

    seconds: float = 0.0
    orders: int = 0
    orders_planned: int = 0
    """How many orders the demo will sell in all."""
    webhooks: Counter[str] = field(default_factory=Counter)
    """Sent webhooks by what became of them: `accepted`, `refused` (a stranger's), `lost` (nobody listened)."""
    comped_orders: int = 0
    comped_orders_expected: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    """How many requests each planned fault has hit, by its name."""
    kills: int = 0
    facts: Facts = field(default_factory=Facts)

    @property
    def faults_hit(self) -> int:
        """How many of the planned faults took place."""
        return sum(1 for hits in self.faults.values() if hits)

    def counters(self) -> Iterator[tuple[str, Text | str]]:
        """How things stand, by name."""
        yield "orders", f"{self.orders} of {self.orders_planned} sold"
        yield "deliveries", listed(self.facts.deliveries_by_way(), " by") or "0"
        yield "duplicates", f"{self.facts.duplicates} told nothing new and started nothing"
        states = self.facts.runs_by_state()
        shown = [Text.assemble(f"{states[state]} ", state_cell(state)) for state in RunState if states[state]]
        yield "runs", Text(", ").join(shown)
        yield "comped orders", f"{self.comped_orders} of {self.comped_orders_expected} in LearningCart's books"
        yield "faults", f"{self.faults_hit} of {len(self.faults)} have struck"
        yield "kills", f"{self.kills} by SIGKILL, while a call was under way"


class View:
    """Shows the progress on one console. Close it before anything else is printed there."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: tuple[float, str] = (0.0, "")
        # Drawn by us alone: no thread of Rich's shares the scenario's state.
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        if self._live is not None:
            self._live.start()

    def say(self, text: str, seconds: float, style: str = "") -> None:
        """Show that something happened, so long after the beginning."""
        self._console.print(Text(f"{seconds:5.1f} s  {text}", style=style))

    def update(self, progress: Progress) -> None:
        """Show how things stand: drawn anew on a terminal; elsewhere a line, where something changed, now and then."""
        if self._live is not None:
            rows: list[tuple[str, Text | str | None]] = [("time", f"{progress.seconds:.1f} s"), *progress.counters()]
            self._live.update(fields(rows), refresh=True)
        elif progress.seconds - self._shown[0] >= _LINE_EVERY_SECONDS:
            text = ", ".join(f"{name} {value}" for name, value in progress.counters())
            if text != self._shown[1]:
                self._shown = (progress.seconds, text)
                self.say(f"    {text}", progress.seconds, "dim")

    def close(self) -> None:
        """Take away what moves. Safe to repeat."""
        if self._live is not None:
            self._live.stop()


def listed(counts: dict[str, int], between: str = "") -> str:
    """Counts and what they are of, one after the other."""
    return ", ".join(f"{count}{between} {name}" for name, count in counts.items())
