"""The command line: every command by its name, and what all of them share."""

from __future__ import annotations

import gc
import os
from importlib import import_module
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any

import typer

from worker.cli.context import Opening
from worker.cli.errors import ExplainingGroup
from worker.cli.output import guard_streams

START, LOOK, ACT = "Start", "Look", "Act"
_PLACES = {
    "demo": (START, "commands.processes", "demo_command"),
    "init": (START, "init.command", "init_command"),
    "check": (START, "check.command", "check_command"),
    "migrate": (START, "commands.processes", "migrate_command"),
    "up": (START, "commands.processes", "up_command"),
    "web": (START, "commands.processes", "web_command"),
    "worker": (START, "commands.processes", "worker_command"),
    "beat": (START, "commands.processes", "beat_command"),
    "sandbox": (START, "commands.sandbox", "sandbox_command"),
    "status": (LOOK, "commands.status", "status_command"),
    "why": (LOOK, "commands.why", "why_command"),
    "runs": (LOOK, "commands.runs", "app"),
    "orders": (LOOK, "commands.orders", "app"),
    "deliveries": (LOOK, "commands.deliveries", "app"),
    "completions": (LOOK, "commands.completions", "app"),
    "offers": (LOOK, "commands.offers", "app"),
    "report": (LOOK, "commands.report.command", "report_command"),
    "activity": (LOOK, "commands.operators.activity", "activity_command"),
    "operators": (ACT, "commands.operators.accounts", "app"),
    "ingest": (ACT, "commands.ingest", "ingest_command"),
    "backfill": (ACT, "commands.backfill", "backfill_command"),
    "reconcile": (ACT, "commands.reconcile", "reconcile_command"),
    "recover": (ACT, "commands.recover", "recover_command"),
    "replay": (ACT, "commands.replay", "replay_command"),
    "seats": (ACT, "commands.seats.command", "app"),
    "forget": (ACT, "commands.privacy.forget", "forget_command"),
    "export": (ACT, "commands.privacy.export", "export_command"),
    "retention": (ACT, "commands.privacy.retention", "retention_command"),
    "pause": (ACT, "commands.systems", "pause_command"),
    "resume": (ACT, "commands.systems", "resume_command"),
}
"""Every command: the panel of the help it stands in, its module within `worker.cli`, and what it is there."""


class Commands(dict[str, Any]):
    """The commands by name, each imported when it is asked for: one is quick, though others need much."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(_PLACES))

    def __getitem__(self, name: str) -> Any:
        found = super().__getitem__(name)
        if found is None:
            found = self[name] = _built(name)
        return found

    def get(self, name: str, default: Any = None) -> Any:
        """As a dict's."""
        return self[name] if name in self else default  # noqa: SIM401 -- that is this

    def items(self) -> Any:
        """As a dict's: imports all of them."""
        return [(name, self[name]) for name in self]


def _built(name: str) -> Any:
    """One command as Typer makes it. It takes more than one, and a callback, to make a group of them."""
    panel, module, attribute = _PLACES[name]
    found = getattr(import_module(f"worker.cli.{module}"), attribute)
    alone = typer.Typer(callback=lambda: None, context_settings=_CONTEXT)
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name, rich_help_panel=panel)
    else:
        alone.command(name, rich_help_panel=panel)(found)
    command = typer.main.get_command(alone).commands[name]  # type: ignore[attr-defined]
    _unwrap(command)
    return command


def _unwrap(command: Any) -> None:
    """Have the help's paragraphs broken where the terminal ends, not where the source's lines do."""
    paragraphs = cleandoc(command.help or "").split("\n\n")
    command.help = "\n\n".join(" ".join(each.splitlines()) for each in paragraphs)
    for each in getattr(command, "commands", {}).values():
        _unwrap(each)


class RootGroup(ExplainingGroup):
    """The root command, which knows its commands by name and imports the one that runs."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = Commands()

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 -- Typer's signature
        """All names, in the order of the help."""
        return list(self.commands)


_ALLOCATIONS_BETWEEN_LOOKS = 250_000
"""Of objects that may be garbage: half as many again as a short command makes."""
_CONTEXT = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="cartbridge",
    cls=RootGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # it would print local variables, secrets among them
    context_settings=_CONTEXT,
    help="Turns a paid order in one system into course access in another, exactly once, and can prove it.",
)


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


def main() -> None:
    """Run the command line of this process; ends it with the exit code."""
    # What is imported stays: looking for garbage in it, time and again and when Python ends, is a quarter of a short
    # command's time.
    gc.set_threshold(_ALLOCATIONS_BETWEEN_LOOKS, 10, 10)
    # Pydantic would read every installed package's entry points for plugins that watch its models.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    guard_streams()
    try:
        # Not `app()`: that would take the hook for uncaught exceptions, and with it the masking of secrets.
        typer.main.get_command(app).main(prog_name="cartbridge")
    finally:
        gc.freeze()
