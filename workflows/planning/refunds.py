"""Partial refunds: an order that is still paid, for less than before, without a word on which seat it concerns.

No source names the seat of a partial refund: Studiocart's orders show one amount, Frontcore's a total and perhaps a
line of its own with a negative quantity, and 3dcart's what was given back. So it is a question about the order, never a
cancellation.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.ledger import keys
from worker.ledger.states import RunState
from worker.reasons import Reason
from worker.sources.order import Money, Order, Payment, Seat
from workflows.planning.model import REVOCATION, WHOLE_ORDER, Create, KnownRun, Situation
from workflows.planning.reviews import closed_by_operator, last_asked

_NOT_PAID_FOR = "unpaid"
"""Frontcore's word for an order that is provisioned before it is paid: its price may change, and nothing is refunded.
Studiocart's, too, for one with nothing to pay."""

_ROUNDING = 1
"""Minor units. Studiocart's REST API cuts fractions off (19.99 is 1998) where its webhooks tell them whole."""


def paid_total(payment: str, status: str, total: Money | None) -> Money | None:
    """What is paid for an order; None where nothing is, or its source does not say how much."""
    return total if payment == Payment.PAID and status.strip().casefold() != _NOT_PAID_FOR else None


def is_partial(order: Order, situation: Situation) -> bool:
    """Whether less is paid for the order than at the last look, or more of it was given back."""
    if order.given_back > situation.given_back_before:
        return True
    before, now = situation.paid_total_before, paid_total(order.payment, order.status, order.total)
    if before is None or now is None:
        return False
    return before.currency == now.currency and now.minor_units < before.minor_units - _ROUNDING


def is_credit(order: Order, seat: Seat, situation: Situation, by_key: Mapping[str, KnownRun]) -> bool:
    """Whether a nameless seat of an impossible number is the credit itself: the question is asked of the order."""
    if seat.hold != Reason.INVALID_QUANTITY or seat.learner is not None or not seat.id.startswith("seat-"):
        return False
    return is_partial(order, situation) or _key(order) in by_key


def question(order: Order, by_key: Mapping[str, KnownRun]) -> Create:
    """The review of a partial refund; a further one where the last was answered."""
    asked, next_key = last_asked(by_key, _key(order))
    return Create(
        key=next_key if asked is None or closed_by_operator(asked) else asked.key,
        workflow=REVOCATION,
        line_id=WHOLE_ORDER,
        seat_id=WHOLE_ORDER,
        title="partially refunded",
        state=RunState.REVIEW,
        reason=Reason.PARTIALLY_REFUNDED,
    )


def open_question(order: Order, by_key: Mapping[str, KnownRun]) -> KnownRun | None:
    """The review of a partial refund that waits for its answer."""
    asked, _ = last_asked(by_key, _key(order))
    return asked if asked is not None and asked.state is RunState.REVIEW else None


def _key(order: Order) -> str:
    return keys.run_key(order.source, order.id, WHOLE_ORDER, WHOLE_ORDER, keys.PARTIALLY_REFUNDED)
