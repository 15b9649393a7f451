"""What every source offers: its orders as ours, one by one and in walks, and how it is polled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

from worker.clients.reading import id_of
from worker.clients.unreadable import Rows, UnreadableRow, problem_of
from worker.errors import ApiError, NotFoundError
from worker.sources.order import Order
from worker.sources.subscription import Subscription

_R = TypeVar("_R")


class NoOrderError(NotFoundError):
    """The source has a record of that id, which is not an order (yet): a checkout that was never completed."""


class SampleOrderError(NoOrderError):
    """The number that the vendor's own test of a webhook sends, and the source has no order of it."""


@dataclass(frozen=True)
class Unreadable:
    """A record of a list that cannot be read. `problem` quotes nothing of it."""

    order_id: str | None
    """None where not even its id can be read."""
    problem: str
    fingerprint: str
    """What tells it from others of no id."""

    @classmethod
    def row(cls, row: UnreadableRow) -> Self:
        """From a client's row."""
        return cls(row.record_id, row.problem, row.fingerprint)


def unreadable(record: Any, error: Exception) -> Unreadable:
    """A record, known by its `id`, that `error` kept from being understood."""
    return Unreadable(str(record.id), problem_of(error), str(record.id))


class SubscriptionFoundError(NoOrderError):
    """The record of that id is a subscription: news of it and of its orders, and never an order itself."""

    def __init__(self, message: str = "", *, subscription: Subscription | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.subscription = subscription


@dataclass(frozen=True)
class Page:
    """One page of a walk, in the source's order."""

    orders: tuple[Order, ...]
    fetched_at: datetime
    """When the page was asked for."""
    unreadable: tuple[Unreadable, ...] = ()
    problem: ApiError | None = None
    """Why nothing behind this page can be read, though more may stand there. Who stops here raises it; the walk does
    when it is asked to go on."""

    @property
    def ids(self) -> list[int]:
        """The ids of its orders, those included that cannot be read otherwise."""
        broken = (each.order_id for each in self.unreadable)
        return [int(each) for each in (*(order.id for order in self.orders), *broken) if each is not None]

    @property
    def is_nameless(self) -> bool:
        """Whether it holds records, and none whose id can be read: it says nothing of where it stands in its list."""
        return bool(self.unreadable) and not self.ids


def page_of(rows: Rows[_R], to_order: Callable[[_R], Order | None], *, fetched_at: datetime) -> Page:
    """A page of a walk from a client's rows; `to_order` gives None for a record that is no order.

    Whatever a record does to `to_order` concerns that record alone: it is set aside.
    """
    orders: list[Order] = []
    broken: list[Unreadable] = []
    for row in rows:
        if isinstance(row, UnreadableRow):
            broken.append(Unreadable.row(row))
            continue
        try:
            order = to_order(row)
        except ApiError:  # of a request, not of the record
            raise
        except Exception as error:  # noqa: BLE001  (of any class: a number, a date or a text nobody thought of)
            broken.append(unreadable(row, error))
        else:
            if order is not None:
                orders.append(order)
    return Page(tuple(orders), fetched_at, tuple(broken))


def pages_of(
    walk: Iterator[Rows[_R]], to_order: Callable[[_R], Order | None], clock: Callable[[], datetime]
) -> Iterator[Page]:
    """The pages of a client's walk, each with the moment at which it was asked for."""
    while True:
        fetched_at = clock()
        page = next(walk, None)
        if page is None:
            return
        yield page_of(page, to_order, fetched_at=fetched_at)


def order_number(source: str, order_id: str) -> int:
    """The number that an order's id is, at every source; `NotFoundError` for anything else."""
    number = id_of(order_id)
    if number is None:
        raise NotFoundError(f"the order ids of {source} are whole numbers", system=source, operation="fetch")
    return number


class Until(StrEnum):
    """How far a walk of a poll has to go."""

    KNOWN_ID = "known_id"
    """Highest ids first: to a page that reaches below the highest id seen, by an overlap."""
    UNCHANGED = "unchanged"
    """Most recently changed first: to a page without change, below all that was recorded since the last such walk."""
    END = "end"
    """To its last page: the source's own filter has made it short."""


@dataclass(frozen=True)
class Walk:
    """One of the walks a poll consists of. Nothing is asked for before the first page is."""

    pages: Iterator[Page]
    until: Until
    is_of_changes: bool = False
    """Whether standing in it says that an order was changed lately: with `END` anywhere in it, with `UNCHANGED` above
    the orders that are known and unchanged."""


class Source(Protocol):
    """A system orders come from. Every method that asks the system raises `ApiError`."""

    name: str

    def fetch(self, order_id: str) -> Order:
        """One order as it is now; `NotFoundError` if the source does not know it, or knows it as no order.

        `SubscriptionFoundError` if it knows it as a subscription.
        """

    def from_body(self, body: dict[str, Any]) -> Order:
        """An order from a webhook's body, where a setting says to trust it; `WebhookRejectedError` if it is none.

        `SubscriptionFoundError` for a body about a subscription, which may hold no more than its status.
        """

    def reread(self, record: Mapping[str, Any]) -> Order | None:
        """An order from its `raw` record, which the ledger kept, by today's rules; None where that is no order.

        An earlier version may have kept it. Raises `ValidationError`.
        """

    def annotate(self, orders: Sequence[Order]) -> list[Order]:
        """The same orders, with what another request tells and planning needs (renewals). Called for paid news.

        What cannot be told now is left out: an order that needs it waits, and no other order does.
        """

    def walks(self, *, polled_at: datetime, highest_id: int) -> Iterator[Walk]:
        """What one poll walks: together, all orders that are new or changed since `polled_at`.

        `polled_at` is when the last successful poll began, by our clock, and `highest_id` the highest id it had seen:
        how much wider than that a walk must begin is for the source to know.
        """

    def walk_since(self, since: datetime) -> Iterator[Page]:
        """Pages of all orders made since a moment (or somewhat before), newest first."""


@dataclass(frozen=True)
class SubscriptionPage:
    """One page of a walk over subscriptions."""

    subscriptions: tuple[Subscription, ...]
    fetched_at: datetime
    """When the page was asked for."""
    unreadable: tuple[Unreadable, ...] = ()
    """Those that cannot be read; `order_id` is the subscription's id."""
    problem: ApiError | None = None
    """As a `Page`'s."""


@runtime_checkable
class SubscriptionSource(Protocol):
    """A source that knows subscriptions."""

    name: str

    def subscription_pages(self) -> Iterator[SubscriptionPage]:
        """Pages of all subscriptions, most recently changed first; none where the site has none. Raises `ApiError`."""


@runtime_checkable
class CatalogSource(Protocol):
    """A source that tells the names of its products."""

    name: str

    def product_names(self) -> dict[str, str]:
        """The names of all products that have one, by the ids that its orders give them. Raises `ApiError`."""
