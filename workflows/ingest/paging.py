"""Where polls stand: what a cursor's position holds, and when a walk has gone far enough. Pure bookkeeping.

A list by change is walked from its top until what follows must be known. That a page is unchanged does not say so by
itself: its orders may be known because another walk, or a poll that died, recorded them a moment ago, and have pushed
an order that changed before them to the next page. So the position counts what was recorded since the last such walk
began. All that stands above a change nobody has recorded was changed after it; of those, no more than that count can be
known. Once more known orders than that have been met, nothing is hidden below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from worker.sources.order import Order
from worker.sources.source import Page, Until, Walk

OVERLAP_ORDERS = 50
"""A look for new orders goes this many ids below the highest one seen: a row may become visible late."""
SETTLED_ORDERS = 10
"""Below so many unchanged orders, by their last change, stands only what was there before the last poll."""


@dataclass(frozen=True)
class Position:
    """A cursor's marks: what the last successful poll covered. They move with the commit that ends a poll.

    `unsettled` alone moves with each page too, so that a poll that dies leaves word of what it recorded.
    """

    highest_id: int = 0
    polled_at: datetime | None = None
    """When the last successful poll began."""
    unsettled: int = 0
    """Orders recorded since the first page of the last complete walk by change."""

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """From the ledger's JSON. What is missing counts as never polled."""
        polled_at = document.get("polled_at")
        return cls(
            highest_id=int(document.get("highest_id", 0)),
            polled_at=None if polled_at is None else datetime.fromisoformat(polled_at),
            unsettled=int(document.get("unsettled", 0)),
        )

    def document(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        polled_at = None if self.polled_at is None else self.polled_at.isoformat()
        return {"highest_id": self.highest_id, "polled_at": polled_at, "unsettled": self.unsettled}


@dataclass
class Progress:
    """What a poll has come to so far, beside what it began with."""

    before: Position
    began_at: datetime
    seen_id: int = field(init=False)
    recorded: int = 0
    """Orders this poll has recorded."""
    settled: int = 0
    """Those among them that a walk by change had met by its first page."""
    nameless: set[str] = field(init=False)
    """The fingerprints of the records that were met and have no id that can be read."""

    def __post_init__(self) -> None:
        self.seen_id = self.before.highest_id
        self.nameless = set()

    @property
    def unsettled(self) -> int:
        """Orders that may be known though one above them, by change, is not."""
        return self.before.unsettled + self.recorded

    def see(self, page: Page) -> None:
        """Note the ids of a page that was recorded."""
        self.seen_id = max([self.seen_id, *page.ids])
        self.nameless |= {each.fingerprint for each in page.unreadable if each.order_id is None}

    def position_of_page(self) -> Position:
        """What is written with each page: the marks of before, and that more is recorded."""
        return Position(self.before.highest_id, self.before.polled_at, self.unsettled)

    def position_of_first_sweep(self) -> Position:
        """What is written when the first sweep has ended: no walk by change has gone to its end yet."""
        return Position(self.seen_id, self.began_at, self.unsettled)

    def position_of_poll(self) -> Position:
        """What is written when everything is recorded."""
        return Position(self.seen_id, self.began_at, self.recorded - self.settled)


@dataclass
class Steps:
    """How far one walk has come, and how it takes orders that no look has met and that nobody expects.

    A page of a small shop goes back by years. An order older than what the first sweep went through is a question if it
    was changed since the last poll. Only a walk of changes can tell whether it was.
    """

    walk: Walk
    swept_since: datetime | None = None
    """None: every order counts alike."""
    baseline: bool = False
    """The first sweep: what is met was there before."""
    unsettled: int = 0
    """As the position has it when the walk begins."""
    settled: set[str] = field(default_factory=set)
    """The orders met that were unchanged, or were there before the last poll."""
    has_changes: bool = False
    """Whether the last page had any."""

    def is_beyond(self, order: Order) -> bool:
        """Whether an order is older than what the first sweep went through."""
        return self.swept_since is not None and order.created_at is not None and order.created_at < self.swept_since

    def is_old_page(self, page: Page) -> bool:
        """Whether an unknown order met at this point of a walk of changes was there before the last poll."""
        if self.baseline:
            return True
        enough = max(min(SETTLED_ORDERS, len(page.orders)), self.unsettled)
        return self.walk.until is Until.UNCHANGED and len(self.settled) >= enough

    def is_far_enough(self, page: Page, *, highest_id: int) -> bool:
        """Whether the walk may end after this page, which was recorded.

        `highest_id` is the highest that the last successful poll saw.
        """
        if self.walk.until is Until.KNOWN_ID:
            return not page.is_nameless and min(page.ids, default=0) <= highest_id - OVERLAP_ORDERS
        if self.walk.until is Until.UNCHANGED:
            return not self.has_changes and (self.baseline or self.is_past_what_was_recorded)
        return False

    @property
    def is_past_what_was_recorded(self) -> bool:
        """Whether more known orders were met than can stand above a change that nobody has recorded."""
        return len(self.settled) > self.unsettled
