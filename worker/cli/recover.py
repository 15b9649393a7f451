"""`cartbridge recover`: tell a ledger that was restored from an older copy what it may have forgotten."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.arguments import DryRun, Why, Yes, parse_moment
from worker.cli.asking import ask, must_be_askable
from worker.cli.opening import current_actor, opening_of
from worker.cli.printing import counted

if TYPE_CHECKING:
    from tasks.runtime import Runtime
    from workflows.recovery import Recovered, Recoverer

CopiedAt = Annotated[
    datetime,
    typer.Option(
        "--since",
        parser=parse_moment,
        metavar="TIME",
        help="When the copy was made, or before: 2025-03-04T02:00, or 2d for two days ago.",
        show_default=False,
    ),
]


def recover_command(
    context: typer.Context, *, since: CopiedAt, reason: Why = None, dry_run: DryRun = False, yes: Yes = False
) -> None:
    """Keep a restored ledger from doing again what was done after its copy was made. Run it before anything starts.

    LearningCart is asked for each effect before it is made: of every run that has none, and of each that is planned
    later for an order made before now. Sends nothing itself; a moment too early costs nothing.
    """
    must_be_askable(yes=yes or dry_run)
    with opening_of(context).runtime() as runtime:
        if since >= runtime.clock():
            raise typer.BadParameter("it is not in the past", param_hint="--since")
        recoverer, actor = _recoverer_of(runtime), current_actor()
        would = recoverer.recover(since, actor=actor, dry_run=True)
        typer.echo(_told(would))
        if dry_run:
            typer.echo("Nothing was changed.")
            return
        ask("Is everything stopped, and is that when the copy was made, or before?", yes=yes)
        recovered = recoverer.recover(since, actor=actor, reason=reason)
    typer.echo(f"Recovered. Start everything; no run goes on before {recovered.settled_at:%H:%M:%S} UTC.")


def _recoverer_of(runtime: Runtime) -> Recoverer:
    from workflows.failure import Patience
    from workflows.recovery import Recoverer
    from workflows.registry import WORKFLOWS

    retry = runtime.settings.retry
    patience = Patience(
        base_seconds=retry.base_seconds,
        max_seconds=retry.max_seconds,
        max_attempts=retry.max_attempts,
        settle_seconds=runtime.settings.settle_seconds,
    )
    return Recoverer(runtime.ledger, WORKFLOWS, patience=patience, clock=runtime.clock)


def _told(would: Recovered) -> str:
    held = f" {counted(would.freed, 'run')} held by a process while the copy was made {_are(would.freed)} freed."
    return (
        f"What was sent since {would.copied_at:%Y-%m-%d %H:%M:%S} UTC may be missing from the ledger. "
        f"{counted(would.doubted, 'run')} {_are(would.doubted)} asked about before anything is sent, and so is every "
        f"run that is planned from now on for an order made before {would.recovered_at:%Y-%m-%d %H:%M} UTC."
        f"{held if would.freed else ''}"
    )


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
