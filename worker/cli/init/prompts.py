"""What `cartbridge init` asks and says, in lines that end between words."""

from __future__ import annotations

import sys

import typer

from worker.cli.terminal import fitted


def say(text: str) -> None:
    """A line of the result, on stdout."""
    typer.echo(fitted(text, sys.stdout))


def ask_text(question: str, *, default: str | None = None, hides: bool = False) -> str:
    """An answer; Enter takes the default, which is shown unless the answer is hidden."""
    offered = f" [{default}]" if default and not hides else ""
    asked = fitted(f"{question}{offered}:", sys.stdout)
    answer: str = typer.prompt(asked, default=default, hide_input=hides, show_default=False, prompt_suffix=" ")
    return answer


def ask_yes(question: str, *, default: bool = False) -> bool:
    """Yes or no; Enter takes the default."""
    asked = fitted(f"{question} [{'Y/n' if default else 'y/N'}]:", sys.stdout)
    return typer.confirm(asked, default=default, show_default=False, prompt_suffix=" ")
