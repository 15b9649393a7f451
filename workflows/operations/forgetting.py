"""Forgetting a learner, as the command line and the API do it: what is held, the erasure, and the receipt."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from worker.errors import ConfigurationError, LedgerError
from worker.formatting import counted
from worker.ledger.compaction import FileInUseError, rewrite_file
from worker.ledger.exclusion import shut_out_writers
from worker.ledger.learners.erasure import Person, StillNeededError, addresses_beside, find_person, forget
from worker.ledger.learners.erasure_file import ErasureFile
from worker.ledger.learners.erasure_replay import write_missing
from worker.ledger.session import Ledger
from worker.ledger.views.lookup import not_found
from worker.text.email_address import email_problem, is_email, trimmed_email

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


class LedgerBusyError(LedgerError):
    """Others write without a pause. The message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """The receipt of an erasure; `removed` counts the rows that were changed, by table."""

    erasure_id: str | None
    erased_at: datetime
    pseudonym: str
    removed: dict[str, int]
    erasures_file: str
    file_rewritten: bool
    remains: list[str]


def person_to_forget(ledger: Ledger, email: str) -> Person:
    """Whom the ledger knows by an email. Raises `ConfigurationError` for no email, `NotInLedgerError`."""
    with ledger.read() as connection:
        person = find_person(connection, email)
        if person.is_known:  # one may have been taken in before what it holds was refused
            return replace(person, beside=tuple(addresses_beside(connection, person)))
        if not is_email(trimmed_email(email)):
            raise ConfigurationError(f"This is no email: it {email_problem(email)}.")
        raise not_found(connection, "learner", email)


def what_is_held(person: Person) -> str:
    """A sentence on what would be erased."""
    return (
        f"The ledger holds of {person.email}: {counted(len(person.run_ids), 'run')}, "
        f"{counted(len(person.orders), 'order')}, {counted(person.completions, 'completion')}, "
        f"{counted(person.messages, 'outgoing event')}.{' ' + _beside(person.beside) if person.beside else ''}"
    )


def _beside(addresses: Collection[str]) -> str:
    return (
        f"The same name stands in the same orders under {', '.join(addresses)}: two addresses are two people here. "
        f"Forget that one too, if it is theirs."
    )


def refuse_if_needed(person: Person) -> None:
    """Raise `StillNeededError` where a run is not finished: it needs to know whom it is for."""
    if not person.open_run_ids:
        return
    first = person.open_run_ids[0]
    shown = ", ".join(person.open_run_ids[:5])
    raise StillNeededError(
        f"{counted(len(person.open_run_ids), 'run')} of this learner not finished: {shown}. "
        f"Let them end, or: cartbridge runs cancel {first} (or: runs resolve {first})"
    )


@contextmanager
def _alone(ledger: Ledger, give_up_seconds: float) -> Iterator[Connection]:
    """A transaction beside which nobody records anything: an order under way would bring the person back."""
    give_up_at = time.monotonic() + give_up_seconds
    while True:
        with ledger.write() as connection:
            if shut_out_writers(connection):
                yield connection
                return
            connection.rollback()
        if time.monotonic() > give_up_at:
            raise LedgerBusyError(
                "Nothing was forgotten: other processes wrote without a pause. Try again when less comes in."
            )


def forget_person(
    ledger: Ledger,
    email: str,
    *,
    erasures_path: Path,
    actor: str,
    reason: str | None,
    now: datetime,
    rewrites: bool = True,
    give_up_seconds: float = 60.0,
) -> Forgotten:
    """Erase in one transaction, note it in the file of erasures before the commit, and rewrite SQLite's file after it.

    Raises `StillNeededError`, and `LedgerBusyError` where others write without a pause for so long. Where the file is
    in use, or it is not to be rewritten here, that is among what remains, with the command that does it.
    """
    file = ErasureFile(erasures_path)
    with _alone(ledger, give_up_seconds) as connection:
        # As it is now: something may have come in since somebody was asked.
        person = find_person(connection, email)
        refuse_if_needed(person)
        beside = addresses_beside(connection, person)
        receipt = forget(connection, person, now=now, actor=actor, reason=reason)
        # Before the commit: an erasure that a restored copy would not know of is none.
        write_missing(connection, file)
    remains = [*REMAINS, *([_beside(beside)] if beside else [])]
    is_rewritten = False
    if not ledger.is_sqlite:
        remains.append(ON_POSTGRESQL)
    elif not rewrites:
        remains.append("What the ledger's file held of them, until it is rewritten: cartbridge retention --yes")
    else:
        try:
            is_rewritten = rewrite_file(ledger)
        except FileInUseError as error:
            remains.append(f"{error}. Repeat that with: cartbridge retention --yes")
    return Forgotten(
        erasure_id=None if receipt.tombstone is None else receipt.tombstone.id,
        erased_at=receipt.erased_at,
        pseudonym=receipt.pseudonym,
        removed=dict(receipt.removed),
        erasures_file=str(file.path),
        file_rewritten=is_rewritten,
        remains=remains,
    )
