"""A lock on a SQLite ledger's file: one `cartbridge up` at a time, and certainty that no earlier one is alive."""

from __future__ import annotations

import os
from contextlib import suppress
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
        try:
            file = self._path.open("a+", encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"The ledger's lock {self._path} cannot be written ({error.strerror}). Is there room on its disk, and "
                "may this user write there?"
            ) from None
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
        with suppress(OSError):  # a full disk: the lock holds all the same, and what is written in it is for people
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), f"{os.getpid()}\n".encode())
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
