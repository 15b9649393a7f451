"""The runs a seat should have by today's offers, or why it needs none. Pure, and blind to what was planned before."""

from __future__ import annotations

from worker.ledger.states import RunState
from worker.sources.order import Line, Order, Seat
from workflows import keys
from workflows.offers import Ignore, Offers
from workflows.plan import ENROLMENT, Create
from workflows.reasons import Reason

_NAMELESS = frozenset({Reason.UNNAMED_SEAT, Reason.MISSING_EMAIL, Reason.INVALID_EMAIL, Reason.INVALID_QUANTITY})


def wanted_runs(
    order: Order,
    offers: Offers,
    line: Line,
    seat: Seat,
    *,
    hold: Reason | None = None,
    covered: frozenset[int] = frozenset(),
) -> list[Create] | Reason:
    """What a seat of a paid order comes to.

    `hold` keeps its enrolments in review. `covered` are the prices its participant gets by another line.
    """
    rule = offers.match(order.source, line)
    if rule is None:
        return [placeholder(order, line, seat, keys.UNMAPPED, Reason.UNMAPPED_PRODUCT)]
    if isinstance(rule, Ignore):
        return Reason.IGNORED_PRODUCT
    if order.renewal and rule.renewals == "ignore":
        return Reason.RENEWAL_IGNORED
    if order.renewal and rule.renewals is None:
        return [placeholder(order, line, seat, keys.RENEWAL, Reason.RENEWAL_UNDECIDED)]
    grants = [grant for grant in rule.grants if grant.price_id not in covered]
    if not grants:
        return Reason.COVERED_BY_OTHER_LINE
    if seat.learner is None or seat.hold is not None:
        return [held_placeholder(order, line, seat)]
    return [
        Create(
            key=keys.run_key(order.source, order.id, line.id, seat.id, str(grant.price_id)),
            workflow=ENROLMENT,
            line_id=line.id,
            seat_id=seat.id,
            title=line.title,
            state=RunState.PENDING if hold is None else RunState.REVIEW,
            reason=hold,
            learner=seat.learner,
            grant=grant,
        )
        for grant in grants
    ]


def held_placeholder(order: Order, line: Line, seat: Seat) -> Create:
    """The review of a seat that its source says cannot be provisioned, or names nobody for."""
    reason = Reason.UNNAMED_SEAT if seat.hold is None else Reason(seat.hold)
    return placeholder(order, line, seat, keys.UNNAMED if reason in _NAMELESS else keys.HELD, reason)


def placeholder(order: Order, line: Line, seat: Seat, word: str, reason: Reason) -> Create:
    """A run in review that holds the seat's place until it can be planned."""
    return Create(
        key=keys.run_key(order.source, order.id, line.id, seat.id, word),
        workflow=ENROLMENT,
        line_id=line.id,
        seat_id=seat.id,
        title=line.title,
        state=RunState.REVIEW,
        reason=reason,
        learner=seat.learner,
    )
