"""`cartbridge up`, `web`, `worker`, `beat`, `migrate` and `demo`: what is started, and what it stands on."""

from __future__ import annotations

from typing import Annotated

import typer

from worker.cli.arguments import DryRun
from worker.cli.context import opening_of


def up_command(context: typer.Context) -> None:
    """Run everything in this one process: web, worker and beat. Migrates its own SQLite ledger."""
    from worker.cli.processes import run_up

    opening_of(context).say_where_it_is()
    raise typer.Exit(run_up(opening_of(context).settings))


def web_command(context: typer.Context) -> None:
    """Run the HTTP server alone: the page, webhooks, the API, health, metrics."""
    from worker.cli.processes import run_web

    raise typer.Exit(run_web(opening_of(context).settings))


def worker_command(context: typer.Context) -> None:
    """Run a worker alone: it fetches, plans, and gives access."""
    from worker.cli.processes import run_worker

    raise typer.Exit(run_worker(opening_of(context).settings))


def beat_command(context: typer.Context) -> None:
    """Run the scheduler alone: it polls, and sends what is due."""
    from worker.cli.processes import run_beat

    raise typer.Exit(run_beat(opening_of(context).settings))


def migrate_command(context: typer.Context, dry_run: DryRun = False) -> None:
    """Bring the ledger's schema to this version's. Safe to repeat."""
    from worker.ledger.session import Ledger, SchemaMismatchError

    ledger = Ledger(opening_of(context).settings.database_url.get_secret_value())
    try:
        if dry_run:
            try:
                ledger.check_schema()
                typer.echo(f"{ledger.label} is up to date: nothing to do")
            except SchemaMismatchError as error:
                typer.echo(f"would migrate: {error}")
            return
        before, after = ledger.migrate()
    finally:
        ledger.close()
    if before == after:
        typer.echo(f"{ledger.label} is up to date ({after})")
    else:
        typer.echo(f"{ledger.label} migrated from {before or 'empty'} to {after}")


def demo_command(
    seconds: Annotated[float, typer.Option("--seconds", min=1.0, help="End after this long, finished or not.")] = 55.0,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the ledger, the log and the settings, to look into them afterwards.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as one JSON object on stdout.")] = False,
) -> None:
    """Show the main job against a sandbox of the four systems: well under a minute, touches nothing of yours."""
    from worker.cli.demo.command import run_demo

    raise typer.Exit(run_demo(seconds=seconds, keep=keep, as_json=as_json))
