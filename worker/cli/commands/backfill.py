"""`cartbridge backfill`: take in what the ledger lacks of a window of a source's history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from worker.cli.arguments import AsJson, DryRun, OrdersSource, Since, Until, Why, Yes
from worker.cli.confirm import ask, must_be_askable
from worker.cli.context import current_actor, opening_of
from worker.cli.errors import FAILED, complain
from worker.cli.output import cell, console, note, print_json, progress, table
from worker.errors import ApiError
from worker.formatting import clock, counted, timestamp, zone_label

if TYPE_CHECKING:
    from rich.console import Console

    from tasks.runtime import Runtime
    from workflows.ingest.backfill import Backfilled, Backfiller, Window


def backfill_command(
    context: typer.Context,
    *,
    source: OrdersSource,
    since: Since = None,
    until: Until = None,
    reason: Why = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Take in the orders made in a window that the ledger lacks, also those from before the source's start.

    Safe to repeat: the second time changes nothing, and one that was cut short is run again.
    """
    must_be_askable(yes=yes or dry_run)
    with opening_of(context).runtime() as runtime:
        backfiller = runtime.backfiller(source)
        window = _window(since, until, now=runtime.clock())
        with _explained(source, dry_run=dry_run):
            total = None
            if dry_run or not yes:
                found = _preview(backfiller, window)
                total = found.orders
                if dry_run:
                    _tell(found, as_json=as_json, dry_run=True)
                    return
                _print_preview(console(stderr=True), found)
                if found.new or found.changed:
                    ask(f"Take in {_orders_to_do(found)}?", yes=False)
            done = _run(runtime, backfiller, window, total=total, reason=reason)
    _tell(done, as_json=as_json, dry_run=False)


def _window(since: datetime | None, until: datetime | None, *, now: datetime) -> Window:
    from workflows.ingest.backfill import Window

    if since is None:
        raise typer.BadParameter("say from when on, such as 2025-01-01", param_hint="--since")
    if since >= (until or now):
        raise typer.BadParameter("the window ends before it begins", param_hint="--since")
    return Window(since, until or now)


@contextmanager
def _explained(source: str, *, dry_run: bool) -> Iterator[None]:
    """Say how to go on where the source failed."""
    try:
        yield
    except ApiError as error:
        complain(f"{source}: {error}")
        if not dry_run:
            note("What was recorded stays. Run the same command again: what is done costs nothing.")
        raise typer.Exit(FAILED) from None


def _preview(backfiller: Backfiller, window: Window) -> Backfilled:
    with progress("reading") as show:
        return backfiller.preview(window, lambda done, _ready: show(done.orders, _counts(done)))


def _run(
    runtime: Runtime, backfiller: Backfiller, window: Window, *, total: int | None, reason: str | None
) -> Backfilled:
    with progress("taking in", total) as show:

        def on_page(done: Backfilled, ready: list[str]) -> None:
            runtime.dispatcher.send_runs(ready)
            show(done.orders, _counts(done))

        return backfiller.run(window, actor=current_actor(), reason=reason, on_page=on_page)


def _counts(done: Backfilled) -> str:
    return (
        f"{counted(done.orders, 'order')} read: {done.new} new, {done.changed} changed; "
        f"{done.gives_access} to be given access, {done.review} in review"
    )


def _orders_to_do(found: Backfilled) -> str:
    runs = f"{counted(found.gives_access, 'seat')} to be given access, {found.review} for review"
    return f"{counted(found.new + found.changed, 'order')} ({runs})"


def _tell(done: Backfilled, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        print_json(_shape(done, dry_run=dry_run))
    elif dry_run:
        _print_preview(console(), done)
    else:
        console().print(cell(f"{_counts(done)}."))
        _warn_of_undated(done)


def _shape(done: Backfilled, *, dry_run: bool) -> dict[str, Any]:
    shape = asdict(done) | {
        "unchanged": done.unchanged,
        "reasons": dict(done.reasons),
        "dry_run": dry_run,
    }
    del shape["met"]
    return shape


def _print_preview(out: Console, found: Backfilled) -> None:
    """What would be done: the counts, by reason, and the first orders."""
    window = f"{clock(found.since)} to {timestamp(found.until)}"
    out.print(cell(f"{found.source}, orders made {window}", "bold"))
    out.print(cell(_counts(found)))
    if found.reasons:
        rows = [[cell(reason), cell(count)] for reason, count in found.reasons.most_common()]
        out.print(table(("comes to", "count"), rows))
    if found.shown:
        rows = [
            [cell(each.order_id), cell(clock(each.created_at)[:16]), cell(each.status), cell("\n".join(each.lines))]
            for each in found.shown
        ]
        out.print(table(("order", f"made ({zone_label()})", "status", "would"), rows, wrapped=("would",)))
        more = found.new + found.changed - len(found.shown)
        if more > 0:
            note(f"… and {counted(more, 'more order')}.")
    else:
        out.print(cell("Nothing to do: the ledger holds every order of the window as it is.", "green"))
    _warn_of_undated(found)


def _warn_of_undated(found: Backfilled) -> None:
    if found.set_aside:
        shown = " ".join(found.set_aside[:10]) + (" …" if len(found.set_aside) > 10 else "")
        note(
            f"{counted(len(found.set_aside), 'order')} cannot be read, set aside: {shown}. "
            "See: cartbridge deliveries list --state review"
        )
    if found.undated:
        shown = " ".join(found.undated[:10]) + (" …" if len(found.undated) > 10 else "")
        note(
            f"{counted(len(found.undated), 'order')} without a readable date left out. "
            f"To take one in: cartbridge ingest {found.source} {shown}"
        )
