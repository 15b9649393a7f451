"""How results look: JSON for programs; tables for people, coloured by state, on a terminal of any width."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TextIO, TypeVar

import typer

from worker.cli.arguments import DEFAULT_LIMIT
from worker.cli.context import opening_of
from worker.cli.terminal import fitted
from worker.text.control_characters import CONTROL_CHARACTERS, JSON_CONTROLS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

Item = TypeVar("Item")
NARROWEST = 6
"""No column is cut to fewer characters."""
PIPED_WIDTH = 200
"""Columns when stdout is no terminal: wide enough that nothing is cut."""

STATE_STYLES = {
    "pending": "blue",
    "running": "bold blue",
    "waiting": "cyan",
    "received": "blue",
    "succeeded": "green",
    "planned": "green",
    "failed": "bold red",
    "review": "bold yellow",
    "cancelled": "dim",
    "ignored": "dim",
    "done": "green",
    "ok": "green",
    "adopted": "green",
    "absent": "green",
    "retryable": "cyan",
    "unknown": "yellow",
    "final": "red",
}


def console(*, stderr: bool = False) -> Console:
    """Stdout, or stderr, for people."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, highlight=False, width=None if stream.isatty() else PIPED_WIDTH)


def print_json(value: Any) -> None:
    """One object on stdout: a record, or what is made of records."""
    from worker.ledger.views.serializers import to_json

    typer.echo(json.dumps(to_json(value), indent=2, ensure_ascii=False))


def print_json_array(values: Iterable[Any]) -> None:
    """One array on stdout, a line for each member, written as they are read."""
    from worker.ledger.views.serializers import to_json

    separator = "[\n"
    for value in values:
        typer.echo(separator + json.dumps(to_json(value), ensure_ascii=False), nl=False)
        separator = ",\n"
    typer.echo("[]" if separator == "[\n" else "\n]")


def print_rows(rows: Iterable[Any], fields: Iterable[str], *, as_json: bool, as_csv: bool) -> bool:
    """The rows for a program, written as they are read. False, and nothing is printed, where they are for people."""
    from worker.ledger.views.serializers import csv_lines

    if as_json:
        print_json_array(rows)
    elif as_csv:
        for line in csv_lines(rows, fields):
            typer.echo(line, nl=False)
    return as_json or as_csv


def refuse_two_forms(*, as_json: bool, as_csv: bool) -> None:
    """Exit 2 where two forms are asked for at once."""
    if as_json and as_csv:
        raise typer.BadParameter("one form at a time: --json or --csv", param_hint="--csv")


@dataclass(frozen=True)
class Listing(Generic[Item]):
    """A listing: how its rows are read, and how they look in each form."""

    read: Callable[..., Iterator[Item]]
    """Given a connection and a `limit`."""
    table_of: Callable[[list[Item]], Table]
    nothing: str
    """What is said where there are no rows."""
    fields: Sequence[str] = ()
    """The columns of CSV."""

    def show(self, context: typer.Context, *, limit: int | None, as_json: bool, as_csv: bool = False) -> None:
        """Print the rows: for programs all unless `limit` says less, for people the newest in a table."""
        refuse_two_forms(as_json=as_json, as_csv=as_csv)
        with opening_of(context).reading() as connection:
            rows = self.read(connection, limit=limit if as_json or as_csv else None)
            if print_rows(rows, self.fields, as_json=as_json, as_csv=as_csv):
                return
            size = limit or DEFAULT_LIMIT
            shown = list(islice(rows, size + 1))
        console().print(self.table_of(shown[:size]) if shown else self.nothing)
        if len(shown) > size:
            note(f"These are the newest {size}; there are more. --limit {size * 10} shows more, --json all.")


