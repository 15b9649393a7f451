"""`cartbridge forget`: take a learner's personal data out of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.arguments import AsJson, DryRun, Why, Yes
from worker.cli.confirm import ask, must_be_askable
from worker.cli.context import current_actor, opening_of
from worker.cli.errors import FAILED, MISUSED, complain
from worker.cli.output import print_json
from worker.formatting import counted

if TYPE_CHECKING:
    from tasks.runtime import Runtime
    from worker.ledger.learners.erasure import Person, Receipt
    from worker.ledger.learners.erasure_file import ErasureFile

REMAINS = (
    "Under the pseudonym: which order gave which access when, for the books and against giving it twice.",
    "A keyed hash of the address and the places in orders, so that nobody brings the person back by accident.",
    "Copies of the ledger made before: until they are deleted (docs/backup.md). A restored one forgets them again.",
    "Logs and what other systems hold (the shops, LearningCart, 3dcart, receivers of events): not ours to erase.",
)
"""What a forgotten person leaves behind, and why."""
ON_POSTGRESQL = (
    "PostgreSQL's dead rows until it vacuums them, and its archived write-ahead log for as long as you keep it "
    "(docs/security.md)."
)

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The learner's or buyer's email.", show_default=False)]


def forget_command(
    context: typer.Context,
    email: Email,
    *,
    reason: Why = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Take a learner's name, email and addresses out of the ledger; what was done stays, under a pseudonym.

    Every run of theirs must be finished. What sources sent of their orders is dropped, texts that quote them are
    masked, and a tombstone keeps an edit at the source or a restored copy from bringing them back. Prints a receipt.
    The shop and LearningCart keep what they hold: forget the person there too.
    """
    from worker.ledger.learners.erasure import find_person, forget
    from worker.ledger.learners.erasure_file import ErasureFile
    from worker.ledger.learners.erasure_replay import write_missing
    from worker.ledger.views.lookup import not_found
    from worker.text.email_address import email_problem, is_email, trimmed_email

    must_be_askable(yes=yes or dry_run)
    with opening_of(context).runtime() as runtime:
        with runtime.ledger.read() as connection:
            person = find_person(connection, email)
            # A known one may have been taken in before what it holds was refused.
            if not person.is_known and not is_email(trimmed_email(email)):
                complain(f"{email!r} is no email: it {email_problem(email)}.")
                raise typer.Exit(MISUSED)
            if not person.is_known:
                raise not_found(connection, "learner", email)
        if person.open_run_ids:
            _refuse(person)
        if not as_json or dry_run:
            typer.echo(_summary(person), err=as_json)
        if dry_run:
            typer.echo("Nothing was changed.", err=as_json)
            return
        ask("It cannot be undone. Forget this learner?", yes=yes)
        file = ErasureFile(runtime.settings.erasures_path)
        receipt = None
        with runtime.ledger.write() as connection:
            # As it is now: something may have come in while the question stood.
            person = find_person(connection, email)
            if not person.open_run_ids:
                receipt = forget(connection, person, now=runtime.clock(), actor=current_actor(), reason=reason)
                # Before the commit: an erasure that no restored copy could be told of is none.
                write_missing(connection, file)
        if receipt is None:
            _refuse(person)
            return
        _print_receipt(runtime, receipt, file, as_json=as_json)


def _print_receipt(runtime: Runtime, receipt: Receipt, file: ErasureFile, *, as_json: bool) -> None:
    from worker.ledger.compaction import FileInUseError, rewrite_file
    from worker.ledger.views.serializers import iso

    remains = [*REMAINS]
    problem = None
    try:
        is_rewritten = rewrite_file(runtime.ledger)
    except FileInUseError as error:
        is_rewritten, problem = False, f"{error}. Repeat that with: cartbridge retention --yes"
        remains.append(problem)
    if not is_rewritten and problem is None:
        remains.append(ON_POSTGRESQL)
    shape = {
        "erasure_id": None if receipt.tombstone is None else receipt.tombstone.id,
        "erased_at": iso(receipt.erased_at),
        "pseudonym": receipt.pseudonym,
        "removed": dict(receipt.removed),
        "erasures_file": str(file.path),
        "file_rewritten": is_rewritten,
        "remains": remains,
    }
    if as_json:
        print_json(shape)
    else:
        typer.echo(f"Forgotten. In their place stands {receipt.pseudonym}")
        removed = ", ".join(f"{count} in {table}" for table, count in receipt.removed.items())
        typer.echo(f"Erasure {shape['erasure_id']} at {shape['erased_at']}. Rows changed: {removed or 'none'}.")
        typer.echo(f"Noted in {file.path}: keep that file apart from the ledger's copies.")
        typer.echo("What remains, and why:")
        for sentence in remains:
            typer.echo(f"- {sentence}")
    if problem is not None:
        raise typer.Exit(FAILED)


def _summary(person: Person) -> str:
    return (
        f"The ledger holds of {person.email}: {counted(len(person.run_ids), 'run')}, "
        f"{counted(len(person.orders), 'order')}, {counted(person.completions, 'completion')}, "
        f"{counted(person.messages, 'outgoing event')}."
    )


def _refuse(person: Person) -> None:
    """Exit with 1: a run that is not finished needs to know whom it is for."""
    first = person.open_run_ids[0]
    shown = ", ".join(person.open_run_ids[:5])
    complain(
        f"{counted(len(person.open_run_ids), 'run')} of {person.email} not finished: {shown}. "
        f"Let them end, or: cartbridge runs cancel {first} (or: runs resolve {first})"
    )
    raise typer.Exit(FAILED)
