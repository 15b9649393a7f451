"""The runs a seat should have by today's offers, or why it needs none. Pure, and blind to what was planned before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from worker.ledger import keys
from worker.ledger.states import RunState
from worker.reasons import Reason
from worker.sources.order import Line, Order, Payment, Product, Seat
from worker.sources.studiocart_lines import is_same_name
from workflows.planning.model import ENROLMENT, WHOLE_ORDER, Create, KnownRun, Role, Standing
from workflows.planning.offers import Ignore, Offer, Offers

_NAMELESS = frozenset({Reason.UNNAMED_SEAT, Reason.MISSING_EMAIL, Reason.INVALID_EMAIL, Reason.INVALID_QUANTITY})

_NO_LINES = Line(id="order", title="no lines")
_NO_SEAT = Seat(id="seat-0", hold=Reason.INVALID_QUANTITY)


def with_a_seat(order: Order, runs: Iterable[KnownRun]) -> Order:
    """A paid order that shows nothing of what was bought, now or before, with one seat for a person to look at."""
    if order.payment is not Payment.PAID or any(line.seats for line in order.lines):
        return _without_silent_lines(order, runs)
    first, *others = order.lines or (_NO_LINES,)
    was_shown = any(run.line_id != WHOLE_ORDER and run.seat_id != _NO_SEAT.id for run in runs)
    if was_shown or (order.total is not None and order.total.minor_units == 0):
        return order
    return order.model_copy(update={"lines": (first.model_copy(update={"seats": (_NO_SEAT,)}), *others)})


def _without_silent_lines(order: Order, runs: Iterable[KnownRun]) -> Order:
    """The order without a line that names no product, where its record does not show the lines, and some are known."""
    planned = {run.line_id for run in runs if run.line_id != WHOLE_ORDER}
    if order.lines_known or not planned:
        return order
    lines = tuple(line for line in order.lines if line.id in planned or line.product != Product())
    return order if len(lines) == len(order.lines) else order.model_copy(update={"lines": lines})


def wanted_runs(
    order: Order,
    offers: Offers,
    line: Line,
    seat: Seat,
    *,
    hold: Reason | None = None,
    covered: frozenset[int] = frozenset(),
    standing: Standing | None = None,
) -> list[Create] | Reason:
    """What a seat of a paid order comes to.

    `hold` keeps its enrolments in review; what is read anew is that one question, unless its address is one. `covered`
    are the prices its participant gets by another line. `standing` is what the order is to its subscription, where it
    has one.
    """
    wanted = _wanted_runs(order, offers, line, seat, hold=hold, covered=covered, standing=standing)
    if hold is not Reason.READ_ANEW or isinstance(wanted, Reason):
        return wanted
    return [create if create.reason is Reason.SHARED_EMAIL else replace(create, reason=hold) for create in wanted]


def _wanted_runs(
    order: Order,
    offers: Offers,
    line: Line,
    seat: Seat,
    *,
    hold: Reason | None,
    covered: frozenset[int],
    standing: Standing | None,
) -> list[Create] | Reason:
    standing = None if standing is None else standing.of_line(order, line.id)
    role = None if standing is None else standing.role
    rule = offers.match(order.source, line)
    is_other = isinstance(rule, Offer) and _is_of_another_purchase(order, offers, line, rule, standing)
    is_other = is_other or (standing is not None and standing.is_unserved)
    if standing is not None and standing.is_instalment and role is Role.LATER and not is_other:
        return Reason.INSTALMENT
    if role in {Role.TRIAL, Role.TRIAL_OVER}:
        return Reason.ON_TRIAL
    if rule is None:
        return [placeholder(order, line, seat, keys.UNMAPPED, Reason.UNMAPPED_PRODUCT)]
    if isinstance(rule, Ignore):
        return Reason.IGNORED_PRODUCT
    if standing is not None and role in {Role.AWAITED, Role.UNLISTED} and not _grants_in_any_case(rule, standing):
        return [placeholder(order, line, seat, keys.RENEWAL, Reason.SUBSCRIPTION_UNLISTED)]
    if order.renewal and rule.renewals == "ignore" and not is_other:
        return Reason.RENEWAL_IGNORED
    is_taken = is_other and standing is not None and standing.is_looked_at
    if order.renewal and rule.renewals != "grant" and not is_taken:
        return [placeholder(order, line, seat, keys.RENEWAL, Reason.RENEWAL_UNDECIDED)]
    if standing is not None and standing.is_unlisted:
        return [placeholder(order, line, seat, keys.RENEWAL, Reason.UNKNOWN_STATUS)]
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


def _is_of_another_purchase(order: Order, offers: Offers, line: Line, rule: Offer, standing: Standing | None) -> bool:
    """Whether a later payment is for what was not bought before: another product, or a plan of an offer of its own."""
    if standing is None or not standing.earlier:
        return False
    bought = [each for earlier in standing.earlier for each in earlier.lines]
    is_known = any(offers.match(order.source, each) == rule or _is_same_product(each, line) for each in bought)
    return bool(bought) and not is_known


def _is_same_product(one: Line, other: Line) -> bool:
    """Whether two lines are of one product and plan: by its name where one shows no id. No plan is none other."""
    if None in {one.product.product_id, other.product.product_id}:
        return is_same_name(one.title, other.title)
    plans = {one.product.plan_id, other.product.plan_id}
    return one.product.product_id == other.product.product_id and (len(plans) == 1 or None in plans)


def awaits(order: Order, offers: Offers, standing: Standing | None) -> Reason | None:
    """What a paid order waits for before any of its seats is planned; None where it need not wait."""
    if standing is None:
        return None
    rules = [offers.match(order.source, line) for line in order.lines]
    is_decided = all(_grants_in_any_case(rule, standing) for rule in rules if isinstance(rule, Offer))
    if standing.role is Role.AWAITED and not is_decided:
        return Reason.SUBSCRIPTION_UNLISTED
    is_whole = all(standing.of_line(order, line.id) is not None for line in order.lines)
    return Reason.ON_TRIAL if standing.role is Role.TRIAL and is_whole else None


def _grants_in_any_case(rule: Offer, standing: Standing) -> bool:
    """Whether an order that may renew a subscription comes to the same if it does not."""
    return rule.renewals == "grant" and not standing.is_instalment


def held_placeholder(order: Order, line: Line, seat: Seat) -> Create:
    """The review of a seat that its source says cannot be provisioned, or names nobody for."""
    reason = Reason.UNNAMED_SEAT if seat.hold is None else Reason(seat.hold)
    found = placeholder(order, line, seat, keys.UNNAMED if reason in _NAMELESS else keys.HELD, reason)
    return replace(found, note=seat.note or None)


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
