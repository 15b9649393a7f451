"""`cartbridge pause` and `cartbridge resume`: ask nothing more of a system, and go on."""

from __future__ import annotations

from typing import Annotated

import typer

from worker.cli.arguments import DryRun, SystemName, Why, Yes, one_of
from worker.cli.context import current_actor, opening_of
from worker.cli.output import note

System = Annotated[
    SystemName,
    typer.Argument(metavar="SYSTEM", help=f"Which: {one_of(SystemName)}.", show_choices=False, show_default=False),
]


def pause_command(
    context: typer.Context,
    system: System,
    reason: Why = None,
    dry_run: DryRun = False,
    yes: Yes = False,  # noqa: ARG001 -- one system, named: nothing is asked
) -> None:
    """Ask nothing more of a system until it is resumed: its runs wait, and of a source the webhooks and the polls."""
    with opening_of(context).runtime() as runtime:
        settings = runtime.settings
        if system.value not in settings.sources() and not settings.systems()[system.value].is_configured:
            note(f"{system.value} is not configured: it is not asked, paused or not. Set it up: cartbridge init")
        typer.echo(runtime.operations.pause(system.value, actor=current_actor(), reason=reason, dry_run=dry_run))


def resume_command(
    context: typer.Context,
    system: System,
    reason: Why = None,
    dry_run: DryRun = False,
    yes: Yes = False,  # noqa: ARG001 -- one system, named: nothing is asked
) -> None:
    """Ask a system again; what waited for it goes on within seconds."""
    with opening_of(context).runtime() as runtime:
        typer.echo(runtime.operations.resume(system.value, actor=current_actor(), reason=reason, dry_run=dry_run))
        if not dry_run:
            runtime.dispatcher.send_resumed(system.value)
