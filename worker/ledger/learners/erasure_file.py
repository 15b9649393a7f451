"""The file of erasures, outside the ledger: a restored copy of the ledger learns from it whom to forget again.

One line of JSON an erasure, added and synchronised to the disk before the ledger commits. It holds keyed hashes and
order ids; the key is in the ledger alone, so that the file by itself tells nothing of anybody.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from worker.errors import LedgerError
from worker.ledger.learners.tombstones import Tombstone, as_line, from_line

_MODE = 0o600


class ErasureFileError(LedgerError):
    """The file of erasures cannot be read or written. The message names it and the next step."""


class ErasureFile:
    """The file at `path`. Lines are only added; safe for several processes at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether anybody was ever forgotten, as far as the file knows."""
        return self.path.exists()

    def read(self) -> list[Tombstone]:
        """Every erasure in the file, the first of each id; none where there is no file. Raises `ErasureFileError`."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        except (OSError, UnicodeDecodeError) as error:
            raise self._error("read", error) from None
        found: dict[str, Tombstone] = {}
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                tombstone = from_line(line)
            except ValueError:
                raise ErasureFileError(
                    f"{self.path} line {number} is no erasure. Put the file back from its newest copy "
                    f"(docs/backup.md); a last line that was cut off by a crash may be deleted."
                ) from None
            found.setdefault(tombstone.id, tombstone)
        return list(found.values())

    def add(self, tombstones: Iterable[Tombstone]) -> None:
        """Add erasures, and have them on the disk when this returns. Raises `ErasureFileError`; repeating is safe."""
        lines = "".join(f"{as_line(each)}\n" for each in tombstones)
        if not lines:
            return
        try:
            is_new = not self.path.exists()
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, _MODE)
            try:
                size = os.fstat(handle).st_size
                is_cut_off = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
                _write_whole(handle, (f"\n{lines}" if is_cut_off else lines).encode(), size)
                os.fsync(handle)
            finally:
                os.close(handle)
            if is_new:
                self._sync_directory()
        except OSError as error:
            raise self._error("write", error) from None

    def _sync_directory(self) -> None:
        handle = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _error(self, verb: str, error: Exception) -> ErasureFileError:
        why = getattr(error, "strerror", None) or type(error).__name__
        return ErasureFileError(
            f"Cannot {verb} the file of erasures {self.path}: {why}. Nothing was forgotten. "
            f"CARTBRIDGE_ERASURES_FILE says where it is."
        )


def _write_whole(handle: int, written: bytes, size: int) -> None:
    """Add to a file of this size, or leave it as it was: a line that a full disk cut off would be unreadable."""
    try:
        if os.write(handle, written) < len(written):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.ftruncate(handle, size)
        raise
