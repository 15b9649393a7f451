"""What the demo came to, for people and for programs: summary, reviews, one run's audit trail, the proof."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from worker.cli.demo_process import LOG_NAME, SETTINGS_NAME
from worker.cli.demo_proof import Check, attempts_of
from worker.cli.demo_view import marks
from worker.cli.printing import cell, fields, state_cell, table
from worker.formatting import counted
from worker.ledger.states import Outcome, RunState
from workflows.reasons import advice

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from worker.cli.demo_story import Score
    from worker.ledger.shapes import Shape

_ORDERS_SHOWN = 6


@dataclass(frozen=True)
class Result:
    """Everything the demo has to tell at its end. `score.facts` are in full."""

    score: Score
    checks: Sequence[Check]
    trail: Shape | None
    """The run whose audit trail is shown."""

    @property
    def holds(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in self.checks)

    @property
    def adopted(self) -> int:
        """Effects whose answer was lost, and which were found again by their reference."""
        return sum(
            1 for run in self.score.facts.runs for attempt in attempts_of(run) if attempt["outcome"] == Outcome.ADOPTED
        )

    def to_json(self, folder: Path | None) -> dict[str, Any]:
        """The summary as one JSON-able object; `folder` is where everything is kept, if it is."""
        score, facts = self.score, self.score.facts
        return {
            "ok": self.holds,
            "seconds": round(score.seconds, 1),
            "orders": {"sold": score.orders, **Counter(order["state"] for order in facts.orders)},
            "webhooks": dict(score.webhooks),
            "deliveries": {**facts.deliveries_by_way(), "duplicates": facts.duplicates},
            "runs": dict(facts.runs_by_state()),
            "comped_orders": {"made": score.comped_orders, "expected": score.comped_orders_expected},
            "adopted": self.adopted,
            "faults": dict(score.faults),
            "kills": score.kills,
            "reviews": [_review(reason, runs) for reason, runs in _reviews(facts.runs)],
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
    reviews = list(_reviews(result.score.facts.runs))
    if reviews:
        console.print()
        console.print(_reviews_table(reviews))
    if result.trail is not None:
        console.print()
        console.print(_trail_table(result.trail))
    console.print()
    console.print(Text("Proof: LearningCart's own books against the ledger", style="bold"))
    holds, fails = marks(console)
    for check in result.checks:
        sign = Text(f" {holds} ", style="green") if check.holds else Text(f" {fails} ", style="bold red")
        console.print(sign + cell(check.claim))
        for line in check.disagreements:
            console.print(cell(f"     {line}", "red"))
    console.print()
    for sentence in _verdict(result, folder):
        console.print(sentence, soft_wrap=True)


def _verdict(result: Result, folder: Path | None) -> Iterator[Text]:
    if result.holds:
        yield Text(f"Everything agrees, after {result.score.seconds:.1f} s.", style="bold green")
    else:
        wrong = sum(1 for check in result.checks if not check.holds)
        yield Text(f"{counted(wrong, 'claim')} of {len(result.checks)} not proven.", style="bold red")
    if folder is not None:
        yield from kept(folder)


def kept(folder: Path) -> Iterator[Text]:
    """Where everything is, and how to look into it."""
    yield cell(f"Log, ledger, offers and LearningCart's books are kept in {folder} ({LOG_NAME} is what `up` said).")
    yield cell(f"Look into it: cartbridge --env-file {folder / SETTINGS_NAME} runs list")


def _summary(result: Result) -> Table:
    score, facts = result.score, result.score.facts
    orders = Counter(order["state"] for order in facts.orders)
    ways = facts.deliveries_by_way()
    refused, lost = score.webhooks["refused"], score.webhooks["lost"]
    rows: list[tuple[str, Text | str]] = [
        ("orders", f"{score.orders} sold: {_listed(orders)}"),
        ("deliveries", ", ".join(f"{count} by {way}" for way, count in sorted(ways.items()))),
        ("duplicates refused", f"{facts.duplicates} deliveries told nothing new and started nothing"),
        (
            "webhooks",
            f"{score.webhooks['accepted']} accepted, {refused} refused (a stranger's), {lost} lost (nobody was up)",
        ),
        ("runs", _states(facts.runs_by_state())),
        ("comped orders", f"{score.comped_orders} in LearningCart's books, {score.comped_orders_expected} sold"),
        ("faults survived", f"{score.faults_hit} of {len(score.faults)}: {'; '.join(score.faults)}"),
        ("answers lost", f"{result.adopted} comped orders were made unheard, then found by reference and adopted"),
        ("kills survived", f"{score.kills} (SIGKILL while a call was under way)"),
    ]
    return fields([(name, cell(value) if isinstance(value, str) else value) for name, value in rows])


def _states(states: Counter[str]) -> Text:
    shown = [Text.assemble(f"{states[state]} ", state_cell(state)) for state in RunState if states[state]]
    return Text(", ").join(shown)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def _reviews(runs: Sequence[Shape]) -> Iterator[tuple[str, list[Shape]]]:
    """The runs that wait for a person, by reason."""
    waiting = [run for run in runs if run["state"] == RunState.REVIEW]
    for reason in sorted({str(run["reason"]) for run in waiting}):
        yield reason, [run for run in waiting if run["reason"] == reason]


def _review(reason: str, runs: list[Shape]) -> dict[str, Any]:
    found = advice(reason)
    return {
        "reason": reason,
        "orders": sorted({run["order_id"] for run in runs}),
        "runs": len(runs),
        "meaning": found.sentence if found else None,
        "action": found.action if found else None,
    }


def _reviews_table(reviews: Sequence[tuple[str, list[Shape]]]) -> Table:
    rows = []
    for reason, runs in reviews:
        review = _review(reason, runs)
        orders = review["orders"]
        more = f" and {len(orders) - _ORDERS_SHOWN} more" if len(orders) > _ORDERS_SHOWN else ""
        rows.append(
            [
                cell(reason, "bold yellow"),
                cell(len(runs)),
                cell(", ".join(orders[:_ORDERS_SHOWN]) + more),
                cell(review["meaning"]),
                cell(review["action"], "bold"),
            ]
        )
    headings = ("reason", "runs", "orders", "what it means", "what to do")
    return table(headings, rows, wrapped=("orders", "what it means", "what to do"), title="What needs a person")


def _trail_table(run: Shape) -> Table:
    """A run's events and attempts in one, by time."""
    lines = [
        (
            datetime.fromisoformat(event["at"]),
            0,
            [cell(event["kind"]), cell(f"by {event['actor']}"), cell(_said(event["reason"]))],
        )
        for event in run["events"]
    ]
    lines += [
        (
            datetime.fromisoformat(attempt["started_at"]),
            1,
            [
                cell(f"  {attempt['step']}" + (" (lookup)" if attempt["kind"] == "lookup" else "")),
                state_cell(attempt["outcome"] or "open"),
                cell(_happened(attempt)),
            ],
        )
        for attempt in attempts_of(run)
    ]
    lines.sort(key=lambda line: line[:2])
    began_at = lines[0][0]
    rows = [[cell(f"{(at - began_at).total_seconds():+.2f} s"), *cells] for at, _, cells in lines]
    title = f"Audit trail of run {run['id']}: order {run['order_id']}, {run['email']}, price {run['grant']['price_id']}"
    return table(("when", "what", "outcome", "what happened"), rows, wrapped=("what happened",), title=title)


def _happened(attempt: dict[str, Any]) -> str:
    parts = [
        attempt["error"],
        f"LearningCart order {attempt['result_id']}" if attempt["result_id"] else None,
        f"under {attempt['reference']}" if attempt["reference"] and attempt["kind"] == "call" else None,
    ]
    return ", ".join(part for part in parts if part)


def _said(reason: str | None) -> str:
    found = advice(reason)
    return found.sentence if found else reason or ""
