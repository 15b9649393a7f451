"""Whether the ledger takes writes, and keeps them: what a look that only reads does not show."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, text

_LEAST_BYTES: Final = 1 << 20
_KEEPS: Final = ("fsync", "full_page_writes", "synchronous_commit")


def why_unwritable(connection: Connection, path: Path | None) -> str:
    """Why nothing can be written (a replica, a read-only file, a full disk), as far as can be told without writing;
    empty where it can. `path` is a SQLite ledger's.
    """
    if path is None:
        is_read_only = connection.dialect.name != "sqlite" and connection.scalar(text("SHOW transaction_read_only"))
        return "the server only reads (a replica?)" if is_read_only == "on" else ""
    if not (os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK)):
        return "its file or folder is read-only"
    return "its disk is full" if shutil.disk_usage(path.absolute().parent).free < _LEAST_BYTES else ""


def forgets(connection: Connection) -> str:
    """What to change where PostgreSQL may forget after a crash what it has acknowledged; empty where it keeps it."""
    if connection.dialect.name == "sqlite":
        return ""
    off = [name for name in _KEEPS if connection.scalar(text(f"SHOW {name}")) == "off"]
    if not off:
        return ""
    return (
        f"Set {' and '.join(off)} to on at the server: after a crash it may forget what was sent, which would be sent "
        f"once more."
    )
