"""`cartbridge reconcile`: compare the sources, the ledger and LearningCart, and settle what is safe to settle."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.arguments import AsJson, DryRun, Since, Why, Yes
from worker.cli.confirm import ask, must_be_askable
from worker.cli.context import current_actor, opening_of
from worker.cli.errors import FAILED
from worker.cli.output import cell, console, note, print_json, progress, table
from worker.formatting import clock, counted, timestamp

if TYPE_CHECKING:
    from rich.text import Text

    from workflows.reconcile.findings import Finding
    from workflows.reconcile.reconciler import Reconciled

_DEFAULT_WINDOW = timedelta(days=7)
_STYLES = {
    "missing": "bold red",
    "extra": "bold yellow",
    "duplicate": "bold red",
    "stale": "bold yellow",
    "unchecked": "cyan",
}


def reconcile_command(
    context: typer.Context,
    *,
    since: Since = None,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="Take in what was never ingested, adopt effects that landed late, ask about second ones. "
            "Makes no effect; everything else stays a proposal.",
        ),
    ] = False,
    reason: Why = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Compare the sources' orders, the ledger and LearningCart's orders. Default: of the last 7 days.

    Tells what is missing, extra, duplicate or stale, each with a command. Exits 1 while something remains to be done.
    """
    from tasks.reconcile import reconciler_of

    must_be_askable(yes=yes or dry_run or not fix)
    with opening_of(context).runtime() as runtime:
        begin_at = since or runtime.clock() - _DEFAULT_WINDOW
        if begin_at >= runtime.clock():
            raise typer.BadParameter("it is not in the past", param_hint="--since")
        if not as_json:
            note("Reading LearningCart, the sources and the ledger…")
        reconciler = reconciler_of(runtime)
        with progress("comparing"):
            found = reconciler.find(begin_at)
        fixable = [finding for finding in found.findings if finding.is_safe_to_fix]
        if fix and fixable and not dry_run:
            if not yes:
                console(stderr=True).print(_table(found.findings))
            ask(f"Settle {counted(len(fixable), 'finding')}, safe to settle?", yes=yes)
            reconciler.fix(found, actor=current_actor(), reason=reason)
            runtime.dispatcher.send_runs(found.ready)
        if not dry_run:
            reconciler.keep(found, actor=current_actor(), reason=reason)
    if as_json:
        print_json(_shape(found))
    else:
        _print(found, would_fix=fixable if fix and dry_run else [])
    if found.remaining:
        raise typer.Exit(FAILED)


def _shape(found: Reconciled) -> dict[str, Any]:
    return {
        "since": found.since,
        "until": found.until,
        "findings": [finding.shape() for finding in found.findings],
        "counts": dict(sorted(Counter(finding.kind for finding in found.findings).items())),
        "remaining": len(found.remaining),
    }


def _print(found: Reconciled, *, would_fix: list[Finding]) -> None:
    out = console()
    window = f"{clock(found.since)} to {timestamp(found.until)}"
    if not found.findings:
        out.print(cell(f"The books agree: {window}.", "green"))
        return
    out.print(_table(found.findings, title=f"{counted(len(found.findings), 'finding')}, {window}"))
    for finding in would_fix:
        out.print(cell(f"would settle: {finding.sentence}"))
    settled = len(found.findings) - len(found.remaining)
    if settled:
        note(f"{settled} settled, {len(found.remaining)} left.")


def _table(findings: list[Finding], *, title: str | None = None) -> Any:
    rows = [[cell(finding.kind, _STYLES[finding.kind]), _finding_text(finding)] for finding in findings]
    return table(("kind", "found, and what to do"), rows, wrapped=("found, and what to do",), title=title)


def _finding_text(finding: Finding) -> Text:
    text = cell(finding.sentence)
    if finding.done:
        text.append("\n").append(cell(finding.done, "green" if finding.is_settled else "yellow"))
    if not finding.is_settled:
        text.append("\n").append(cell(finding.command, "bold"))
    return text
