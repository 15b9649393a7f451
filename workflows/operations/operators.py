"""Who may sign in to the page by a name of their own: adding an operator, and removing one."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from argon2 import PasswordHasher

from worker.errors import CartbridgeError, NotInLedgerError
from worker.ledger.events import record_event
from worker.ledger.session import Ledger
from worker.ledger.web import operators

LONGEST_NAME: Final = 60
SHORTEST_PASSWORD: Final = 8
LONGEST_PASSWORD: Final = 1000
RESERVED: Final = frozenset({"admin", "api", "unknown"})
"""Names that the audit trail uses for others: the admin password, the API's token, and nobody in particular."""


class OperatorError(CartbridgeError):
    """A name or a password that cannot be taken; the message says why, and repeats no password."""


def checked_name(name: str) -> str:
    """The name as it is kept: one line, single spaces. Raises `OperatorError`."""
    found = " ".join(name.split())
    if not found or len(found) > LONGEST_NAME or not found.isprintable():
        raise OperatorError(f"An operator's name is 1 to {LONGEST_NAME} letters, in one line.")
    if operators.name_key(found) in RESERVED:
        raise OperatorError(f"{found} is no operator's name: the audit trail uses it for others.")
    return found


def check_free(ledger: Ledger, name: str) -> None:
    """Raises `OperatorError` for a name that is there."""
    with ledger.read() as connection:
        if operators.credentials_of(connection, name) is not None:
            raise _is_there(name)


def _is_there(name: str) -> OperatorError:
    return OperatorError(
        f"There is an operator {name}. For another password: cartbridge operators remove, then add again"
    )


def check_password(password: str) -> None:
    """Raises `OperatorError` for a password that cannot be taken."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD or password.isspace():
        raise OperatorError(f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD:,} characters.")


def add_operator(ledger: Ledger, name: str, password: str, *, actor: str, reason: str | None, now: datetime) -> str:
    """Let somebody sign in by this name; one transaction. Raises `OperatorError`, also for a name that is there."""
    name = checked_name(name)
    check_password(password)
    password_hash = PasswordHasher().hash(password)
    with ledger.write() as connection:
        if not operators.add(connection, name, password_hash=password_hash, added_by=actor, now=now):
            raise _is_there(name)
        detail = {"operator": name}
        record_event(connection, at=now, kind="operator_added", actor=actor, reason=reason, detail=detail)
    return f"added operator {name}"


def remove_operator(
    ledger: Ledger, name: str, *, actor: str, reason: str | None, now: datetime, dry_run: bool = False
) -> str:
    """Let them sign in no more; their sessions end with the commit. What they did stays in the audit trail.

    Raises `NotInLedgerError`.
    """
    with ledger.write() as connection:
        found = operators.credentials_of(connection, name)
        if found is None:
            raise NotInLedgerError(f"There is no operator {name}. See: cartbridge operators list")
        known_name = found.name
        if dry_run:
            return f"would remove operator {known_name}, and sign them out everywhere"
        operators.remove(connection, found.name_key)
        detail = {"operator": known_name}
        record_event(connection, at=now, kind="operator_removed", actor=actor, reason=reason, detail=detail)
    return f"removed operator {known_name}: signed out everywhere"
