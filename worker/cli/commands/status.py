"""`cartbridge status`: the state of the whole on one screen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from worker.cli.arguments import AsJson
from worker.cli.context import opening_of
from worker.cli.output import STATE_STYLES, cell, console, print_json, table, warn_of_offers
from worker.formatting import ago, clock, counted, duration, plain_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from worker.ledger.follow_on.completions import CompletionsPoll
    from worker.ledger.outbox import OutboxCounts
    from worker.ledger.views.overview import ReasonCount, SourceItem, Status


def status_command(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what is done, what waits, what needs a person, and how the sources are doing."""
    from worker.ledger.views.overview import status
    from worker.ledger.views.writable import why_unwritable
    from workflows.planning.offers_problem import offers_problem

    opening = opening_of(context)
    with opening.reading() as connection:
        settings = opening.settings
        found = status(
            connection,
            datetime.now(UTC),
            webhook_sources=settings.webhook_sources(),
            offers_problem=offers_problem(connection, settings.offers_file),
        )
        unwritable = why_unwritable(connection, opening.ledger_path)
    if as_json:
        print_json(found)
    else:
        if found.offers_problem:
            warn_of_offers(found.offers_problem)
        if unwritable:
            console().print(cell(f"The ledger takes no writes: {unwritable}. See: cartbridge check", "bold red"))
        _print_status(found)
        _print_unasked(found, {name: each.poll_seconds for name, each in settings.sources().items()})


def _print_status(found: Status) -> None:
    from rich.table import Table

    out = console()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    grid.add_row("runs", _counts(found.runs))
    grid.add_row("orders", _counts(found.orders))
    grid.add_row("deliveries", _counts(found.deliveries))
    grid.add_row("due", _due(found))
    if found.completions:
        grid.add_row("completions", _completions(found.completions))
    if found.outbox.pending or found.outbox.failed:
        grid.add_row("events", _events(found.outbox))
    out.print(grid)
    for pause in found.pauses:
        why = f": {pause.reason}" if pause.reason else ""
        out.print(cell(f"{pause.system} is paused since {ago(pause.since)}, by {pause.actor}{why}", "bold red"))
        out.print(cell(f"  go on with: cartbridge resume {pause.system}"))
    for breaker in found.breakers:
        out.print(cell(breaker.sentence, "bold red"))
        out.print(cell(f"  it is asked at once by: cartbridge resume {breaker.system}"))
    _print_polls(found)
    if found.reviews or found.failures or found.delivery_reviews:
        print_needs(out, failures=found.failures, reviews=found.reviews, delivery_reviews=found.delivery_reviews)
    else:
        out.print(cell("Nothing needs a person.", "green"))
    if found.sources:
        out.print()
        out.print(_sources_table(found.sources))
        for source in found.sources:
            if source.last_error:
                out.print(cell(f"{source.source}, last error: {plain_error(source.last_error)}", "red"))


def _print_polls(found: Status) -> None:
    """What is wrong with the polls of sources and of the lists that assist them."""
    out = console()
    for source in found.sources:
        if source.late_since:
            out.print(cell(f"No poll of {source.source} has succeeded since {ago(source.late_since)}", "bold red"))
            out.print(cell("  see: cartbridge check"))
        elif source.failures and source.last_error:
            out.print(cell(f"The last poll of {source.source} failed; its orders may not all be seen", "bold yellow"))
            out.print(cell("  see the last error below, and: cartbridge check"))
        if source.silent_since:
            quiet = f"No new order from {source.source} since {ago(source.silent_since)}: unusually long"
            out.print(cell(quiet, "bold yellow"))
    for each in found.lists:
        if each.failures:
            out.print(
                cell(f"The {each.list} of {each.source} cannot be read: {plain_error(each.last_error)}", "bold yellow")
            )


