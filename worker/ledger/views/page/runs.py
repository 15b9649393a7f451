"""Runs for the operator's page: one page of them, newest first, by every filter the page offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from sqlalchemy import Connection, select

from worker.ledger.states import RunState
from worker.ledger.tables.page_indexes import NEEDS_PERSON, OTHER_SYSTEM, by_index_of
from worker.ledger.tables.runs import runs
from worker.ledger.views.listing import NEWEST_RUNS
from worker.ledger.views.paging import Filters, chosen, mark_of, pages
from worker.ledger.views.records import RUN_COLUMNS, RunItem

_USUAL_SYSTEM = "learningcart"
_NEEDS_PERSON = frozenset({RunState.REVIEW, RunState.FAILED})


def learner_names(connection: Connection, run_ids: Sequence[str]) -> dict[str, str]:
    """The names of the learners of runs, by the runs' ids; without those of whom no name is known."""
    first, last = (runs.c.learner[name].as_string().label(name) for name in ("first_name", "last_name"))
    rows = connection.execute(select(runs.c.id, first, last).where(runs.c.id.in_(run_ids)))
    names = {row.id: " ".join(filter(None, (row.first_name, row.last_name))) for row in rows}
    return {run_id: name for run_id, name in names.items() if name}


def page_of_runs(
    connection: Connection,
    *,
    system: str | None = None,
    after: str | None = None,
    limit: int,
    **filters: Unpack[Filters],
) -> list[RunItem]:
    """`limit` runs at most, as `listing.list_runs` gives them, whose `attempts` are not counted and 0.

    `system` is the destination a run was last claimed for. `after` is the last run's id of the page before;
    `NotInLedgerError` when there is none of that id.
    """
    indexes = []
    states = filters.get("states")
    if states and _NEEDS_PERSON.issuperset(states):
        indexes.append(by_index_of(connection, "runs", NEEDS_PERSON))
    if system not in {None, _USUAL_SYSTEM}:
        indexes.append(by_index_of(connection, "runs", OTHER_SYSTEM))
    wanted = chosen(connection, {**filters, "system": system}, runs.c.created_at)
    query = select(*RUN_COLUMNS).where(*wanted, *indexes)
    mark = mark_of(connection, "run", after, NEWEST_RUNS, runs.c.id == after)
    found = pages(connection, query, NEWEST_RUNS, limit=limit, mark=mark)
    return [RunItem.of(row, 0) for page in found for row in page]
