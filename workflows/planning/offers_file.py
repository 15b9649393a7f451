"""The offers file on disk: read again when it changes, and the last valid rules while it cannot be used."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from worker.ledger.offers_in_force import keep_offers, note_offers_problem, offers_in_force_row
from worker.ledger.session import Ledger
from workflows.planning.offers import Offers, OffersError, parse_offers, refuse, short_problem

log = logging.getLogger(__name__)

_Mark = tuple[int, int, int]


@dataclass(frozen=True)
class _Read:
    """What one look at the file found."""

    mark: _Mark | None
    """What changes when the file does; None where there is none."""
    offers: Offers | None
    """The rules in force since: the file's, or the last valid ones."""
    text: str = ""
    problems: tuple[str, ...] = ()


def read_offers_file(path: Path) -> str:
    """The file's text; raises `OffersError` when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows' editors put a mark before the first letter
    except FileNotFoundError:
        problem = (
            f"{path}: there is no such file. `cartbridge init` makes it; or copy offers.example.toml there, or set "
            "CARTBRIDGE_OFFERS_FILE."
        )
        raise OffersError(problem, problems=(problem,)) from None
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or "for no known reason") if isinstance(error, OSError) else "it is not UTF-8"
        problem = f"{path}: cannot be read ({why}). It must be a readable UTF-8 file."
        raise OffersError(problem, problems=(problem,)) from None


def load_offers(path: Path) -> Offers:
    """Read and check the file at `path`; raises `OffersError`, also when it cannot be read."""
    return parse_offers(read_offers_file(path), name=str(path))


class OffersFile:
    """The offers in force: the file as it is now, or its last valid rules while it cannot be used.

    The last valid rules are this process's own, else the ledger's, so that a restart has them. Threads may share one.
    """

    def __init__(self, path: Path, ledger: Ledger | None = None) -> None:
        self.path = path
        self._ledger = ledger
        self._reading = threading.Lock()
        self._read: _Read | None = None
        self._recorded: _Read | None = None

    def current(self) -> Offers:
        """The rules in force. Never raises for what stands in the file; none at all where it never was valid."""
        return self._look().offers or Offers()

    def in_force(self) -> Offers:
        """The rules in force; raises `OffersError` where there never were any, for whom none is not the same."""
        read = self._look()
        if read.offers is None:
            raise refuse(str(self.path), list(read.problems))
        return read.offers

    def checked(self) -> Offers:
        """The rules of the file as it is now; raises `OffersError` while it cannot be used."""
        read = self._look()
        if read.problems:
            raise refuse(str(self.path), list(read.problems))
        return read.offers or Offers()

    def problems(self) -> tuple[str, ...]:
        """What is wrong with the file now, one problem a line; empty while it can be used."""
        return self._look().problems

    def keep(self, now: datetime) -> None:
        """Commit the file's text, or its problem, to the ledger if either has changed since this was last called.

        Call it outside transactions. Safe to repeat and to double; raises `SQLAlchemyError`.
        """
        read = self._look()
        if self._ledger is None or read is self._recorded:
            return
        with self._ledger.write() as connection:
            if read.problems:
                note_offers_problem(connection, short_problem(read.problems), now=now)
            else:
                keep_offers(connection, read.text, digest=self.current().digest, now=now)
        self._recorded = read

    def _look(self) -> _Read:
        with self._reading:
            mark = _mark_of(self.path)
            if self._read is None or self._read.mark != mark:
                self._read = self._read_anew(mark)
            return self._read

    def _read_anew(self, mark: _Mark | None) -> _Read:
        try:
            text = read_offers_file(self.path)
            return _Read(mark, parse_offers(text, name=str(self.path)), text)
        except OffersError as error:
            log.error("the offers file cannot be used, its last valid rules stay in force: %s", error.problems[0])  # noqa: TRY400  (what stands in a file is no fault of ours)
            return _Read(mark, self._last_valid(), problems=error.problems)

    def _last_valid(self) -> Offers | None:
        if self._read is not None and self._read.offers is not None:
            return self._read.offers
        if self._ledger is None:
            return None
        try:
            with self._ledger.read() as connection:
                row = offers_in_force_row(connection)
            return None if row is None or row.valid_at is None else parse_offers(row.text)
        except (SQLAlchemyError, OffersError) as error:
            log.warning("the last valid offers cannot be read from the ledger: %s", type(error).__name__)
            return None


def _mark_of(path: Path) -> _Mark | None:
    try:
        status: os.stat_result = path.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)
