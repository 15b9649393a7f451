"""`cartbridge recover`: tell a ledger that was restored from an older copy what it may have forgotten."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.arguments import DryRun, Why, Yes, in_operators_zone, parse_moment
from worker.cli.confirm import ask, must_be_askable
from worker.cli.context import current_actor, opening_of
from worker.cli.errors import MISUSED, complain
from worker.cli.output import progress
from worker.formatting import counted, local, minute, timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.runtime import Runtime
    from worker.ledger.learners.erasure_file import ErasureFile
    from worker.ledger.learners.tombstones import Tombstone
    from workflows.execution.recovery import Recovered, Recoverer

CopiedAt = Annotated[
    datetime,
    typer.Option(
        "--since",
        parser=parse_moment,
        callback=in_operators_zone,
        metavar="TIME",
        help="When the copy was made, or before: 2025-03-04T02:00, or 2d for two days ago.",
        show_default=False,
    ),
]


WithoutErasures = Annotated[
    bool,
    typer.Option("--without-erasures", help="There is no file of erasures: nobody was forgotten since the copy."),
]


ForeignErasures = Annotated[
    bool,
    typer.Option("--foreign-erasures", help="Erasures that another key made are this ledger's all the same."),
]


def recover_command(
    context: typer.Context,
    *,
    since: CopiedAt,
    without_erasures: WithoutErasures = False,
    foreign_erasures: ForeignErasures = False,
    reason: Why = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Keep a restored ledger from doing again what was done after its copy was made. Run it before anything starts.

    LearningCart is asked for each effect before it is made: of every run that has none, and of each that is planned
    later for an order made before now. Who was forgotten since is forgotten again, by the file of erasures. Sends
    nothing itself; a moment too early costs nothing.
    """
    from worker.ledger.learners.erasure_file import ErasureFile

    must_be_askable(yes=yes or dry_run)
    file = ErasureFile(opening_of(context).settings.erasures_path)
    if not without_erasures and not file.read():
        _require(file)
    with opening_of(context).runtime() as runtime:
        if since >= runtime.clock():
            raise typer.BadParameter("it is not in the past", param_hint="--since")
        recoverer, actor, erased = _recoverer_of(runtime), current_actor(), file.read()
        if not without_erasures:
            _refuse_older(runtime, file)
        if not foreign_erasures:
            _refuse_foreign(runtime, file, erased)
        would = recoverer.recover(since, actor=actor, erased=erased, dry_run=True)
        typer.echo(_summary(would))
        if dry_run:
            typer.echo("Nothing was changed.")
            return
        ask("Is everything stopped, and is that when the copy was made, or before?", yes=yes)
        with progress("recovering"):
            recovered = recoverer.recover(since, actor=actor, reason=reason, erased=erased)
            _finish_erasures(runtime, file, recovered)
    typer.echo(f"Recovered. Start everything; no run goes on before {local(recovered.settled_at):%H:%M:%S %Z}.")


def _require(file: ErasureFile) -> None:
    """Exit with 2: whoever was forgotten since the copy was made would be known again."""
    complain(
        f"The file of erasures {file.path} is not there, or empty: whoever was forgotten since the copy was made would "
        f"be known again. Put it back from its newest copy (CARTBRIDGE_ERASURES_FILE says where it is), or, if nobody "
        f"was ever forgotten, add --without-erasures. See docs/backup.md."
    )
    raise typer.Exit(MISUSED)


def _refuse_older(runtime: Runtime, file: ErasureFile) -> None:
    """Exit with 2: a file that lacks what the copy itself has is older than the copy, or cut off."""
    from worker.ledger.learners.erasure_replay import missing_in

    with runtime.ledger.read() as connection:
        missing = missing_in(connection, file)
    if missing:
        complain(
            f"The file of erasures {file.path} lacks {counted(missing, 'erasure')} that the copy of the ledger has: it "
            f"is older than the copy, or cut off. Put it back from its newest copy, or, if there is none, add "
            f"--without-erasures: whoever was forgotten since is then known again. See docs/backup.md."
        )
        raise typer.Exit(MISUSED)


def _refuse_foreign(runtime: Runtime, file: ErasureFile, erased: Sequence[Tombstone]) -> None:
    """Exit with 2: by the places of another ledger's erasures the wrong people would be forgotten."""
    from worker.ledger.learners.erasure_replay import foreign_in

    with runtime.ledger.read() as connection:
        foreign = foreign_in(connection, erased)
    if not foreign:
        return
    complain(
        f"{counted(len(foreign), 'erasure')} in {file.path} {_are(len(foreign))} another ledger's, the first "
        f"{foreign[0].id}: by the places in orders it names, the wrong people would be forgotten. Put this ledger's "
        f"own file there, or take those lines out. Where this ledger was restored from a copy of before version 0016 "
        f"meanwhile, they are its own: add --foreign-erasures. See docs/backup.md."
    )
    raise typer.Exit(MISUSED)


def _finish_erasures(runtime: Runtime, file: ErasureFile, recovered: Recovered) -> None:
    """Complete the file by what the ledger has, and leave nothing of the forgotten in free pages."""
    from worker.ledger.compaction import rewrite_file
    from worker.ledger.learners.erasure_replay import write_missing

    with runtime.ledger.read() as connection:
        write_missing(connection, file)
    if recovered.forgotten:
        rewrite_file(runtime.ledger)


def _recoverer_of(runtime: Runtime) -> Recoverer:
    from workflows.execution.recovery import Recoverer
    from workflows.registry import WORKFLOWS

    return Recoverer(runtime.ledger, WORKFLOWS, patience=runtime.patience, clock=runtime.clock)


def _summary(would: Recovered) -> str:
    held = f" {counted(would.freed, 'run')} held by a process while the copy was made {_are(would.freed)} freed."
    return (
        f"What was sent since {timestamp(would.copied_at)} may be missing from the ledger. "
        f"{counted(would.doubted, 'run')} {_are(would.doubted)} asked about before anything is sent, and so is every "
        f"run that is planned from now on for an order made before {minute(would.recovered_at)}."
        f"{held if would.freed else ''}{_forgotten(would.forgotten)}"
    )


def _forgotten(number: int) -> str:
    if not number:
        return ""
    who = "1 person who was forgotten since is" if number == 1 else f"{number} people who were forgotten since are"
    return f" {who} forgotten again."


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
