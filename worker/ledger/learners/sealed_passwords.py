"""Keeps new customers' passwords sealed until they are mailed, and erases them.

Each function works inside the transaction it is given and commits nothing itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, exists, select, update

from worker.errors import LedgerError
from worker.ledger.sql import insert_ignoring
from worker.ledger.states import RunState
from worker.ledger.tables.learners import sealed_passwords
from worker.ledger.tables.runs import runs


class SealBrokenError(LedgerError):
    """A sealed password cannot be opened: the key that sealed it is not among those that are set."""


@dataclass(frozen=True)
class Credentials:
    """What a new customer logs in with."""

    password: str = field(repr=False)
    user_name: str = field(default="", repr=False)


class PasswordSeal:
    """Seals and opens credentials. The first key seals, all open: that is how a key is replaced."""

    def __init__(self, keys: Sequence[str]) -> None:
        from cryptography.fernet import Fernet, InvalidToken, MultiFernet  # noqa: PLC0415 -- it brings OpenSSL

        self._fernet = MultiFernet([Fernet(key) for key in keys])
        self._refusal = InvalidToken

    def __repr__(self) -> str:
        return "PasswordSeal()"

    def close(self, credentials: Credentials, *, run_id: str) -> str:
        """Seal credentials for one run: for another they cannot be opened."""
        content = {"run_id": run_id, "password": credentials.password, "user_name": credentials.user_name}
        return self._fernet.encrypt(json.dumps(content).encode()).decode("ascii")

    def opens(self, ciphertext: str, *, run_id: str) -> bool:
        """Whether the keys that are set open what was sealed for a run."""
        try:
            self.open(ciphertext, run_id=run_id)
        except SealBrokenError:
            return False
        return True

    def open(self, ciphertext: str, *, run_id: str) -> Credentials:
        """Open what was sealed for a run. Raises `SealBrokenError`."""
        content = None
        with suppress(self._refusal):
            content = json.loads(self._fernet.decrypt(ciphertext))
        if content is None or content["run_id"] != run_id:
            raise SealBrokenError(f"the password kept for run {run_id} cannot be opened by the keys that are set")
        return Credentials(content["password"], content["user_name"])


def keep(connection: Connection, run_id: str, ciphertext: str, *, now: datetime) -> None:
    """Keep a sealed password for its run. One that is kept already stays."""
    insert_ignoring(
        connection,
        sealed_passwords,
        {"run_id": run_id, "ciphertext": ciphertext, "created_at": now, "erased_at": None},
    )


def find(connection: Connection, run_id: str) -> str | None:
    """The sealed password of a run; None where there never was one, or none any more."""
    return connection.scalar(select(sealed_passwords.c.ciphertext).where(sealed_passwords.c.run_id == run_id))


def all_sealed(connection: Connection) -> list[tuple[str, str]]:
    """Every password that is kept, as `(run_id, ciphertext)`, oldest first. Few: each goes with its mail."""
    found = connection.execute(
        select(sealed_passwords.c.run_id, sealed_passwords.c.ciphertext)
        .where(sealed_passwords.c.ciphertext.is_not(None))
        .order_by(sealed_passwords.c.created_at, sealed_passwords.c.run_id)
    )
    return [(row.run_id, row.ciphertext) for row in found]


def erase(connection: Connection, run_ids: Iterable[str], *, now: datetime) -> list[str]:
    """Overwrite what is kept for these runs; returns those for which something was. Safe to repeat."""
    erased = connection.scalars(
        update(sealed_passwords)
        .where(sealed_passwords.c.run_id.in_(sorted(run_ids)), sealed_passwords.c.ciphertext.is_not(None))
        .values(ciphertext=None, erased_at=now)
        .returning(sealed_passwords.c.run_id)
    )
    return sorted(erased)


def out_of_time(connection: Connection, *, before: datetime) -> list[str]:
    """The runs whose passwords were kept since before a moment, or whose mail needs none any more."""
    done = (RunState.SUCCEEDED, RunState.CANCELLED)
    is_done = exists().where(runs.c.id == sealed_passwords.c.run_id, runs.c.state.in_(done))
    found = connection.scalars(
        select(sealed_passwords.c.run_id)
        .where(sealed_passwords.c.ciphertext.is_not(None), (sealed_passwords.c.created_at < before) | is_done)
        .order_by(sealed_passwords.c.created_at, sealed_passwords.c.run_id)
    )
    return list(found)
