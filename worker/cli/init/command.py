"""`cartbridge init`: sets Cartbridge up by asking."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worker.cli.arguments import Yes
from worker.cli.context import opening_of


def init_command(
    context: typer.Context,
    *,
    non_interactive: Annotated[
        bool, typer.Option("--non-interactive", help="Ask nothing: take the answers from CARTBRIDGE_… variables.")
    ] = False,
    wrapper: Annotated[
        Path | None,
        typer.Option("--wrapper", metavar="FILE", help="Write a `cartbridge` that works from any folder to this file."),
    ] = None,
    unit: Annotated[
        Path | None,
        typer.Option("--unit", metavar="FILE", help="Write a systemd unit for `up` to this file."),
    ] = None,
    yes: Yes = False,
) -> None:
    """Ask for the systems in use, try each key, and write `.env` and `offers.toml`; safe to repeat.

    What is set already is offered again and stays. Nothing is written before all is answered.
    """
    from worker.cli.init.setup import set_up

    set_up(opening_of(context).env_file, asks=not non_interactive, yes=yes, wrapper=wrapper, unit=unit)