def note(text: str) -> None:
    """A remark beside the result, on stderr."""
    typer.secho(fitted(text, sys.stderr), dim=True, err=True)


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int, str], None]]:
    """A line that moves on stderr while something takes long, on a terminal; nothing elsewhere.

    Gives what moves it: called with how much is done so far, and what there is to say of it. Without a total, and
    without being called, it only shows that something goes on.
    """
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    out = console(stderr=True)
    columns = (SpinnerColumn(), TextColumn(what), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as shown:
        task = shown.add_task("", total=total, said="")
        yield lambda done, said: shown.update(task, completed=done, said=said)


def warn_of_offers(problem: str) -> None:
    """Say, before anything else, that the offers file cannot be used, on stdout with the rest of what is shown."""
    out = console()
    out.print(cell(f"The offers file cannot be used: {problem}", "bold red"))
    out.print(cell("  its last valid rules stay in force; see: cartbridge offers check"))


def cell(value: object, style: str = "") -> Text:
    """A value from outside as it is: no markup is read in it, and nothing in it moves the cursor."""
    from rich.text import Text

    return Text("" if value is None else str(value).translate(CONTROL_CHARACTERS), style=style)


def state_cell(state: str) -> Text:
    """A state in its colour."""
    return cell(state, STATE_STYLES.get(state, ""))


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[Text]],
    *,
    shortened: Collection[str] = (),
    wrapped: Collection[str] = (),
    title: str | None = None,
) -> Table:
    """A table that fits the terminal: `shortened` columns are cut where it is too narrow, `wrapped` ones take several
    lines, and all others keep their whole width, so that an id can always be copied.
    """
    from rich import box
    from rich.table import Table

    built = Table(
        box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", padding=(0, 1, 0, 0), pad_edge=False
    )
    natural = [
        max([len(heading), *(_widest_line(row[index]) for row in rows)]) for index, heading in enumerate(headings)
    ]
    widths = _fit(natural, [heading in shortened or heading in wrapped for heading in headings], console().width)
    for heading, width in zip(headings, widths, strict=True):
        is_wrapped = heading in wrapped
        built.add_column(heading, no_wrap=not is_wrapped, overflow="fold" if is_wrapped else "ellipsis", width=width)
    for row in rows:
        built.add_row(*row)
    return built


def _widest_line(text: Text) -> int:
    return max((line.cell_len for line in text.split("\n")), default=0)


def _fit(natural: list[int], flexible: list[bool], terminal_width: int) -> list[int]:
    """Widths that fit: the widest of the flexible columns give way, down to a few characters."""
    widths = list(natural)
    room = terminal_width - (len(widths) - 1) * 2 - 2  # the gaps between, and the edges
    while sum(widths) > room:
        widest = max(
            (index for index, may_shrink in enumerate(flexible) if may_shrink), key=widths.__getitem__, default=None
        )
        if widest is None or widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
    return widths


def fields(rows: Iterable[tuple[str, Text | str | None]]) -> Table:
    """Names and values below each other, without the empty ones."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        if value not in (None, "", cell("")):
            grid.add_row(name, cell(value) if isinstance(value, str) else value)
    return grid


class PlainStream(io.TextIOWrapper):
    """A text stream that shows controls (but for ASCII's own) and halves of characters as escapes, in JSON as JSON's.

    Colours pass: `cell` takes out what else an outsider's text may hold.
    """

    def write(self, text: str, /) -> int:
        """Write the text; never raises for what stands in it."""
        super().write(text.translate(JSON_CONTROLS))
        return len(text)


def guard_streams() -> None:
    """Have this process's stdout and stderr written so. Safe to repeat.

    So are `sys.__stdout__` and `sys.__stderr__`: Celery's handler of SIGTERM writes there, and what is detached raises.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        # One that stands in the place of the process's own is somebody else's, who will write to it and close it.
        if stream is getattr(sys, f"__{name}__"):
            guarded = _guarded(stream)
            setattr(sys, name, guarded)
            setattr(sys, f"__{name}__", guarded)


def _guarded(stream: TextIO) -> TextIO:
    if isinstance(stream, PlainStream) or not isinstance(stream, io.TextIOWrapper):
        return stream
    encoding, is_line_buffered = stream.encoding, stream.line_buffering
    return PlainStream(stream.detach(), encoding=encoding, errors="backslashreplace", line_buffering=is_line_buffered)
