"""What was really sold: the books that the judge goes by, kept by the shop and by no reading of the product's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tests.faults.judging.sold import Access, Seat

PAID = frozenset({"paid", "completed"})
WITHDRAWN = frozenset({"canceled", "refunded", "failed"})


class Kind(Enum):
    """What sort of order it is. Those of `NEVER_DUE` give nobody access, whatever becomes of them."""

    PLAIN = "plain"
    BUMP = "bump"
    """A course and a bump, whose product is renamed after the sale."""
    PRICED_FIELD = "priced field"
    """A course with an item of type `line item`, three times: it is no seat."""
    HALF_WRITTEN = "half written"
    """It shows neither buyer nor items at first."""
    SUBSCRIPTION = "subscription"
    """The purchase of one; or, where a trial was free, its first payment."""
    OLD_UNPAID = "old unpaid"
    """Made before the start, paid after it."""
    ABANDONED = "abandoned"
    """A checkout with nothing to pay that was never finished: a trial whose card was declined, a full coupon."""
    TRIAL = "trial"
    """What begins a free trial, where a trial gives no access."""
    RENEWAL = "renewal"
    """A later payment, where the offer ignores renewals."""
    OLD = "old"
    """Paid and handled by hand before the start."""
    IMPORTED = "imported"
    """An old order that comes again under a new id."""


NEVER_DUE = frozenset({Kind.ABANDONED, Kind.TRIAL, Kind.RENEWAL, Kind.OLD, Kind.IMPORTED})


@dataclass
class Sold:
    """One order, as the shop knows it."""

    order_id: int
    email: str
    product_id: str
    status: str
    kind: Kind = Kind.PLAIN
    seats: tuple[Seat, ...] = ()
    was_ever_paid: bool = False
    was_ever_withdrawn: bool = False
    """It was cancelled or refunded at some time, whatever it is now."""
    is_listed: bool = True
    """False: it lies in the trash, where its record stays as it was and lists leave it out."""
    was_half_written: bool = False
    """What is read now may name nobody."""

    @property
    def is_due(self) -> bool:
        """Whether it gives access once it is paid."""
        return self.kind not in NEVER_DUE

    @property
    def access(self) -> Access:
        """What its seats must have, as far as the shop has told."""
        if not (self.is_due and self.was_ever_paid):
            return Access.NOT_DUE
        return Access.WITHDRAWN if self.status in WITHDRAWN else Access.DUE
