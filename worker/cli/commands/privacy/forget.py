"""`cartbridge forget`: take a learner's personal data out of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.arguments import AsJson, DryRun, Why, Yes
from worker.cli.confirm import ask, must_be_askable
from worker.cli.context import current_actor, opening_of
from worker.cli.errors import FAILED
from worker.cli.output import print_json

if TYPE_CHECKING:
    from workflows.operations.forgetting import Forgotten

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
    from workflows.operations.forgetting import forget_person, person_to_forget, refuse_if_needed, what_is_held

    must_be_askable(yes=yes or dry_run)
    with opening_of(context).runtime() as runtime:
        person = person_to_forget(runtime.ledger, email)
        refuse_if_needed(person)
        if not as_json or dry_run:
            typer.echo(what_is_held(person), err=as_json)
        if dry_run:
            typer.echo("Nothing was changed.", err=as_json)
            return
        ask("It cannot be undone. Forget this learner?", yes=yes)
        receipt = forget_person(
            runtime.ledger,
            email,
            erasures_path=runtime.settings.erasures_path,
            actor=current_actor(),
            reason=reason,
            now=runtime.clock(),
        )
        _print_receipt(receipt, as_json=as_json)
        if runtime.ledger.is_sqlite and not receipt.file_rewritten:
            raise typer.Exit(FAILED)


def _print_receipt(receipt: Forgotten, *, as_json: bool) -> None:
    from worker.ledger.views.serializers import iso, to_json

    if as_json:
        print_json(to_json(receipt))
        return
    typer.echo(f"Forgotten. In their place stands {receipt.pseudonym}")
    removed = ", ".join(f"{count} in {table}" for table, count in receipt.removed.items())
    typer.echo(f"Erasure {receipt.erasure_id} at {iso(receipt.erased_at)}. Rows changed: {removed or 'none'}.")
    typer.echo(f"Noted in {receipt.erasures_file}: keep that file apart from the ledger's copies.")
    typer.echo("What remains, and why:")
    for sentence in receipt.remains:
        typer.echo(f"- {sentence}")
