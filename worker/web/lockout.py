"""How often one address may guess a secret, as every process of this ledger knows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from worker.ledger.session import Ledger
from worker.ledger.web import lockouts

LOGIN_FREE_FAILURES = 5
API_FREE_FAILURES = 30


@dataclass(frozen=True)
class Lockout:
    """The lock-outs of one kind of secret. Blocks for the ledger and raises `SQLAlchemyError`; threads may share it."""

    ledger: Ledger
    kind: str
    """`login` or `api`."""
    free_failures: int
    clock: Callable[[], datetime]

    def wait_seconds(self, address: str) -> int | None:
        """The seconds an address has to wait before it may try; None where it need not."""
        with self.ledger.read() as connection:
            return lockouts.wait_seconds(connection, self.kind, address, now=self.clock())

    def admit(self, address: str) -> int | None:
        """Count one more try as a failure, until `forget` says otherwise. None: go on; else the seconds to wait."""
        # A guess that has to wait must cost no write.
        wait_seconds = self.wait_seconds(address)
        if wait_seconds is not None:
            return wait_seconds
        with self.ledger.write() as connection:
            return lockouts.admit(connection, self.kind, address, free_failures=self.free_failures, now=self.clock())

    def forget(self, address: str) -> None:
        """The address has proven itself: it begins anew."""
        with self.ledger.write() as connection:
            lockouts.forget(connection, self.kind, address)
