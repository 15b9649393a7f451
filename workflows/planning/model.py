"""What planning works with and what it gives: known runs, the situation, the actions, the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from worker.ledger import keys
from worker.ledger.states import OrderState, RunState
from worker.reasons import Reason
from worker.sources.order import Learner, Money, Order, Product
from workflows.planning.offers import Grant

ENROLMENT = "enrolment"
REVOCATION = "revocation"
WHOLE_ORDER = "-"
"""The line and seat of a run that is about the whole order."""

PLACEHOLDERS = frozenset(
    {keys.UNMAPPED, keys.UNNAMED, keys.HELD, keys.RENEWAL, keys.UNKNOWN_STATUS, keys.PAYMENT_UNPROVEN}
)
PLACE_HOLDS = frozenset({Reason.WAITING_LIST, Reason.COURSE_CANCELLED})
"""Holds that say the learner has no place: also a question once access was given."""
HOLDS = PLACE_HOLDS | {
    Reason.SHARED_EMAIL,
    Reason.UNKNOWN_STATUS,
    Reason.MISSING_EMAIL,
    Reason.INVALID_EMAIL,
    Reason.INVALID_QUANTITY,
    Reason.UNNAMED_SEAT,
    Reason.LEARNER_ERASED,
}
"""Why a source says that a seat cannot be provisioned."""


@dataclass(frozen=True)
class KnownRun:
    """What planning needs to know of an existing run."""

    id: str
    key: str
    workflow: str
    state: RunState
    line_id: str
    seat_id: str
    title: str = ""
    reason: str | None = None
    learner: Learner | None = None
    grant: Grant | None = None
    cancelled_by: str | None = None
    """`source`, `operator` or `superseded`."""
    effect_open: bool = False
    """A call that is not safe to repeat was or may have been sent, and its outcome is not known."""
    cancel_reason: str | None = None
    """Why it is cancelled as soon as it is known that its effect did not take place."""
    fence: int = 0
    finished_at: datetime | None = None

    @property
    def is_placeholder(self) -> bool:
        """Whether it only holds a seat's place until it can be planned."""
        return self.key.rpartition("/")[2] in PLACEHOLDERS

    @property
    def cancel_requested(self) -> bool:
        """Whether it is cancelled unless its effect took place."""
        return self.cancel_reason is not None

    @property
    def is_withdrawn(self) -> bool:
        """Whether the source took it back before it had any effect."""
        return self.state is RunState.CANCELLED and self.cancelled_by == "source"

    @property
    def is_untouchable(self) -> bool:
        """Whether somebody is working on it, or its effect must be looked up first."""
        return self.state is RunState.RUNNING or self.effect_open


class Role(Enum):
    """What an order is to its subscription."""

    FIRST = "first"
    """The purchase itself, or the only payment so far."""
    LATER = "later"
    """A later payment."""
    TRIAL = "trial"
    """The free order that begins a trial, where the first payment gives access, which has not come."""
    TRIAL_OVER = "trial_over"
    """The same, and another order of the subscription is the purchase."""
    AWAITED = "awaited"
    """No subscription lists it, though its buyer has one it may renew: that may still come."""
    UNLISTED = "unlisted"
    """The same, and it was waited for long enough."""


@dataclass(frozen=True)
class Ended:
    """A subscription gives no right any more to the access an order gave, or nobody has ruled on its status."""

    reason: Reason
    since: datetime
    """When that was first seen."""
    note: str


@dataclass(frozen=True)
class Standing:
    """What an order is to its subscription, and how that stands."""

    role: Role
    subscription_id: str | None = None
    is_instalment: bool = False
    """All payments of the subscription are for one purchase."""
    is_judged: bool = False
    """The subscription's status says whether it gives a right to access. Else an open question stays as it is."""
    is_unlisted: bool = False
    """The subscription's status is one that nobody has ruled on."""
    ended: Ended | None = None
    """Only for the order whose access an end is about."""
    resumed: tuple[datetime, datetime] | None = None
    """When it last ended and went on again; None while it has ended, or if it never had."""
    awaited_until: datetime | None = None
    earlier: tuple[Order, ...] = ()
    """For a later payment: the purchase and the payment before this one, as far as the ledger holds them."""
    is_unserved: bool = False
    """For a later payment: its purchase is not paid any more, or never was, and nobody was given anything."""
    is_looked_at: bool = False
    """The operator has it planned as it stands."""
    is_of_trial_lines: bool = False
    """It is about the order's lines that begin a trial alone: the others were bought, and wait for nothing."""

    def of_line(self, order: Order, line_id: str) -> Standing | None:
        """How one line of the order stands; None for one that is no part of the subscription."""
        return None if self.is_of_trial_lines and line_id not in order.trial_lines else self


