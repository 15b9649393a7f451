"""Completions in the ledger: what is known of each learner's courses, how far they were read, and their listing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from worker.errors import NotInLedgerError
from worker.ledger.follow_on.carts import CartItem, FollowOnItem, carts_of, follow_ons
from worker.ledger.keys import new_id
from worker.ledger.periodic import list_polls as periodic
from worker.ledger.periodic.list_polls import ListName
from worker.ledger.sql import record_of, rows_among
from worker.ledger.tables.follow_on import CompletionRecord, completions
from worker.ledger.tables.periodic import ListPoll, list_polls
from worker.ledger.views.paging import chosen, mark_of, pages, unindexed
from worker.sources.order import email_key

LISTED_BY = "learningcart"
"""Whose list they are."""


class CompletionState(StrEnum):
    """How far a learner is in a course. It goes forward only."""

    BEGAN = "began"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Progress:
    """A learner's progress in a course."""

    id: str
    state: str
    customer_id: str
    email: str
    name: str
    course_id: str
    course_name: str
    score: int | None
    started_at: datetime | None
    completed_at: datetime | None
    first_seen_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionItem(_Progress):
    """A learner's progress in a course, with the runs that followed on it."""

    follow_ons: list[FollowOnItem]


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowOnDetail(FollowOnItem):
    """A run that followed on a completion, with every try of its cart, oldest first."""

    carts: list[CartItem]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionDetail(_Progress):
    """One completion in full."""

    follow_ons: list[FollowOnDetail]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionsPoll:
    """How the polls of completions are doing."""

    last_attempt_at: datetime | None
    last_success_at: datetime | None
    covered_until: datetime | None
    unreadable: int
    failures: int
    last_error: str | None


def known_completions(connection: Connection, keys: Sequence[str]) -> dict[str, CompletionRecord]:
    """The rows of these keys, by key."""
    found = rows_among(connection, select(completions), completions.c.key, keys)
    return {row.key: record_of(CompletionRecord, row) for row in found}


def add_completion(connection: Connection, values: dict[str, Any], *, now: datetime) -> str:
    """Add a row; returns its id. `values` are its columns but id, email key and times of writing."""
    completion_id = new_id(now)
    connection.execute(
        insert(completions).values(
            **values, id=completion_id, email_key=email_key(values["email"]), first_seen_at=now, updated_at=now
        )
    )
    return completion_id


def change_completion(connection: Connection, completion_id: str, values: dict[str, Any], *, now: datetime) -> None:
    """Write what became of a row; `values` as for `add_completion`."""
    connection.execute(
        update(completions)
        .where(completions.c.id == completion_id)
        .values(**values, email_key=email_key(values["email"]), updated_at=now)
    )


def take_poll(connection: Connection, *, holder: str, now: datetime, lease_seconds: float) -> ListPoll | None:
    """Take their list for a poll; None while another poll holds it. The first one to take it is the first contact."""
    first = list_polls.c.first_contact_at
    return periodic.take_poll(
        connection,
        LISTED_BY,
        ListName.COMPLETIONS,
        holder=holder,
        now=now,
        lease_seconds=lease_seconds,
        first_contact_at=func.coalesce(first, bindparam("contact_at", now, first.type)),
    )


def write_poll(connection: Connection, *, holder: str, **values: Any) -> bool:
    """Write to the poll as its holder, and keep its row locked; False, and nothing written, for anybody else."""
    return periodic.write_poll(connection, LISTED_BY, ListName.COMPLETIONS, holder=holder, **values)


def last_poll_at(connection: Connection) -> datetime | None:
    """When they were last asked for, None before the first poll."""
    return periodic.last_attempt_at(connection, LISTED_BY, ListName.COMPLETIONS)


def list_completions(
    connection: Connection,
    *,
    email: str | None = None,
    course_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int | None = None,
    after: str | None = None,
) -> Iterator[CompletionItem]:
    """Completions, those with the latest news first. `since` and `until` bound `updated_at`.

    `after` is the last one's id of the page before; `NotInLedgerError` when there is none of that id.
    """
    filters = {"email": email, "since": since, "until": until}
    conditions = chosen(connection, filters, completions.c.updated_at, email=completions.c.email_key)
    if course_id is not None:
        conditions.append(unindexed(connection, completions.c.course_id) == course_id)
    order = (completions.c.updated_at, completions.c.id)
    query = select(completions).where(*conditions)
    mark = mark_of(connection, "completion", after, order, completions.c.id == after)
    for page in pages(connection, query, order, limit=limit, mark=mark):
        followed = follow_ons(connection, [row.id for row in page])
        for row in page:
            yield record_of(CompletionItem, row, follow_ons=followed.get(row.id, []))


def one_completion(connection: Connection, text: str) -> CompletionRecord:
    """The completion that an id, or the beginning of one, names.

    Raises `NotInLedgerError` for none and for several.
    """
    wanted = text.strip().lower()
    beginning = completions.c.id.startswith(wanted, autoescape=True)
    found = connection.execute(select(completions).where(beginning).limit(2)).all() if len(wanted) >= 4 else []
    if len(found) != 1:
        what = f"{text!r} begins the id of more than one completion" if found else f"There is no completion {text!r}"
        raise NotInLedgerError(f"{what} in the ledger. See: cartbridge completions list --json")
    return record_of(CompletionRecord, found[0])


def show_completion(connection: Connection, text: str) -> CompletionDetail:
    """One completion with what followed on it: its runs, and their carts. Raises as `one_completion`."""
    row = one_completion(connection, text)
    followed = [
        record_of(FollowOnDetail, run, carts=carts_of(connection, run.run_id))
        for run in follow_ons(connection, [row.id]).get(row.id, [])
    ]
    return record_of(CompletionDetail, row, follow_ons=followed)


def completions_poll(connection: Connection) -> CompletionsPoll | None:
    """How the polls of completions are doing; None before the first."""
    row = periodic.poll_of(connection, LISTED_BY, ListName.COMPLETIONS)
    if row is None:
        return None
    text = row.position.get("covered_until")
    covered_until = None if text is None else datetime.fromisoformat(text)
    unreadable = row.position.get("unreadable", 0)
    return record_of(CompletionsPoll, row, covered_until=covered_until, unreadable=unreadable)
