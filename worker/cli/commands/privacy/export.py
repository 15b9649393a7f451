"""`cartbridge export`: everything that is held about a person, for whoever asks what we know of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.arguments import AsJson, Why
from worker.cli.context import current_actor, opening_of
from worker.cli.errors import FAILED, MISUSED, complain
from worker.cli.output import note
from worker.text.control_characters import CONTROL_CHARACTERS, JSON_CONTROLS

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The learner's or buyer's email.", show_default=False)]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="FILE", help="Write it to this new file, which only you can read.", dir_okay=False
    ),
]


def export_command(
    context: typer.Context,
    email: Email,
    *,
    output: Output = None,
    reason: Why = None,
    as_json: AsJson = False,
) -> None:
    """Print everything the ledger holds about a person: orders, runs, texts, events, completions, carts, messages.

    Others in the same orders are left out. The audit trail keeps that it was done, and not of whom by name.
    """
    from worker.ledger.events import record_event
    from worker.ledger.learners.erasure import find_person, words_of
    from worker.ledger.learners.export import as_text, export_person
    from worker.ledger.views.lookup import not_found
    from worker.text.email_address import email_problem, is_email, trimmed_email
    from worker.text.personal_text import without_words

    with opening_of(context).runtime() as runtime:
        with runtime.ledger.read() as connection:
            person = find_person(connection, email)
            if not person.is_known and not is_email(trimmed_email(email)):
                complain(f"{email!r} is no email: it {email_problem(email)}.")
                raise typer.Exit(MISUSED)
            if not person.is_known:
                raise not_found(connection, "learner", email)
            found = export_person(connection, person, now=runtime.clock())
            why = None if reason is None else without_words(reason, words_of(connection, person))
        lines = (line.replace("\n", "\\n").translate(CONTROL_CHARACTERS) for line in as_text(found))
        document = json.dumps(found, indent=2, ensure_ascii=False).translate(JSON_CONTROLS)
        text = document if as_json else "\n".join(lines)
        with runtime.ledger.write() as connection:
            detail = {"learner_id": person.learner_id, "runs": len(person.run_ids), "orders": len(person.orders)}
            record_event(
                connection,
                at=runtime.clock(),
                kind="learner_exported",
                actor=current_actor(),
                reason=why,
                detail=detail,
            )
    if output is None:
        typer.echo(text)
    else:
        _write(output, text)


def _write(path: Path, text: str) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        complain(f"Cannot write {path}: {error.strerror}. Name a file that is not there yet.")
        raise typer.Exit(FAILED) from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"{text}\n")
    note(f"Written to {path}, which only you can read.")
