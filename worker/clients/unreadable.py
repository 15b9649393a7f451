"""A row of a list that cannot be read: it is set aside by name, and the rest of its list goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from worker.clients.reading import as_int, fold
from worker.errors import UnexpectedResponseError

_ID_KEYS: Final = ("id", "orderid")
_OWN_PACKAGES: Final = frozenset({"worker", "workflows"})

_R = TypeVar("_R")


@dataclass(frozen=True)
class UnreadableRow:
    """One row that is no record.

    `id` recognises the row while its list is paged: the record's own where it can be read, else a negative number made
    from the row's content. `problem` holds nothing of the row's content.
    """

    id: int
    problem: str = field(compare=False)

    @property
    def record_id(self) -> str | None:
        """The record's own id, None where it cannot be read."""
        return str(self.id) if self.id > 0 else None

    @property
    def fingerprint(self) -> str:
        """What tells this row from others where it has no id of its own."""
        return f"{-self.id:x}" if self.id < 0 else str(self.id)


Rows = Sequence[_R | UnreadableRow]
"""A list's rows, in its order."""


def read_rows(rows: Sequence[Any], read: Callable[[Any], _R], *, by_id: bool = True) -> list[_R | UnreadableRow]:
    """Read each row; one for which `read` raises becomes an `UnreadableRow`.

    With `by_id`, for records that have one, raises what `read` raised where not one row is read or has an id: then it
    is no list of such records. Any exception counts: which one a hostile number raises is the parser's choice.
    """
    found: list[_R | UnreadableRow] = []
    first_error: Exception | None = None
    for row in rows:
        try:
            found.append(read(row))
        except Exception as error:  # noqa: BLE001  (whatever a row does to a parser concerns that row)
            first_error = first_error or error
            found.append(unreadable_row(row, error))
    if by_id and first_error is not None and all(isinstance(each, UnreadableRow) and each.id < 0 for each in found):
        raise first_error
    return found


def unreadable_row(row: object, error: Exception) -> UnreadableRow:
    """The row that `error` kept from being read."""
    if isinstance(row, dict):
        ids = (as_int(value) for key, value in row.items() if fold(str(key)) in _ID_KEYS)
        own_id = next((number for number in ids if number is not None and number > 0), None)
        if own_id is not None:
            return UnreadableRow(own_id, problem_of(error))
    written = json.dumps(row, sort_keys=True, default=str).encode("utf-8", "replace")
    return UnreadableRow(-1 - int(hashlib.sha256(written).hexdigest()[:12], 16), problem_of(error))


def problem_of(error: BaseException) -> str:
    """What went wrong and where, without the error's text, which may quote what it could not read.

    "no readable id" of a client's own error, else `InvalidOperation in worker/sources/frontcore.py, line 163`.
    """
    if isinstance(error, UnexpectedResponseError):
        return error.message
    place, traceback = "", error.__traceback__
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] in _OWN_PACKAGES:
            place = f" in {module}, line {traceback.tb_lineno}"
        traceback = traceback.tb_next
    return f"{type(error).__name__}{place}"
