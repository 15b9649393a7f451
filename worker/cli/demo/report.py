"""What the demo came to, for people and for programs: summary, reviews, one run's audit trail, the proof."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.padding import Padding
from rich.text import Text

from worker.advice import advice
from worker.cli.commands.runs import events_table, steps_table
from worker.cli.demo.process import LOG_NAME, SETTINGS_NAME
from worker.cli.demo.proof import Check
from worker.cli.demo.view import Progress, listed
from worker.cli.output import cell, fields
from worker.formatting import counted
from worker.ledger.states import Outcome, RunState

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from worker.ledger.views.records import RunDetail, RunItem

_ORDERS_SHOWN: Final = 6


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

    def to_json(self, folder: Path | None) -> dict[str, Any]:
        """The summary as one JSON-able object; `folder` is where everything is kept, if it is."""
        progress, facts = self.progress, self.progress.facts
        return {
            "ok": self.holds,
            "seconds": round(progress.seconds, 1),
            "orders": {"sold": progress.orders, **Counter(order.state for order in facts.orders)},
            "webhooks": dict(progress.webhooks),
            "deliveries": {**facts.deliveries_by_way(), "duplicates": facts.duplicates},
            "runs": dict(facts.runs_by_state()),
            "comped_orders": {"made": progress.comped_orders, "expected": progress.comped_orders_expected},
            "adopted": self.adopted,
            "faults": dict(progress.faults),
            "kills": progress.kills,
            "reviews": _reviews(facts.runs),
            "trail": self.trail,
            "checks": [
                {"claim": check.claim, "holds": check.holds, "disagreements": list(check.disagreements)}
                for check in self.checks
            ],
            "folder": str(folder) if folder else None,
        }


def print_report(console: Console, result: Result, folder: Path | None) -> None:
    """Print all of it, the verdict last; `folder` is where everything is kept, if it is."""
    console.print()
    console.print(_summary(result))
    console.print()
    reviews = _reviews(result.progress.facts.runs)
    if reviews:
        _print_reviews(console, reviews)
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
    progress = result.progress
    states = dict(Counter(order.state for order in progress.facts.orders).most_common())
    rows: list[tuple[str, Text | str | None]] = [
        *progress.counters(),
        ("orders became", listed(states)),
        ("webhooks", listed(progress.webhooks)),
        ("faults survived", "; ".join(progress.faults)),
        ("answers lost", f"{result.adopted} comped orders were made unheard, then found by reference and adopted"),
    ]
    return fields(rows)


def _reviews(runs: Sequence[RunItem]) -> list[dict[str, Any]]:
    """The runs that wait for a person, by reason."""
    waiting = [run for run in runs if run.state == RunState.REVIEW]
    reviews = []
    for reason, count in sorted(Counter(str(run.reason) for run in waiting).items()):
        found = advice(reason)
        reviews.append(
            {
                "reason": reason,
                "orders": sorted({str(run.order_id) for run in waiting if run.reason == reason}),
                "runs": count,
                "meaning": found.sentence if found else None,
                "action": found.action if found else None,
            }
        )
    return reviews


def _print_reviews(console: Console, reviews: Sequence[dict[str, Any]]) -> None:
    """By reason how many and of which orders, below it what that means and what to do, as `status` tells it."""
    console.print(Text("What needs a person", style="bold"))
    for review in reviews:
        orders = ", ".join(review["orders"][:_ORDERS_SHOWN])
        more = len(review["orders"]) - _ORDERS_SHOWN
        line = cell(f"{review['runs']:>4}  ").append_text(cell(review["reason"], "bold yellow"))
        console.print(line.append(f", of {orders} and {more} more" if more > 0 else f", of {orders}"))
        for sentence in (review["meaning"], review["action"]):
            if sentence:
                console.print(Padding(cell(sentence), (0, 0, 0, 6)))
    console.print()
