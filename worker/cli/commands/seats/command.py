"""`cartbridge seats`: say whom a seat is for, where the source names nobody or the wrong address."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.arguments import AsJson, DryRun, Yes, offered_runs
from worker.cli.commands.runs import named_run
from worker.cli.confirm import ask
from worker.cli.context import current_actor, opening_of
from worker.cli.errors import FAILED, complain
from worker.cli.output import cell, console, note, print_json_array
from worker.formatting import counted

if TYPE_CHECKING:
    from tasks.runtime import Runtime
    from workflows.operations.seats import Person, SeatNamed

app = typer.Typer(no_args_is_help=True, help="Seats: whom a place that was bought is for.")

_LONGEST_FILE_BYTES = 1_000_000


@app.callback()
def seats() -> None:
    """Keep `name` a command of a group, as all others of its kind are."""


@app.command("name")
def name_command(
    context: typer.Context,
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="A run of the seat: its id, the beginning of it, or its key.",
            autocompletion=offered_runs,
        ),
    ] = None,
    *,
    email: Annotated[str | None, typer.Option("--email", help="The learner's address.")] = None,
    first: Annotated[str, typer.Option("--first", help="First name. Default: the one the seat has.")] = "",
    last: Annotated[str, typer.Option("--last", help="Last name. Default: the one the seat has.")] = "",
    order: Annotated[
        str | None, typer.Option("--order", metavar="ORDER", help="All nameless seats of this order, with --file.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="CSV: email, first, last; a line for each person.", exists=True, dir_okay=False),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Also where another address was given access: it makes a second comped order."),
    ] = False,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why; kept in the audit trail.")
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Say whom a seat is for, and give access; for one seat, or for an order's nameless seats from a file.

    It holds as long as the source says of the seat what it says now. The same command once more changes nothing.
    """
    _check_arguments(run, email, order, file)
    if again and not (reason or "").strip():
        raise typer.BadParameter("it makes a second comped order: say why with --reason TEXT", param_hint="--again")
    people = _people(file) if file is not None else []
    options: dict[str, Any] = {"actor": current_actor(), "reason": reason}
    with opening_of(context).runtime() as runtime:
        if order is not None:
            results = _name_order(runtime, order, people, dry_run=dry_run, yes=yes, **options)
        else:
            person, run_id = _person(email, first, last), named_run(runtime, run or "")
            results = [runtime.operations.seats.name(run_id, person, again=again, dry_run=dry_run, **options)]
        ready = list(dict.fromkeys(run_id for each in results for run_id in each.ready))
        if ready:
            runtime.dispatcher.send_runs(ready)
    if as_json:
        print_json_array(asdict(each) for each in results)
    else:
        _print(results, dry_run=dry_run)
    if any(each.result == "refused" for each in results):
        raise typer.Exit(FAILED)


def _check_arguments(run: str | None, email: str | None, order: str | None, file: Path | None) -> None:
    """One seat and its person, or an order and its list; not both."""
    is_list = order is not None or file is not None
    if (run is None) != is_list or (is_list and (order is None or file is None or email is not None)):
        raise typer.BadParameter("give RUN and --email, or --order and --file")
    if not is_list and email is None:
        raise typer.BadParameter("whose seat is it?", param_hint="--email")


def _name_order(
    runtime: Runtime, order: str, people: list[Person], *, dry_run: bool, yes: bool, **options: Any
) -> list[SeatNamed]:
    """Show what a list would name, ask, and name it."""
    source, order_id = _order(runtime, order)
    seats = runtime.operations.seats
    would = seats.name_order(source, order_id, people, dry_run=True, **options)
    if dry_run or all(each.result != "named" for each in would):
        return would
    if not yes:
        _print(would, dry_run=True)
        ask(f"Name {counted(len(would), 'seat')} of {source}/{order_id}?", yes=False)
    return seats.name_order(source, order_id, people, **options)


def _person(email: str | None, first: str, last: str) -> Person:
    from workflows.operations.seats import Person

    return Person(email or "", first, last)


def _people(file: Path) -> list[Person]:
    from workflows.operations.people_list import read_people

    try:
        text = file.read_bytes()[:_LONGEST_FILE_BYTES].decode("utf-8-sig")
    except UnicodeDecodeError:
        raise typer.BadParameter("it is not UTF-8 text; save it as CSV UTF-8", param_hint="--file") from None
    except OSError as error:
        raise typer.BadParameter(
            f"it cannot be read ({error.strerror or 'for no known reason'})", param_hint="--file"
        ) from None
    return read_people(text)


def _order(runtime: Runtime, text: str) -> tuple[str, str]:
    """The one order that was named, by `SOURCE/ORDER` or by its number alone. Raises `NotInLedgerError`."""
    from worker.ledger.views.lookup import one_order

    with runtime.ledger.read() as connection:
        return one_order(connection, text)


def _print(results: list[SeatNamed], *, dry_run: bool) -> None:
    out = console()
    for each in results:
        if each.result == "refused":
            complain(each.message)
            continue
        out.print(cell(each.message, "green" if each.result == "named" else ""))
        for call in each.calls:
            out.print(cell(f"  {call}"))
    named = sum(each.result == "named" for each in results)
    if len(results) > 1:
        note(f"{counted(named, 'seat')} {'would be ' if dry_run else ''}named.")
