"""Who was given access under an address, across orders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select

from worker.ledger.sql import columns_of, record_of
from worker.ledger.tables.runs import runs

MOST_RUNS: Final = 2_000
"""Of so many of an address's runs, the oldest, the names are read."""


@dataclass(frozen=True, slots=True)
class AddressUse:
    """An enrolment's place in an order, and whom it is for."""

    email_key: str
    learner: dict[str, Any] | None
    grant: dict[str, Any] | None
    state: str
    reason: str | None
    source: str
    order_id: str | None
    line_id: str
    seat_id: str

    @property
    def keeps_profile(self) -> bool:
        """Whether the name was not sent, since the profile has another."""
        return bool((self.learner or {}).get("keeps_profile"))


def uses_of_addresses(connection: Connection, keys: Collection[str]) -> dict[str, list[AddressUse]]:
    """The enrolments of each address, by its key, oldest first."""
    found: defaultdict[str, list[AddressUse]] = defaultdict(list)
    for row in connection.execute(_USES, {"keys": sorted(keys)}):
        found[row.email_key].append(record_of(AddressUse, row))
    return found


_USES = (
    select(*columns_of(AddressUse, runs))
    .where(runs.c.email_key.in_(bindparam("keys", expanding=True)), runs.c.workflow == "enrolment")
    .order_by(runs.c.created_at, runs.c.id)
    .limit(MOST_RUNS)
)
