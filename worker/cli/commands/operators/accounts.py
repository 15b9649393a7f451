"""`cartbridge operators`: who signs in to the page by a name of their own."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer

from worker.cli.arguments import AsCsv, AsJson, DryRun, Why, Yes
from worker.cli.confirm import ask, is_terminal
from worker.cli.context import current_actor, opening_of
from worker.cli.output import cell, console, print_rows, refuse_two_forms, table
from worker.formatting import ago

app = typer.Typer(no_args_is_help=True, help="Operators: who signs in to the page by a name of their own.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="As the audit trail has it.", show_default=False)]


@app.command("add")
def add_command(
    context: typer.Context,
    name: Name,
    *,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin. Default: asked.")
    ] = False,
    reason: Why = None,
    dry_run: DryRun = False,
    yes: Yes = False,  # noqa: ARG001 -- one operator, named: nothing is asked but the password
) -> None:
    """Let somebody sign in by a name and a password of their own."""
    from workflows.operations.operators import add_operator, check_free, check_password, checked_name

    name = checked_name(name)
    with opening_of(context).runtime() as runtime:
        check_free(runtime.ledger, name)
        if dry_run:
            typer.echo(f"would add operator {name}")
            return
        password = _password(name, from_stdin=password_stdin)
        check_password(password)
        now = datetime.now(UTC)
        typer.echo(add_operator(runtime.ledger, name, password, actor=current_actor(), reason=reason, now=now))


@app.command("remove")
def remove_command(
    context: typer.Context, name: Name, *, reason: Why = None, dry_run: DryRun = False, yes: Yes = False
) -> None:
    """Let an operator sign in no more, and sign them out everywhere at once. What they did stays in the trail."""
    from workflows.operations.operators import remove_operator

    with opening_of(context).runtime() as runtime:
        remove = partial(remove_operator, runtime.ledger, name, actor=current_actor(), reason=reason)
        would = remove(dry_run=True, now=datetime.now(UTC))
        if dry_run:
            typer.echo(would)
            return
        if not yes and is_terminal():
            ask(f"Remove operator {name}?", yes=False)
        typer.echo(remove(now=datetime.now(UTC)))


@app.command("list")
def list_command(context: typer.Context, *, as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """List the operators, by name. No password is shown; only its hash is kept."""
    from worker.ledger.web.operators import OPERATOR_FIELDS, list_operators

    refuse_two_forms(as_json=as_json, as_csv=as_csv)
    with opening_of(context).reading() as connection:
        found = list_operators(connection)
    if print_rows(found, OPERATOR_FIELDS, as_json=as_json, as_csv=as_csv):
        return
    rows = [
        [cell(each.name), cell(each.added_by), cell(ago(each.added_at)), cell(ago(each.signed_in_at) or "never")]
        for each in found
    ]
    none = (
        "No operator has a name yet: everybody signs in by the admin password. Add one: cartbridge operators add NAME"
    )
    console().print(table(("operator", "added by", "added", "signed in"), rows) if rows else none)


def _password(name: str, *, from_stdin: bool) -> str:
    """The password, never from an argument: those stand in the list of processes and in the shell's history."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not is_terminal():
        raise typer.BadParameter("there is no terminal to ask on: give it by --password-stdin", param_hint="password")
    password: str = typer.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True, err=True)
    return password
