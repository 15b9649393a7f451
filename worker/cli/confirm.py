"""Asking before a bulk change."""

from __future__ import annotations

import sys

import typer

from worker.cli.errors import FAILED, MISUSED, complain
from worker.cli.output import note
from worker.cli.terminal import fitted


def ask(question: str, *, yes: bool) -> None:
    """Go on if the operator agrees or said so with `--yes`; else exit: 1 on a no, 2 where there is nobody to ask."""
    must_be_askable(yes=yes)
    if yes:
        return
    if not typer.confirm(fitted(question, sys.stderr), err=True):
        note("Nothing was changed.")
        raise typer.Exit(FAILED)


def must_be_askable(*, yes: bool) -> None:
    """Exit with 2 where a question will come, `--yes` is not given, and there is nobody to ask."""
    if yes or is_terminal():
        return
    complain("This changes several things at once and there is no terminal to ask on: add --yes, or --dry-run to look.")
    raise typer.Exit(MISUSED)


def is_terminal() -> bool:
    """Whether somebody can answer."""
    return sys.stdin.isatty()
