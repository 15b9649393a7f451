"""How Studiocart's lists are asked for: pages, orders and days, read as WordPress reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta, timezone
from typing import Any, Final

from worker.sandbox.studiocart.records import Row

LARGEST_PAGE: Final = 100


class ParameterError(Exception):
    """A listing parameter WordPress refuses, named for its `rest_invalid_param` answer."""

    def __init__(self, parameter: str = "") -> None:
        super().__init__(f"Invalid parameter(s): {parameter}")
        self.parameter = parameter


@dataclass(frozen=True)
class Listing:
    """What a list call asks for."""

    per_page: int = 10
    page: int = 1
    date_after: date | None = None
    orderby: str = "date_created"
    descending: bool = True

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Listing:
        """Read the documented parameters; unknown ones are ignored, unusable ones raise `ParameterError`."""
        orderby = str(parameters.get("orderby") or "date_created")
        if orderby not in ("id", "date_created", "date_modified", "product_name"):
            raise ParameterError("orderby")
        order = str(parameters.get("order") or "desc").lower()
        if order not in ("asc", "desc"):
            raise ParameterError("order")
        return cls(
            per_page=_positive(parameters, "per_page", 10, at_most=LARGEST_PAGE),
            page=_positive(parameters, "page", 1),
            date_after=_day(parameters),
            orderby=orderby,
            descending=order == "desc",
        )

    def page_of(self, rows: list[Row], zone: timezone, *, inclusive: bool) -> tuple[list[dict[str, Any]], int]:
        """Return one page of records, and how many the whole list has.

        `date_after` compares days of the shop's time; equal rows follow their ids.
        """
        if self.date_after is not None:
            first = self.date_after if inclusive else self.date_after + timedelta(days=1)
            rows = [row for row in rows if row.created_at.astimezone(zone).date() >= first]
        rows = sorted(rows, key=self._key, reverse=self.descending)
        start = (self.page - 1) * self.per_page
        return [row.record for row in rows[start : start + self.per_page]], len(rows)

    def _key(self, row: Row) -> tuple[Any, ...]:
        if self.orderby == "product_name":
            return (str(row.record.get("product_name") or row.record.get("name") or "").casefold(), row.id)
        moments = {"date_created": row.created_at, "date_modified": row.modified_at}
        return (moments[self.orderby], row.id) if self.orderby in moments else (row.id,)


def _positive(parameters: Mapping[str, Any], name: str, default: int, *, at_most: int | None = None) -> int:
    value = parameters.get(name, default)
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        raise ParameterError(name) from None
    if number < 1 or (at_most is not None and number > at_most):
        raise ParameterError(name)
    return number


def _day(parameters: Mapping[str, Any]) -> date | None:
    text = parameters.get("date_after")
    if text in (None, ""):
        return None
    try:
        return date.fromisoformat(str(text)[:10])
    except ValueError:
        raise ParameterError("date_after") from None
