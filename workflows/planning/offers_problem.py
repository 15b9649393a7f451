"""What is wrong with the offers file, for pages and listings."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

from worker.ledger.offers_in_force import offers_in_force_row


def offers_problem(connection: Connection, path: Path) -> str | None:
    """What is wrong with the offers file, in a line: as it is here, else as a worker last found it; None if nothing.

    A text that is in force was checked by whoever put it in force, and is not checked again. Writes nothing.
    """
    row = offers_in_force_row(connection)
    if row is None or row.valid_at is None or row.text != _text_of(path):
        from workflows.planning.offers import OffersError, short_problem  # noqa: PLC0415 -- both only where it is new
        from workflows.planning.offers_file import load_offers  # noqa: PLC0415

        try:
            load_offers(path)
        except OffersError as error:
            return short_problem(error.problems)
    return None if row is None or row.problem is None else f"a worker found: {row.problem}"


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
