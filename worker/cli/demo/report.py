"""What the demo came to, for people and for programs: summary, reviews, one run's audit trail, the proof."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from worker.cli.commands.runs import events_table, steps_table
from worker.cli.commands.status import print_needs
from worker.cli.demo.process import LOG_NAME, SETTINGS_NAME
from worker.cli.demo.proof import Check
from worker.cli.demo.scenario import Progress
from worker.cli.output import cell, fields
from worker.formatting import counted
from worker.ledger.states import Outcome

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from worker.ledger.views.details import RunDetail


@dataclass(frozen=True)
class Result:
    """Everything the demo has to say at its end. `progress.facts` are in full."""

    progress: Progress
    checks: Sequence[Check]
    trail: RunDetail | None
    """The run whose audit trail is shown."""

    @property
    def holds(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in self.checks)

    @property
    def adopted(self) -> int:
        """Effects whose answer was lost, and which were found again by their reference."""
        steps = [step for run in self.progress.facts.details for step in run.steps]
        return sum(attempt.outcome == Outcome.ADOPTED for step in steps for attempt in step.attempts)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """How many there were of everything that is counted, by what became of them."""
        progress, facts = self.progress, self.progress.facts
        return {
            "orders": {"sold": progress.orders, **Counter(order.state for order in facts.orders)},
            "webhooks": progress.webhooks,
            "deliveries": {**facts.deliveries_by_way(), "duplicates": facts.duplicates},
            "runs": facts.runs_by_state(),
            "comped_orders": {"made": progress.comped_orders, "expected": progress.comped_orders_expected},
        }

    def to_json(self, folder: Path | None) -> dict[str, Any]:
        """The summary as one JSON-able object; `folder` is where everything is kept, if it is."""
        return {
            "ok": self.holds,
            "seconds": round(self.progress.seconds, 1),
            **self.counts,
            "adopted": self.adopted,
            "faults": self.progress.faults,
            "kills": self.progress.kills,
            "reviews": self.progress.facts.reviews,
            "trail": self.trail,
            "checks": [{**asdict(check), "holds": check.holds} for check in self.checks],
            "folder": str(folder) if folder else None,
        }


def print_report(console: Console, result: Result, folder: Path | None) -> None:
    """Print all of it, the verdict last; `folder` is where everything is kept, if it is."""
    console.print()
    console.print(_summary(result))
    if result.progress.facts.reviews:
        print_needs(console, reviews=result.progress.facts.reviews)
    console.print()
    if result.trail is not None:
        run = result.trail
        about = f"order {run.order_id}, {run.email}, price {run.price_id}"
        console.print(cell(f"Run {run.id}: {about}", "bold"))
        console.print(steps_table(run), events_table(run.events))
    console.print(Text("Proof: LearningCart's own books against the ledger", style="bold"))
    holds, fails = ("ok", "NO") if console.options.ascii_only else ("✓", "✗")
    for check in result.checks:
        sign = Text(f" {holds} ", style="green") if check.holds else Text(f" {fails} ", style="bold red")
        console.print(sign + cell(check.claim))
        for line in check.disagreements:
            console.print(cell(f"     {line}", "red"))
    console.print()
    wrong = sum(not check.holds for check in result.checks)
    if wrong:
        console.print(Text(f"{counted(wrong, 'claim')} of {len(result.checks)} not proven.", style="bold red"))
    else:
        console.print(Text(f"Everything agrees, after {result.progress.seconds:.1f} s.", style="bold green"))
    for sentence in where_kept(folder) if folder is not None else ():
        console.print(cell(sentence), soft_wrap=True)


def where_kept(folder: Path) -> Iterator[str]:
    """Where everything is, and how to look into it."""
    yield f"Log, ledger, offers and LearningCart's books are kept in {folder} ({LOG_NAME} is what `up` said)."
    yield f"Look into it: cartbridge --env-file {folder / SETTINGS_NAME} runs list"


def _summary(result: Result) -> Table:
    counted_rows = (
        (name.replace("_", " "), ", ".join(f"{count} {what}" for what, count in counts.items()))
        for name, counts in result.counts.items()
    )
    lost = f"{result.adopted} comped orders were made unheard, then found by reference and adopted"
    return fields([*counted_rows, ("faults survived", "; ".join(result.progress.faults)), ("answers lost", lost)])
