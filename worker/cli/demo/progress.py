"""How far the demo has come, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.text import Text

from worker.cli.demo.facts import Facts
from worker.cli.output import state_cell
from worker.ledger.states import RunState


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


def listed(counts: dict[str, int], between: str = "") -> str:
    """Counts and what they are of, one after the other."""
    return ", ".join(f"{count}{between} {name}" for name, count in counts.items())
