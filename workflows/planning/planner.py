"""Planning: a pure function of an order, the offers and the existing runs to the actions that bring them in line.

Nothing here reads a clock, a database or a network. The same inputs give the same plan, and a plan applied once leaves
nothing for the next: planning an unchanged order again gives no action.
"""

from __future__ import annotations

from collections.abc import Iterable

from worker.ledger import keys
from worker.ledger.states import OrderState, RunState
from worker.reasons import Reason
from worker.sources.order import Learner, Line, Order, Payment, Seat
from workflows.planning import refunds
from workflows.planning.line_keys import line_keys, of_one_identity
from workflows.planning.model import (
    ENROLMENT,
    HOLDS,
    PLACE_HOLDS,
    WHOLE_ORDER,
    Action,
    Cancel,
    ChangeGrant,
    ChangeLearner,
    Create,
    KnownRun,
    Plan,
    RequestCancel,
    Revive,
    Situation,
    Standing,
    WithdrawCancel,
)
from workflows.planning.offers import Grant, Offers
from workflows.planning.order_age import StartDecision, start_decision
from workflows.planning.places_before import PlacesBefore
from workflows.planning.required_runs import awaits, held_placeholder, wanted_runs, with_a_seat
from workflows.planning.reviews import (
    CANCEL_REASONS,
    about_order,
    answered_for_the_order,
    closed_by_operator,
    of_learner,
    of_payment,
    of_subscription,
    of_withdrawal,
    settled_about_order,
    settled_regrant,
)
from workflows.planning.seat_matching import prices_of, seating
from workflows.planning.withdrawals import any_left, held_back, is_in_doubt, out_of_doubt, withdrawn


def plan(order: Order, offers: Offers, runs: Iterable[KnownRun], situation: Situation) -> Plan:
    """Plan one order. `runs` are all runs of this order, in any state."""
    return _Planner(order, offers, tuple(runs), situation).plan()


