"""`cartbridge pause` and `cartbridge resume`: hold a destination's runs back, and let them go on."""

from __future__ import annotations

from typing import Annotated

import typer

from worker.cli.arguments import DestinationName, DryRun, Why, Yes
from worker.cli.context import current_actor, opening_of

Destination = Annotated[DestinationName, typer.Argument(help="The system that is changed.", show_default=False)]


def pause_command(
    context: typer.Context,
    destination: Destination,
    reason: Why = None,
    dry_run: DryRun = False,
    yes: Yes = False,  # noqa: ARG001 -- one system, named: nothing is asked
) -> None:
    """Send nothing more to a destination until it is resumed; its runs wait."""
    with opening_of(context).runtime() as runtime:
        typer.echo(runtime.operations.pause(destination.value, actor=current_actor(), reason=reason, dry_run=dry_run))


def resume_command(
    context: typer.Context,
    destination: Destination,
    reason: Why = None,
    dry_run: DryRun = False,
    yes: Yes = False,  # noqa: ARG001 -- one system, named: nothing is asked
) -> None:
    """Send to a destination again; what waited for it goes on within seconds."""
    with opening_of(context).runtime() as runtime:
        typer.echo(runtime.operations.resume(destination.value, actor=current_actor(), reason=reason, dry_run=dry_run))
        if not dry_run:
            runtime.dispatcher.send_sweep()
