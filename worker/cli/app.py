"""The command line: every command by its name, and what all of them share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worker.cli.check import command as check
from worker.cli.commands import (
    backfill,
    completions,
    deliveries,
    destinations,
    ingest,
    offers,
    orders,
    processes,
    reconcile,
    recover,
    replay,
    runs,
    sandbox,
    status,
    why,
)
from worker.cli.commands.operators import accounts, activity
from worker.cli.commands.privacy import export, forget, retention
from worker.cli.commands.seats import command as seats
from worker.cli.context import Opening
from worker.cli.errors import ExplainingGroup
from worker.cli.init import command as init
from worker.cli.terminal import guard_streams

app = typer.Typer(
    name="cartbridge",
    cls=ExplainingGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # it would print local variables, secrets among them
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Turns a paid order in one system into course access in another, exactly once, and can prove it.",
)

START, LOOK, ACT = "Start", "Look", "Act"


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"cartbridge {version('cartbridge')}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    env_file: Annotated[
        Path | None,
        typer.Option(
            "--env-file", exists=True, dir_okay=False, help="Read settings from this file too. Default: .env here."
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001 -- acted on when it is read
        bool, typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Keep what every command opens its settings by."""
    context.obj = Opening(env_file)


app.command("demo", rich_help_panel=START)(processes.demo_command)
app.command("init", rich_help_panel=START)(init.init_command)
app.command("check", rich_help_panel=START)(check.check_command)
app.command("migrate", rich_help_panel=START)(processes.migrate_command)
app.command("up", rich_help_panel=START)(processes.up_command)
app.command("web", rich_help_panel=START)(processes.web_command)
app.command("worker", rich_help_panel=START)(processes.worker_command)
app.command("beat", rich_help_panel=START)(processes.beat_command)
app.command("sandbox", rich_help_panel=START)(sandbox.sandbox_command)
app.command("status", rich_help_panel=LOOK)(status.status_command)
app.command("why", rich_help_panel=LOOK)(why.why_command)
app.add_typer(runs.app, name="runs", rich_help_panel=LOOK)
app.add_typer(orders.app, name="orders", rich_help_panel=LOOK)
app.add_typer(deliveries.app, name="deliveries", rich_help_panel=LOOK)
app.add_typer(completions.app, name="completions", rich_help_panel=LOOK)
app.add_typer(offers.app, name="offers", rich_help_panel=LOOK)
app.command("activity", rich_help_panel=LOOK)(activity.activity_command)
app.add_typer(accounts.app, name="operators", rich_help_panel=ACT)
app.command("ingest", rich_help_panel=ACT)(ingest.ingest_command)
app.command("backfill", rich_help_panel=ACT)(backfill.backfill_command)
app.command("reconcile", rich_help_panel=ACT)(reconcile.reconcile_command)
app.command("recover", rich_help_panel=ACT)(recover.recover_command)
app.command("replay", rich_help_panel=ACT)(replay.replay_command)
app.add_typer(seats.app, name="seats", rich_help_panel=ACT)
app.command("forget", rich_help_panel=ACT)(forget.forget_command)
app.command("export", rich_help_panel=ACT)(export.export_command)
app.command("retention", rich_help_panel=ACT)(retention.retention_command)
app.command("pause", rich_help_panel=ACT)(destinations.pause_command)
app.command("resume", rich_help_panel=ACT)(destinations.resume_command)


def main() -> None:
    """Run the command line of this process; ends it with the exit code."""
    guard_streams()
    # Not `app()`: that would take the hook for uncaught exceptions, and with it the masking of secrets.
    typer.main.get_command(app).main(prog_name="cartbridge")