class _Planner:
    def __init__(self, order: Order, offers: Offers, runs: tuple[KnownRun, ...], situation: Situation) -> None:
        self.line_keys = line_keys(order, runs, situation.planned_lines)
        self.order = order = with_a_seat(self.line_keys.apply(order), runs)
        self.offers = offers
        self.alias_ids = frozenset(run.id for run in runs if run.line_id in self.line_keys.aliases)
        """The runs of lines that were planned a second time, under another identity."""
        self.runs = runs = self.line_keys.apply_to_runs(runs)
        self.by_key = {run.key: run for run in runs}
        self.situation = situation
        self.seating = seating(order, offers, runs)
        places_before = self.line_keys.apply_to_places(situation.places_before)
        self.before = PlacesBefore(order, runs, self.seating, places_before)
        self.gone = frozenset[str]()
        self.actions: list[Action] = []
        self.look_again = False
        self.hold: Reason | None = situation.doubt
        """What keeps seats in review: that the order is from before the start, or that its news may be old."""

    def plan(self) -> Plan:
        before_start = self.situation.before_start
        if not self.order.payment_unproven:
            self.actions += settled_about_order(self.order, keys.PAYMENT_UNPROVEN, self.by_key)
        if self.order.payment is Payment.UNKNOWN:
            self.actions += held_back(self._seat_runs(), Reason.UNKNOWN_STATUS)
            state, reason = self._ask_about_order(keys.UNKNOWN_STATUS, Reason.UNKNOWN_STATUS)
        else:
            self.actions += settled_about_order(self.order, keys.UNKNOWN_STATUS, self.by_key)
            if self.order.payment is Payment.PAID:
                state, reason, before_start = self._plan_paid()
            elif self.order.payment is Payment.WAITING:
                state, reason = self._plan_waiting()
            else:
                state, reason = self._plan_cancelled()
        return Plan(state, reason, tuple(self.actions), before_start, self.look_again, self.gone)

    def _ask_about_order(self, word: str, reason: Reason) -> tuple[OrderState, Reason | None]:
        self._ensure(about_order(self.order, word, reason))
        return OrderState.REVIEW, reason

    def _plan_waiting(self) -> tuple[OrderState, Reason | None]:
        for run in self._seat_runs():
            if run.state is RunState.SUCCEEDED:
                self._follow_subscription(run)
        stopped = held_back(self._seat_runs(), Reason.AWAITING_PAYMENT)
        self.actions += stopped
        planned = any_left(self._seat_runs(), stopped)
        if self.order.payment_unproven and self.situation.payment_overdue and not planned:
            return self._ask_about_order(keys.PAYMENT_UNPROVEN, Reason.PAYMENT_UNPROVEN)
        return (OrderState.PLANNED, None) if planned else (OrderState.WAITING, Reason.AWAITING_PAYMENT)

    def _plan_cancelled(self) -> tuple[OrderState, Reason | None]:
        before, after = CANCEL_REASONS[self.order.payment]
        for run in self._seat_runs():
            self._withdraw(run, before, after)
        if asked := refunds.open_question(self.order, self.by_key):  # what is asked of each seat now takes its place
            self.actions.append(Cancel(asked.id, Reason.SETTLED_BY_SOURCE))
        was_given = any(run.workflow == ENROLMENT and run.state is RunState.SUCCEEDED for run in self._seat_runs())
        return OrderState.CANCELLED, after if was_given else before

    def _withdraw(self, run: KnownRun, before: Reason, after: Reason) -> None:
        """Take one enrolment back: cancelled before its effect, a revocation after it, LearningCart asked between."""
        if run.state is RunState.SUCCEEDED:
            self._ensure_revocation(run, after)
        else:
            self.actions += settled_regrant(run, self.by_key)
            self.actions += withdrawn(run, before, self.situation.doubt, is_present=self.situation.is_present)

    def _ensure_revocation(self, run: KnownRun, reason: Reason) -> None:
        """Ask whether access is taken back; anew where that was answered and it was given again or paid for since."""
        is_paid_since = self.order.payment is not Payment.PAID and self.situation.paid_before
        is_anew = is_paid_since or run.key not in self.before.lost
        self._ask(of_withdrawal(run, reason, self.by_key, is_anew=is_anew))

    def _plan_paid(self) -> tuple[OrderState, Reason | None, bool]:
        found = start_decision(self.order, self.situation, self.runs)
        if found is StartDecision.IGNORE:
            return OrderState.IGNORED, Reason.BEFORE_START, True
        if found is StartDecision.HOLD:
            self.hold = Reason.OLDER_THAN_START
        return self._plan_seats()

    def _plan_seats(self) -> tuple[OrderState, Reason | None, bool]:
        before_start = self.situation.before_start or self.hold is Reason.OLDER_THAN_START
        is_planned = any(run.state is not RunState.CANCELLED for run in self._seat_runs())
        if not is_planned and (reason := awaits(self.order, self.offers, self.situation.standing)) is not None:
            return OrderState.WAITING, reason, before_start
        if self.hold is None and answered_for_the_order(self.order, self.by_key):
            self.hold = Reason.ANSWERED_BY_HAND
        outcomes = [self._plan_seat(line, seat) for line in self.order.lines for seat in line.seats]
        removed = self._withdraw_removed_seats()
        if not removed and refunds.is_partial(self.order, self.situation) and self._has_enrolments():
            self._ensure(refunds.question(self.order, self.by_key))
        ignored = [reason for reason in outcomes if reason is not None]
        if outcomes and len(ignored) == len(outcomes):
            return OrderState.IGNORED, ignored[0], before_start
        return OrderState.PLANNED, None, before_start

    def _plan_seat(self, line: Line, seat: Seat) -> Reason | None:
        """Plan one seat; the reason it needs no run, or None when it has one."""
        of_seat = [run for run in self._seat_runs() if self.seating.place_of(run) == (line.id, seat.id)]
        fixed = [run for run in of_seat if not run.is_placeholder and run.cancelled_by != "superseded"]
        fixed, settled = of_one_identity(fixed, self.alias_ids)
        self._supersede(settled)
        if self.line_keys.may_be_lost(line) and all(run.is_withdrawn for run in fixed):
            fixed = []  # a name that went and came back is no less a question than one that came
        fixed = self._on_its_course(line, of_seat, fixed)
        open_placeholders = [run for run in of_seat if run.is_placeholder and run.state is RunState.REVIEW]
        closed = [run for run in of_seat if run.is_placeholder and closed_by_operator(run)]
        was_paid_again = any(run.reason == Reason.PAID_AFTER_CANCEL for run in open_placeholders)
        if closed and not fixed and not open_placeholders and not self.situation.replan:
            was_paid_again = self._is_paid_again() and all(run.state is RunState.CANCELLED for run in closed)
            if not was_paid_again:
                return None
        wanted = self._wanted(
            line, seat, Reason.PAID_AFTER_CANCEL if was_paid_again else self._hold_of(line, seat, of_seat, fixed)
        )
        has_rule = isinstance(wanted, Reason) or any(create.grant is not None for create in wanted)
        if fixed and not (self.situation.replan and has_rule):
            self._follow_all(line, seat, fixed, open_placeholders, is_closed=bool(closed))
            return None
        if isinstance(wanted, Reason):
            self._supersede(open_placeholders)
            self._replace_fixed(fixed, set(), seat)
            return None if any(run.state is RunState.SUCCEEDED for run in fixed) else wanted
        if was_paid_again and not has_rule:
            for run in closed:
                self._review_if_paid_again(run, seat.learner)
            return None
        wanted_keys = {create.key for create in wanted}
        if any(run.is_untouchable and run.key not in wanted_keys for run in fixed):
            self.look_again = True  # it may have taken effect: one beside it could be a second
            return None
        self._supersede(run for run in open_placeholders if run.key not in wanted_keys)
        self._replace_fixed(fixed, wanted_keys, seat)
        given = {run.grant.price_id for run in fixed if run.id in self.alias_ids and run.grant is not None}
        for create in wanted:
            if create.grant is None or create.grant.price_id not in given:
                self._ensure(create)
        return None

    def _on_its_course(self, line: Line, of_seat: list[KnownRun], fixed: list[KnownRun]) -> list[KnownRun]:
        """A seat's planned runs, without those of a course that its source has moved it from: these are taken back."""
        prices = prices_of(self.offers.match(self.order.source, line))
        former = self.before.of_former_course(fixed, of_seat, prices)
        for run in former:
            self._withdraw(run, Reason.REMOVED_FROM_ORDER, Reason.REMOVED_AFTER_PROVISIONING)
        return [run for run in fixed if run not in former]

    def _hold_of(self, line: Line, seat: Seat, of_seat: list[KnownRun], fixed: list[KnownRun]) -> Reason | None:
        """The order's hold; a seat that joins one already planned is news, unless it may be one that was renamed."""
        if self.situation.doubt is not None:
            return self.situation.doubt
        if (line.id, seat.id) in self.situation.read_anew:
            return Reason.READ_ANEW
        if not fixed and self.line_keys.may_be_lost(line):
            return Reason.LINE_RENAMED
        is_planned = any(not run.is_placeholder and run.line_id != WHOLE_ORDER for run in self.runs)
        return None if is_planned and not of_seat else self.hold

    def _wanted(self, line: Line, seat: Seat, hold: Reason | None) -> list[Create] | Reason:
        """The runs a seat should have by today's offers, or why it needs none."""
        if refunds.is_credit(self.order, seat, self.situation, self.by_key):
            return Reason.PARTIALLY_REFUNDED
        covered = self.seating.covered.get((line.id, seat.id), frozenset())
        return wanted_runs(
            self.order, self.offers, line, seat, hold=hold, covered=covered, standing=self.situation.standing
        )

    def _ensure(self, create: Create) -> None:
        """Create the run, or bring the one that has its key back if it was cancelled by the source or superseded."""
        run = self.by_key.get(create.key)
        if run is None:
            self.actions.append(create)
            return
        if run.state is not RunState.CANCELLED:
            if create.grant is not None and run.workflow == ENROLMENT:
                self._change_grant(run, create.grant)
            elif run.state is RunState.REVIEW and run.reason not in {None, create.reason}:
                # Another cause is another question: the one before is settled, and asked no more.
                self.actions.append(Cancel(run.id, Reason.SETTLED_BY_SOURCE, by="superseded"))
                self.actions.append(Revive(run.id, create.reason, create.learner, create.grant, create.note))
            elif create.learner not in {None, run.learner} and run.state is RunState.REVIEW:
                self.actions.append(ChangeLearner(run.id, create.learner))
            return
        if run.cancelled_by == "operator" and not (self.situation.replan and create.grant is not None):
            self._reopen(run, create)
            return
        self.actions.append(Revive(run.id, create.reason, create.learner, create.grant, create.note))

    def _reopen(self, run: KnownRun, create: Create) -> None:
        """What the operator closed is a question again only once the order's payment, or the seat, has changed."""
        is_paid = self.order.payment is Payment.PAID
        if is_paid and run.workflow == ENROLMENT:
            self._review_if_paid_again(run, create.learner)
        elif self.before.is_lost_anew(create.parent_id) if is_paid else self.situation.paid_before:
            self.actions.append(Revive(run.id, create.reason, create.learner, create.grant, create.note))

    def _change_grant(self, run: KnownRun, grant: Grant) -> None:
        if run.grant == grant or run.state is RunState.SUCCEEDED:
            return
        if run.is_untouchable:
            self.look_again = True
        else:
            self.actions.append(ChangeGrant(run.id, grant))

    def _replace_fixed(self, fixed: list[KnownRun], wanted_keys: set[str], seat: Seat) -> None:
        """On a replan: runs that today's offers no longer want make room, unless they have run."""
        for run in fixed:
            if run.key in wanted_keys:
                if run.state is not RunState.CANCELLED:  # `_ensure` revives it
                    self._follow(run, seat)
            elif run.state in {RunState.SUCCEEDED, RunState.CANCELLED}:
                continue
            elif run.is_untouchable:
                self.look_again = True
            else:
                self._supersede([run])

    def _supersede(self, placeholders: Iterable[KnownRun]) -> None:
        self.actions += (Cancel(run.id, Reason.SUPERSEDED, by="superseded") for run in placeholders)

    def _follow_all(
        self, line: Line, seat: Seat, fixed: list[KnownRun], placeholders: list[KnownRun], *, is_closed: bool
    ) -> None:
        """Keep a seat's planned runs in step with the order, and stop those that its source now holds."""
        stopped = False
        for run in fixed:
            if seat.hold is not None:
                stopped = self._stop(run, seat, Reason(seat.hold)) or stopped
            elif is_closed and run.state is RunState.CANCELLED and run.reason in HOLDS:
                self._review_if_paid_again(run, seat.learner)  # the operator dealt with the seat while it was held
            else:
                self._follow(run, seat)
        held = held_placeholder(self.order, line, seat) if stopped else None
        self._supersede(run for run in placeholders if held is None or run.key != held.key)
        if held is not None:
            self._ensure(held)

    def _stop(self, run: KnownRun, seat: Seat, hold: Reason) -> bool:
        """Let a run whose seat is held go no further. True: a placeholder takes its place until the hold is gone.

        After the effect only a lost place is a question. With an open effect, or while it is worked on, the lookup or
        the worker decides, and the seat is looked at again. A record that leaves the learner out denies nobody.
        """
        if run.state is RunState.SUCCEEDED:
            if hold in PLACE_HOLDS:
                self._ensure_revocation(run, Reason.PLACE_LOST_AFTER_PROVISIONING)
            else:
                self._follow(run, seat)
            return False
        if run.state is RunState.CANCELLED:
            if run.cancelled_by == "operator":
                self._review_if_paid_again(run, seat.learner)
            return run.cancelled_by != "operator"
        if hold in {Reason.MISSING_EMAIL, Reason.UNNAMED_SEAT}:
            self._follow(run, seat)
            return False
        if run.is_untouchable:
            self.look_again = True
            if run.cancel_reason != hold:
                self.actions.append(RequestCancel(run.id, hold))
            return False
        if run.reason == Reason.PAID_AFTER_CANCEL:
            return False  # it waits for the operator's word in any case
        self.actions.append(Cancel(run.id, hold))
        return True

    def _follow(self, run: KnownRun, seat: Seat) -> None:
        """Keep a planned run in step with a paid order: withdraw cancellations, revive, follow the learner."""
        if run.cancel_requested:
            self.actions.append(WithdrawCancel(run.id))
        if run.state is RunState.SUCCEEDED:
            self._follow_revocation(run)
        if run.state is RunState.CANCELLED and run.cancelled_by == "operator":
            self._review_if_paid_again(run, seat.learner)
        elif run.state is RunState.CANCELLED:
            hold = Reason.READ_ANEW if self.seating.place_of(run) in self.situation.read_anew else self.hold
            self.actions.append(Revive(run.id, hold, learner=seat.learner))
            self._ask(of_payment(run, self.by_key, self.situation, is_owed=False))  # of what it gave before
        elif self.situation.is_present and is_in_doubt(run):
            self.actions += out_of_doubt(run, self.hold, seat.learner)
        else:
            learner = None if seat.hold == Reason.LEARNER_ERASED else seat.learner  # a pseudonym is nobody else
            found = of_learner(run, learner, self.by_key, self.situation.doubt)
            self.look_again = self.look_again or found is None
            self._ask(found or ())

    def _follow_revocation(self, run: KnownRun) -> None:
        """Paid, access stays: unless its subscription ended, an answered taking back asks of giving it again."""
        asks_already = self._follow_subscription(run)
        standing = self._standing_of(run)
        if not asks_already and (standing is None or standing.ended is None):
            is_again = self.before.is_back(run) or self._is_paid_again()
            is_owed = is_again and run.key in self.before.lost
            self._ask(of_payment(run, self.by_key, self.situation, is_owed=is_owed))

    def _follow_subscription(self, run: KnownRun) -> bool:
        """Ask and settle what its subscription comes to; True if there is a question that must be there."""
        if (standing := self._standing_of(run)) is None:
            return False
        asked = of_subscription(run, self.by_key, standing)
        self._ask(asked)
        return any(isinstance(each, Create) for each in asked)

    def _standing_of(self, run: KnownRun) -> Standing | None:
        return None if (found := self.situation.standing) is None else found.of_line(self.order, run.line_id)

    def _ask(self, asked: Iterable[Action]) -> None:
        for action in asked:
            if isinstance(action, Create):
                self._ensure(action)
            else:
                self.actions.append(action)

    def _review_if_paid_again(self, run: KnownRun, learner: Learner | None) -> None:
        if run.state is RunState.CANCELLED and self._is_paid_again():
            self.actions.append(Revive(run.id, Reason.PAID_AFTER_CANCEL, learner))

    def _is_paid_again(self) -> bool:
        return self.situation.seen_before and not self.situation.paid_before

    def _withdraw_removed_seats(self) -> bool:
        """Take back what seats had that are gone; True if there was anything to take back."""
        before = len(self.actions)
        self.gone = self.seating.gone(self.order, self._seat_runs())
        for run in self._seat_runs():
            if run.id in self.gone:
                self._withdraw(run, Reason.REMOVED_FROM_ORDER, Reason.REMOVED_AFTER_PROVISIONING)
        return len(self.actions) > before

    def _seat_runs(self) -> list[KnownRun]:
        return [run for run in self.runs if run.workflow == ENROLMENT and run.line_id != WHOLE_ORDER]

    def _has_enrolments(self) -> bool:
        is_planned = any(run.state is not RunState.CANCELLED and not run.is_placeholder for run in self._seat_runs())
        return is_planned or any(isinstance(action, Create) and action.grant is not None for action in self.actions)