def _print_unasked(found: Status, poll_seconds: Mapping[str, float]) -> None:
    """The sources that nobody asks any more. A task of beat's calls them late, and beat may be what stands."""
    from workflows.monitoring.source_health import MISSED_INTERVALS

    paused = {pause.system for pause in found.pauses}
    for source in found.sources:
        seconds = 0.0 if source.source in paused else poll_seconds.get(source.source, 0.0)
        asked_at = source.last_attempt_at
        if seconds and asked_at and (found.at - asked_at).total_seconds() > MISSED_INTERVALS * seconds:
            line = (
                f"Nobody has asked {source.source} since {ago(asked_at)}: do beat and a worker run, or `cartbridge up`?"
            )
            console().print(cell(line, "bold red"))


def _counts(counts: dict[str, int]) -> Text:
    from rich.text import Text

    parts = [cell(f"{count} {state}", STATE_STYLES.get(state, "")) for state, count in counts.items() if count]
    return Text("  ").join(parts) if parts else cell("none", "dim")


def _due(found: Status) -> Text:
    from worker.settings.settings import SENT_TO

    parts = []
    for what, due in (("runs", found.due), ("deliveries", found.due_deliveries)):
        if due.count:
            parts.append(f"{what}: {due.count}, the oldest for {duration(due.oldest_age_seconds or 0)}")
    late = any((due.oldest_age_seconds or 0) > 60 for due in (found.due, found.due_deliveries))
    is_held_up = found.breakers or any(pause.system in SENT_TO for pause in found.pauses)
    hint = " (is a worker running?)" if late and not is_held_up else ""
    return cell("; ".join(parts) + hint if parts else "nothing", "yellow" if late else "")


def _completions(poll: CompletionsPoll) -> Text:
    text = f"last read {ago(poll.last_success_at) or 'never'}, last tried {ago(poll.last_attempt_at)}"
    if poll.unreadable:
        text += f"; {poll.unreadable} without a learner or a course"
    if poll.last_error:
        text += f"; {plain_error(poll.last_error)}"
    return cell(text, "red" if poll.last_error else "")


def _events(outbox: OutboxCounts) -> Text:
    parts = []
    if outbox.pending:
        parts.append(f"{outbox.pending} to be sent, the oldest from {ago(outbox.oldest_at)}")
    if outbox.failed:
        parts.append(f"{outbox.failed} given up")
    return cell("; ".join(parts), "red" if outbox.failed else "")


def _of_orders(row: ReasonCount, what: str) -> str:
    """Of how many orders, where those are fewer: a question about an order is one question."""
    is_of_runs = what != "delivery" and 0 < row.orders < row.count
    return f", of {counted(row.orders, 'order')}" if is_of_runs else ""


def print_needs(
    out: Console,
    *,
    failures: Iterable[ReasonCount] = (),
    reviews: Iterable[ReasonCount],
    delivery_reviews: Iterable[ReasonCount] = (),
) -> None:
    """What needs a person: what and how many in one line, below it what that means and what to do."""
    from rich.padding import Padding

    out.print(cell("\nNeeds a person", "bold"))
    for counts, what, style in (
        (failures, "failed", "bold red"),
        (reviews, "review", "bold yellow"),
        (delivery_reviews, "delivery", "bold yellow"),
    ):
        for row in counts:
            line = cell(f"{row.count:>4}  ").append_text(cell(f"{what}: {row.reason or 'no reason'}", style))
            out.print(line.append_text(cell(f"{_of_orders(row, what)}, oldest {ago(row.oldest_at)}", "dim")))
            for sentence in (row.advice, row.action):
                if sentence:
                    out.print(Padding(cell(sentence), (0, 0, 0, 6)))


def _sources_table(sources: list[SourceItem]) -> Table:
    rows = [
        [
            cell(source.source, "red" if source.last_error else "green"),
            cell(ago(source.last_success_at) or "never"),
            cell(ago(source.last_attempt_at) or "never"),
            cell(source.failures or ""),
            cell(clock(source.start_at)[:10]),
            cell(source.missed_by_webhook),
        ]
        for source in sources
    ]
    headings = ("source", "last good poll", "last try", "failures", "starts at", "no webhook")
    return table(headings, rows, title="Sources")
