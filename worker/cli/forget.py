"""`cartbridge forget`: take a learner's personal data out of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.arguments import DryRun, Why, Yes
from worker.cli.asking import ask
from worker.cli.failures import FAILED, MISUSED, complain
from worker.cli.opening import current_actor, opening_of
from worker.cli.printing import counted

if TYPE_CHECKING:
    from worker.ledger.forgetting import Person

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The learner's or buyer's email.", show_default=False)]


def forget_command(
    context: typer.Context, email: Email, reason: Why = None, dry_run: DryRun = False, yes: Yes = False
) -> None:
    """Take a learner's name, email and addresses out of the ledger; what was done stays, under a pseudonym.

    Every run of theirs must be finished. What sources sent of their orders is dropped; the audit trail never held an
    email. The shop and LearningCart keep what they hold: forget the person there first, or a changed order brings the
    email back.
    """
    from worker.email_address import email_problem, is_email, trimmed_email
    from worker.ledger.finding import not_found
    from worker.ledger.forgetting import find_person, forget

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
        typer.echo(_told(person))
        if dry_run:
            typer.echo("Nothing was changed.")
            return
        ask("It cannot be undone. Forget this learner?", yes=yes)
        with runtime.ledger.write() as connection:
            # As it is now: something may have come in while the question stood.
            person = find_person(connection, email)
            if not person.open_run_ids:
                forget(connection, person, now=runtime.clock(), actor=current_actor(), reason=reason)
        if person.open_run_ids:
            _refuse(person)
        typer.echo(f"Forgotten. In their place stands {person.pseudonym}")


def _told(person: Person) -> str:
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
