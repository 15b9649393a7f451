"""A SQLite ledger's file: one `cartbridge up` at a time, certain that no earlier one lives, and the file it opened."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from sqlalchemy.exc import OperationalError

from worker.errors import ConfigurationError

try:
    import fcntl
except ImportError:  # not on this system: SQLite's own locks still keep the ledger whole
    fcntl = None  # type: ignore[assignment]


class ProcessLock:
    """Held from `acquire` to `release`, or until the process ends in any way: the kernel lets go of it."""

    def __init__(self, ledger: Path) -> None:
        ledger = ledger.resolve()  # as SQLite does: a link leads to the same ledger
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


class SameFile:
    """Refuses a SQLite ledger whose file was moved, deleted or replaced since this process opened it.

    Its open connections would go on in the file that was there, and new ones in the other: what the one has sent, the
    other would send again, and orders acknowledged in a file that nobody has any more are lost.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[int, int] | None = None

    def __call__(self, _connection: Any, _record: Any, _proxy: Any) -> None:
        try:
            found = self._path.stat()
        except OSError:
            is_same = False
        else:
            self._opened = self._opened or (found.st_dev, found.st_ino)
            is_same = self._opened == (found.st_dev, found.st_ino)
        if not is_same:
            why = sqlite3.OperationalError("its file was moved or replaced: stop every process on it, and start again")
            raise OperationalError(None, None, why)
