"""A lock on a SQLite ledger's file: one `cartbridge up` at a time, and certainty that no earlier one is alive."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from worker.errors import ConfigurationError

try:
    import fcntl
except ImportError:  # not on this system: SQLite's own locks still keep the ledger whole
    fcntl = None  # type: ignore[assignment]


class ProcessLock:
    """Held from `acquire` to `release`, or until the process ends in any way: the kernel lets go of it."""

    def __init__(self, ledger: Path) -> None:
        self._path = ledger.with_name(ledger.name + ".lock")
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """Take the lock.

        True: no other holder is alive. False: this system cannot tell. Raises `ConfigurationError` if another process
        holds it.
        """
        if fcntl is None:
            return False
        file = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip()
            file.close()
            raise ConfigurationError(
                f"Another `cartbridge up` (process {holder or 'unknown'}) works on this ledger. Stop it first; "
                "for several processes use PostgreSQL and Redis."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file
        return True

    def release(self) -> None:
        """Let go of the lock. Safe to repeat."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
