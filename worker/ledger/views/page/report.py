"""A month's report: for each course, source and customer, the seats granted, refunded and in question."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime, tzinfo
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, case, func, or_, select

from worker.errors import ConfigurationError
from worker.ledger.keys import PARTIALLY_REFUNDED, REVOKE
from worker.ledger.states import RunState
from worker.ledger.tables.page_indexes import NEEDS_PERSON, REVOCATIONS, by_index_of
from worker.ledger.tables.runs import orders, runs
from worker.reasons import Reason

REVOCATION: Final = "revocation"
_ENROLMENT: Final = "enrolment"
_TAKEN_BACK: Final = (REVOKE, PARTIALLY_REFUNDED)
"""What the keys of these questions hold. Others are of no refund: another learner, a second order, a payment again."""
_MONTH: Final = re.compile(r"(?!0000)[0-9]{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Month:
    """One month of a time zone."""

    name: str
    """`2026-10`."""
    begins_at: datetime
    ends_at: datetime

    @classmethod
    def named(cls, name: str, zone: tzinfo) -> Month:
        """Raises `ConfigurationError` for a name that is no month."""
        if not _MONTH.fullmatch(name) or name == "9999-12":
            raise ConfigurationError(f"{name!r} is no month. Give it as 2026-10.")
        year, month = map(int, name.split("-"))
        later = (year + 1, 1) if month == 12 else (year, month + 1)
        return cls(name, datetime(year, month, 1, tzinfo=zone), datetime(*later, 1, tzinfo=zone))

    @classmethod
    def of(cls, moment: datetime, zone: tzinfo, *, earlier: int = 0) -> Month:
        """The month of a moment, or one so many months earlier."""
        local = moment.astimezone(zone)
        number = local.year * 12 + local.month - 1 - earlier
        return cls.named(f"{number // 12:04}-{number % 12 + 1:02}", zone)

    @property
    def title(self) -> str:
        """`October 2026`."""
        year, month = map(int, self.name.split("-"))
        return f"{calendar.month_name[month]} {year}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLine:
    """One course of one source for one customer: seats that were given access in the month, that were refunded or
    otherwise taken back in it, and that arrived in it and wait for a person.
    """

    month: str
    course: str
    source: str
    customer: str
    """The company, else the buyer; empty where the customers are added up."""
    granted: int
    refunded: int
    in_question: int


REPORT_FIELDS: Final = tuple(each.name for each in fields(ReportLine))


def report(
    connection: Connection,
    month: Month,
    *,
    by_customer: bool = True,
    course: str | None = None,
    source: str | None = None,
) -> list[ReportLine]:
    """The month's lines, by course, source and customer; of one course and source only, where they are given."""
    customer = case(
        (func.coalesce(_company(), "") != "", _company()),
        (orders.c.buyer_name != "", orders.c.buyer_name),
        else_=orders.c.buyer_email,
    )
    found: dict[tuple[str, str, str], list[int]] = {}
    for column, conditions in _conditions(connection, month):
        of_run = (runs.c.title, runs.c.source)
        counted: Select[Any] = select(*of_run, func.count().label("seats")).select_from(runs).where(*conditions)
        counted = counted.where(runs.c.order_id.is_not(None))
        if course is not None:
            counted = counted.where(runs.c.title == course)
        if source is not None:
            counted = counted.where(runs.c.source == source)
        if by_customer:
            same = and_(orders.c.source == runs.c.source, orders.c.order_id == runs.c.order_id)
            counted = counted.add_columns(customer.label("customer")).join(orders, same)
            counted = counted.group_by(*of_run, customer)
        else:
            counted = counted.group_by(*of_run)
        for row in connection.execute(counted):
            key = (row.title, row.source, row.customer if by_customer else "")
            found.setdefault(key, [0, 0, 0])[column] += row.seats
    return list(_lines(month, found))


def months(connection: Connection, now: datetime, zone: tzinfo, *, most: int = 36) -> list[Month]:
    """The months there is anything of, the present one first."""
    first = connection.scalar(select(func.min(runs.c.created_at))) or now
    found = []
    for earlier in range(most):
        month = Month.of(now, zone, earlier=earlier)
        found.append(month)
        if month.begins_at <= first:
            break
    return found


def _company() -> Any:
    return orders.c.document["company"].as_string()


def _conditions(connection: Connection, month: Month) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """What is counted, each with its column; what is counted in one column is of several kinds. All are of orders."""
    came = (runs.c.created_at >= month.begins_at, runs.c.created_at < month.ends_at)
    ended = (runs.c.finished_at >= month.begins_at, runs.c.finished_at < month.ends_at)
    is_seat = runs.c.workflow == _ENROLMENT
    yield 0, (runs.c.state == RunState.SUCCEEDED, is_seat, *ended)
    is_back = or_(*(runs.c.key.like(f"%/{word}%") for word in _TAKEN_BACK))
    yield 1, (runs.c.workflow == REVOCATION, is_back, by_index_of(connection, "runs", REVOCATIONS), *came)
    yield 1, (runs.c.state == RunState.CANCELLED, is_seat, runs.c.reason == Reason.REFUNDED_BY_SOURCE, *ended)
    needs_person = (runs.c.state.in_([RunState.REVIEW, RunState.FAILED]), by_index_of(connection, "runs", NEEDS_PERSON))
    yield 2, (*needs_person, is_seat, *came)


def _lines(month: Month, found: dict[tuple[str, str, str], list[int]]) -> Iterator[ReportLine]:
    for (course, source, customer), (granted, refunded, in_question) in sorted(found.items()):
        yield ReportLine(
            month=month.name,
            course=course,
            source=source,
            customer=customer,
            granted=granted,
            refunded=refunded,
            in_question=in_question,
        )
