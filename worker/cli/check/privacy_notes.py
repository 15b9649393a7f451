"""What `cartbridge check` tells of how long things are kept, and of the file of erasures."""

from __future__ import annotations

from sqlalchemy import Connection

from worker.formatting import counted_days
from worker.ledger.learners.erasure_file import ErasureFile, ErasureFileError
from worker.ledger.learners.erasure_replay import missing_in
from worker.settings.settings import Settings


def retention_note(settings: Settings) -> str:
    """For how long each kind is kept."""
    days = settings.retention
    periods = {
        "order versions": days.order_versions_days,
        "deliveries": days.deliveries_days,
        "texts": days.texts_days,
        "completions' names": days.completions_days,
    }
    return "keeps " + ", ".join(
        f"{name} {counted_days(each) if each else 'for good'}" for name, each in periods.items()
    )


def erasures_problem(settings: Settings, connection: Connection) -> str:
    """What to do where a restored copy could not be told of everybody who was forgotten; empty where it could."""
    file = ErasureFile(settings.erasures_path)
    try:
        missing = missing_in(connection, file)
        mode = file.path.stat().st_mode & 0o077 if file.exists() else 0
    except ErasureFileError as error:
        return str(error)
    if missing:
        return (
            f"{missing} of the ledger's erasures {'is' if missing == 1 else 'are'} not in {file.path}, so a restored "
            f"copy would know those people again. Put the file back; the next `cartbridge forget` adds what it lacks."
        )
    return f"Others can read or write {file.path}: chmod 600 {file.path}" if mode else ""
