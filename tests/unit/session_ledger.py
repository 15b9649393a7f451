"""One ledger for all the tests of a process, put back before each into a state that was made once."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from worker.ledger.session import Ledger


class SessionLedger:
    """A SQLite ledger at `path`, which begins as a copy of `migrated_file`.

    One engine serves all tests, since each new one compiles every statement anew.
    """

    def __init__(self, migrated_file: Path, path: Path) -> None:
        self.ledger = Ledger(f"sqlite:///{shutil.copy(migrated_file, path)}")
        self._file = sqlite3.connect(path)
        self._file.execute("PRAGMA synchronous=OFF")
        self._empty = self._image()
        self._filled: dict[Callable[[Ledger], object], sqlite3.Connection] = {}

    def emptied(self) -> Ledger:
        """The ledger, with nothing in it."""
        self._empty.backup(self._file)
        return self.ledger

    def filled_by(self, fill: Callable[[Ledger], object]) -> Ledger:
        """The ledger as `fill` leaves an empty one; called once, so its rows' ids are the same for every test."""
        if fill in self._filled:
            self._filled[fill].backup(self._file)
        else:
            fill(self.emptied())
            self._filled[fill] = self._image()
        return self.ledger

    def close(self) -> None:
        """Close every connection. The file stays."""
        for connection in (self._file, self._empty, *self._filled.values()):
            connection.close()
        self.ledger.close()

    def _image(self) -> sqlite3.Connection:
        image = sqlite3.connect(":memory:")
        self._file.backup(image)
        return image
