"""The judge: what must hold after every event and at the end, by what the world saw and by the ledger's bare rows.

It shares nothing with the code it judges: the transitions, the seats and the keys are written down here once more. At
the end every seat is judged as in all of the proof; what is added here is whether people are asked for honest reasons.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from tests.faults.harness.deployment import SETTLE_SECONDS
from tests.faults.judging.ledger import ENDED, read_runs
from tests.faults.judging.sold import Access, Seat
from tests.faults.judging.verdict import SeatFacts, Wrong, match
from tests.faults.simulation.actors import Company
from tests.faults.simulation.network import Sending
from tests.faults.simulation.sales import Kind, Sold

ALLOWED = {
    ("pending", "running"), ("pending", "cancelled"), ("pending", "review"), ("pending", "succeeded"),
    ("running", "succeeded"), ("running", "waiting"), ("running", "failed"), ("running", "review"),
    ("running", "cancelled"),
    ("waiting", "running"), ("waiting", "pending"), ("waiting", "cancelled"), ("waiting", "review"),
    ("waiting", "succeeded"),
    ("succeeded", "pending"),
    ("failed", "pending"), ("failed", "succeeded"), ("failed", "cancelled"), ("failed", "review"),
    ("review", "pending"), ("review", "succeeded"), ("review", "cancelled"),
    ("cancelled", "pending"), ("cancelled", "review"),
}  # fmt: skip
ALWAYS_HONEST = frozenset(
    {"attempts_spent", "outcome_unknown", "outcome_unprovable", "request_refused", "duplicate_effect"}
)
"""Reasons that the network and the systems give in any weather, for a seat that was paid."""
SKEW_SECONDS = 5.0
"""More than two clocks may differ in any weather: what only that explains is no fault."""

Effect = tuple[str, int]
"""`studiocart order 7001` and the price."""


@dataclass
class Judge:
    """Looks at one simulation while it runs. `violations` say what did not hold, with the moment."""

    company: Company
    eyes: sqlite3.Connection
    violations: list[str] = field(default_factory=list)
    explained_doubles: int = 0
    """Seats with two comped orders, one of which landed after the settle time or was sent by a thawed process."""
    _changes_seen: int = 0
    _transitions_seen: int = 0
    _sendings_seen: int = 0
    _confirmed_seen: int = 0
    _doubled: set[Effect] = field(default_factory=set)

    def look(self) -> None:
        """After an event: does everything still hold?"""
        if len(self.company.stage.network.sendings) != self._sendings_seen:
            self._sendings_seen = len(self.company.stage.network.sendings)
            self._count_effects()
        (version,) = self.eyes.execute("PRAGMA data_version").fetchone()
        if version == self._changes_seen:
            return
        self._changes_seen = version
        self._follow_transitions()
        self._count_holders()
        self._count_seats()
        self._find_accepted()
        self._find_acknowledged()

    def _violated(self, what: str) -> None:
        if what not in self.violations:
            self.violations.append(f"{what} (at {self.company.stage.timeline.seconds():.1f} s)")

    def _count_effects(self) -> None:
        by_seat: dict[Effect, list[Sending]] = defaultdict(list)
        for sending in self.company.stage.network.sendings:
            by_seat[self._seat_of(sending)].append(sending)
        for seat, made in by_seat.items():
            if len(made) < 2 or seat in self._doubled:
                continue
            self._doubled.add(seat)
            if any(could_not_be_prevented(sending) for sending in made):
                self.explained_doubles += 1
            else:
                self._violated(f"{len(made)} comped orders for {seat[0]}, price {seat[1]}")

    def _seat_of(self, sending: Sending) -> Effect:
        """The order and the seat's price; of a seat that one of several prices is due to, the first of them.

        Raises a violation where nothing was ever paid for it.
        """
        sold = self.company.shop.sold.get(int(sending.source_order.rpartition(" ")[2]))
        seats = [] if sold is None else [seat for seat in sold.seats if sending.price_id in seat.price_ids]
        if sold is None or not seats:
            self._violated(f"{sending.source_order}: price {sending.price_id} was given, and nobody bought that")
            return sending.source_order, sending.price_id
        if not sold.is_due or not sold.was_ever_paid:
            paid = "not due" if sold.was_ever_paid else "never paid"
            self._violated(f"{sending.source_order} ({sold.kind.value}): price {sending.price_id} was given, {paid}")
        return sending.source_order, seats[0].price_ids[0]

    def _follow_transitions(self) -> None:
        rows = self.eyes.execute(
            "SELECT id, run_id, old, new FROM observed WHERE id > ?", (self._transitions_seen,)
        ).fetchall()
        for number, run_id, old, new in rows:
            self._transitions_seen = number
            if (old, new) not in ALLOWED:
                self._violated(f"run {run_id} went from {old} to {new}")

    def _count_holders(self) -> None:
        for lane, count in self.eyes.execute(
            "SELECT lane, count(*) FROM runs WHERE state = 'running' GROUP BY lane HAVING count(*) > 1"
        ):
            self._violated(f"{count} runs of lane {lane} are held at once")
        for (run_id,) in self.eyes.execute(
            "SELECT id FROM runs WHERE state = 'running' AND (lease_holder IS NULL OR lease_until IS NULL)"
        ):
            self._violated(f"run {run_id} is running and nobody holds it")

    def _count_seats(self) -> None:
        """Every seat of an order that is planned has its run."""
        planned = {order_id for (order_id,) in self.eyes.execute("SELECT order_id FROM orders WHERE state = 'planned'")}
        keys = {key for (key,) in self.eyes.execute("SELECT key FROM runs")}
        for order_id in planned:
            sold = self.company.shop.sold.get(int(order_id))
            if sold is None:
                self._violated(f"{order_id} is planned, and no order")
            elif sold.kind in {Kind.PLAIN, Kind.PRICED_FIELD} and not self._may_be_unmapped():
                for seat in sold.seats:
                    if seat.key not in keys:
                        self._violated(f"{order_id} is planned, and {seat.key} has no run")
        for run_id, state in self.eyes.execute(
            "SELECT id, state FROM runs WHERE (state IN ('review', 'failed') AND reason IS NULL) "
            "OR (state = 'waiting' AND next_attempt_at IS NULL)"
        ):
            self._violated(f"run {run_id} is {state} without a reason or a time")

    def _may_be_unmapped(self) -> bool:
        """While the offers file is broken, a process that was started meanwhile may know no rules."""
        return bool(self.company.weather.troubles.broken_offers.ends)

    def _find_accepted(self) -> None:
        accepted = self.company.accepted
        if len(accepted) == self._confirmed_seen:
            return
        recorded = {delivery_id for (delivery_id,) in self.eyes.execute("SELECT id FROM deliveries")}
        lost = [each for each in accepted if each not in recorded]
        self._confirmed_seen = len(accepted)
        if lost:
            self._violated(f"{len(lost)} webhooks were accepted and are not recorded")

    def _find_acknowledged(self) -> None:
        """News is acknowledged in the commit that records its order, and not before."""
        for (order_id,) in self.eyes.execute(
            "SELECT order_id FROM deliveries WHERE state = 'planned' AND NOT EXISTS (SELECT 1 FROM orders "
            "WHERE orders.order_id = deliveries.order_id AND version > 0)"
        ):
            self._violated(f"news of order {order_id} is acknowledged, and the order is not recorded")

    # The end

    def is_quiet(self) -> bool:
        """Nothing is under way, and the ledger has heard what the shop says."""
        restless = self.eyes.execute(
            "SELECT 1 FROM runs WHERE state IN ('pending', 'running', 'waiting') UNION ALL "
            "SELECT 1 FROM deliveries WHERE state IN ('received', 'waiting') UNION ALL "
            "SELECT 1 FROM orders WHERE replan_at IS NOT NULL LIMIT 1"
        ).fetchone()
        heard = dict(self.eyes.execute("SELECT order_id, status FROM orders").fetchall())
        sold = self.company.shop.sold.values()
        is_heard = all(heard.get(str(each.order_id)) == each.status for each in sold if each.is_listed)
        # What was first read half-written has the same status when it is whole: then its seats have runs.
        is_whole = all(self._has_run(each.seats[0].key) for each in sold if each.was_half_written)
        return restless is None and is_heard and is_whole

    def _has_run(self, key: str) -> bool:
        return self.eyes.execute("SELECT 1 FROM runs WHERE key = ?", (key,)).fetchone() is not None

    def judge_the_end(self) -> None:
        """At rest and reconciled: every paid seat is provisioned or somebody is asked, and every effect is known."""
        for failure in self.company.failures:
            self._violated(failure)
        if not self.is_quiet():
            self._violated("it never came to rest")
            return
        self._account_for_effects()
        self._account_for_runs()
        for (system,) in self.eyes.execute("SELECT system FROM pauses"):
            self._violated(f"{system} is paused, and our credentials were never refused")
        expected = {seat: sold.access for sold in self.company.shop.sold.values() for seat in self._seats_of(sold)}
        with self.company.stage.fresh.engine.connect() as connection:
            found, _ = match(expected, self.company.stage.comped_orders, read_runs(connection))
        for facts in found:
            self._judge_seat(self.company.shop.sold[int(facts.seat.order_id)], facts)

    def _seats_of(self, sold: Sold) -> Iterable[Seat]:
        """The order's seats; of a line known by its name, whatever line it is taken for."""
        by_name = self.company.weather.troubles.names_only
        return (replace(seat, line_id=None) if by_name and len(seat.price_ids) > 1 else seat for seat in sold.seats)

    def _account_for_effects(self) -> None:
        known = {result_id for (result_id,) in self.eyes.execute("SELECT result_id FROM runs WHERE result_id NOT NULL")}
        for sending in self.company.stage.network.sendings:
            if str(sending.order_id) not in known:
                self._violated(f"LearningCart order {sending.order_id} of {sending.source_order} was never detected")
        there = {str(order.id) for order in self.company.stage.world.learningcart.orders}
        for (key,) in self.eyes.execute(
            f"SELECT key FROM runs WHERE state = 'succeeded' AND workflow = 'enrolment' "  # noqa: S608
            f"AND result_id NOT IN ({', '.join(there) or 'NULL'})"
        ):
            self._violated(f"{key} has succeeded with an order that does not exist")

    def _account_for_runs(self) -> None:
        """Nobody is given or asked about what was not sold: a subscription's record, a priced field."""
        found = "SELECT order_id, key FROM runs WHERE workflow = 'enrolment' AND state <> 'cancelled'"
        for order_id, key in self.eyes.execute(found).fetchall():
            sold = self.company.shop.sold.get(int(order_id))
            lines: set[str | None] = set() if sold is None else {seat.line_id for seat in sold.seats}
            # A name does not say what sort of item it is of.
            by_name = self.company.weather.troubles.names_only and sold is not None
            _, _, line_id, seat_id, _ = key.split("/")
            if not by_name and (seat_id != "buyer" or line_id not in lines):
                self._violated(f"{key} has a run, and was not sold")

    def _was_heard(self, sold: Sold) -> bool:
        """Whether the withdrawal could be heard: no list shows what was thrown away."""
        found = self.eyes.execute("SELECT status FROM orders WHERE order_id = ?", (str(sold.order_id),)).fetchone()
        return sold.is_listed or (found is not None and found[0] == sold.status)

    def _judge_seat(self, sold: Sold, facts: SeatFacts) -> None:
        if facts.access is Access.NOT_DUE:
            return  # what was given all the same is told by each effect
        is_withdrawn, states = facts.access is Access.WITHDRAWN, {run.state for run in facts.enrolments}
        if not facts.enrolments:
            if facts.made or not (is_withdrawn or sold.was_ever_withdrawn or not sold.is_listed):
                self._violated(f"{facts.seat} was sold and has no run")
            return
        operated = self.company.operated.intersection(run.id for run in facts.enrolments)
        excused = {
            Wrong.DOUBLED: True,  # told when it was made
            Wrong.UNREVOKED: not self._was_heard(sold),
            Wrong.LOST: bool(operated),
        }
        for wrong, sentence in facts.wrong():
            if not excused.get(wrong, False):
                self._violated(sentence)
        if not is_withdrawn and states == {"cancelled"} and not operated:
            self._violated(f"{facts.seat} is paid and its run is cancelled ({facts.enrolments[0].reason})")
        elif not is_withdrawn and not states & ENDED:
            self._violated(f"{facts.seat} is paid and {states}")
        elif not is_withdrawn and "succeeded" not in states:
            self._judge_reasons(sold, facts)
        if states == {"cancelled"} and facts.made and not facts.questions:
            self._violated(f"{facts.seat} is cancelled, was made, and nobody is asked")

    def _judge_reasons(self, sold: Sold, facts: SeatFacts) -> None:
        """Whether what a person is asked can be true."""
        troubles, honest = self.company.weather.troubles, set(ALWAYS_HONEST)
        if sold.was_ever_withdrawn:
            honest |= {"paid_after_cancel", "paid_after_revocation"}
            if troubles.trusts_webhooks:
                honest.add("repeated_webhook")
        if troubles.names_only:
            honest |= {"line_renamed"}
        if self.company.operated:
            honest.add("cancelled_by_operator")
        reasons = {run.reason for run in facts.enrolments if run.state in {"review", "failed"}}
        for reason in sorted(str(each) for each in reasons - honest):
            self._violated(f"{facts.seat} ({sold.kind.value}) is paid, and waits for a person because of {reason}")


def could_not_be_prevented(sending: Sending) -> bool:
    """It landed later after its sending than the settle time waits, or left long after its sender's last check.

    What queued at a stalled system can be prevented: nothing that was sent after it was answered before.
    """
    is_late = (
        not sending.is_stalled and sending.effect_at_seconds - sending.sent_at_seconds > SETTLE_SECONDS - SKEW_SECONDS
    )
    is_thawed = sending.sent_at_seconds - sending.checked_at_seconds > sending.deadline_seconds
    return is_late or is_thawed