@dataclass(frozen=True)
class PlannedLine:
    """What the versions of an order that a line was planned from show of it."""

    product_ids: frozenset[str] = frozenset()
    """More than one where products shared the name: then none is meant."""
    names: frozenset[str] = frozenset()
    beside: frozenset[str] = frozenset()
    """The ids of all lines of those versions, read as today."""


@dataclass(frozen=True)
class PlaceBefore:
    """What a place was for when the ledger last looked, and whose; the key is empty where it was nobody's."""

    product: Product
    email_key: str
    is_lost: bool = False
    """It was on a waiting list, or of a cancelled date."""


@dataclass(frozen=True)
class Situation:
    """What is known of the order besides its content."""

    seen_before: bool = False
    """The ledger held this order before this look."""
    paid_before: bool = False
    """It was paid when the ledger last looked."""
    before_start: bool = False
    """It was found to be from before the start, and taken as handled or asked about: final for news of the source."""
    baseline: bool = False
    """This look is part of the source's first sweep."""
    start_at: datetime | None = None
    """Orders made before it were there before Cartbridge. None: everything is new."""
    mark: int | None = None
    """The highest order id at the start; None where ids say nothing."""
    is_swept: bool = False
    """The source's first sweep is complete."""
    is_awaited: bool = False
    """It was paid and waits for its subscription."""
    read_anew: frozenset[tuple[str, str]] = frozenset()
    """The places, as line and seat, that only a changed reading of the source's record gives the order."""
    is_tracked: bool = True
    """Where it was not paid before: it was known to be unpaid, and its source says that somebody has paid since."""
    is_another_buyers: bool = False
    """The ledger knows the order's id as that of another buyer's order."""
    is_misdated: bool = False
    """Its date contradicts those of the orders around it."""
    manual: bool = False
    """The operator named this order."""
    replan: bool = False
    """The operator wants its seats planned again by today's offers."""
    paid_total_before: Money | None = None
    """What had been paid for it when the ledger last looked; None where nothing was, or nobody said how much."""
    given_back_before: int = 0
    """How much of it had been given back then, where its source tells that."""
    standing: Standing | None = None
    """None: no subscription is known of."""
    payment_overdue: bool = False
    """Evidence that it was paid was waited for long enough, see `workflows.planning.unproven`."""
    planned_lines: Mapping[str, PlannedLine] = field(default_factory=dict)
    """By their ids, the lines that were planned and that the order does not show under that id."""
    places_before: Mapping[tuple[str, str], PlaceBefore] | None = None
    """The order's places, by line and seat, when the ledger last looked; None where nobody knows."""
    is_present: bool = False
    """What is said of the order is what its source says now."""
    doubt: Reason | None = None
    """Why what is said of the order may be old news: what it would start or settle is asked instead."""


@dataclass(frozen=True)
class Create:
    """A new run."""

    key: str
    workflow: str
    line_id: str
    seat_id: str
    title: str
    state: RunState
    reason: Reason | None = None
    learner: Learner | None = None
    grant: Grant | None = None
    parent_id: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Cancel:
    """The run is never to run. `by` is `source`, `superseded`, or `operator` where the source repeats his decision."""

    run_id: str
    reason: Reason
    by: str = "source"


@dataclass(frozen=True)
class RequestCancel:
    """Cancel the run unless its open effect turns out to have taken place."""

    run_id: str
    reason: Reason


@dataclass(frozen=True)
class WithdrawCancel:
    """Forget a cancellation that was requested and not yet carried out."""

    run_id: str


@dataclass(frozen=True)
class Revive:
    """A cancelled run becomes `pending`, or `review` when a reason says so.

    With today's grant and learner where given.
    """

    run_id: str
    reason: Reason | None = None
    learner: Learner | None = None
    grant: Grant | None = None
    note: str | None = None


@dataclass(frozen=True)
class ChangeLearner:
    """The seat's learner is another or is spelled otherwise, and nothing has taken effect.

    Start over with the new one.
    """

    run_id: str
    learner: Learner


@dataclass(frozen=True)
class ChangeGrant:
    """A replan gives other groups for the same price, and nothing has taken effect."""

    run_id: str
    grant: Grant


Action = Create | Cancel | RequestCancel | WithdrawCancel | Revive | ChangeLearner | ChangeGrant


@dataclass(frozen=True)
class Plan:
    """What an order comes to, and what to do about it.

    `look_again`: a change waits until a run is no longer worked on.
    """

    state: OrderState
    reason: Reason | None = None
    actions: tuple[Action, ...] = ()
    before_start: bool = False
    look_again: bool = False
    gone: frozenset[str] = frozenset()
    """The runs of seats that the order has no more, if it is paid."""
