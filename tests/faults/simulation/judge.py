"""The judge: what must hold after every event and at the end, told from what the world saw and the ledger's bare rows.

It shares nothing with the code it judges: the transitions, the seats and the keys are written down here once more.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field

from tests.faults.simulation.company import Company, Sold
from tests.faults.simulation.network import Sending
from tests.faults.simulation.stage import GRANTS, SETTLE_SECONDS, SOURCE

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
WITHDRAWN = {"canceled", "refunded"}
SKEW_SECONDS = 5.0
"""More than two clocks may differ in any weather: what only that explains is no fault."""

Seat = tuple[str, str]
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
    _doubled: set[Seat] = field(default_factory=set)

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
        by_seat: dict[Seat, list[Sending]] = defaultdict(list)
        for sending in self.company.stage.network.sendings:
            by_seat[sending.source_order, sending.price_id].append(sending)
        for seat, made in by_seat.items():
            if len(made) < 2 or seat in self._doubled:
                continue
            self._doubled.add(seat)
            if any(could_not_be_prevented(sending) for sending in made):
                self.explained_doubles += 1
            else:
                self._violated(f"{len(made)} comped orders for {seat[0]}, price {seat[1]}")

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
            for key in keys_of(self.company.sold[int(order_id)]):
                if key not in keys:
                    self._violated(f"{order_id} is planned, and {key} has no run")
        for run_id, state in self.eyes.execute(
            "SELECT id, state FROM runs WHERE (state IN ('review', 'failed') AND reason IS NULL) "
            "OR (state = 'waiting' AND next_attempt_at IS NULL)"
        ):
            self._violated(f"run {run_id} is {state} without a reason or a time")

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
        shop = {str(sold.order_id): sold.status for sold in self.company.sold.values()}
        return restless is None and heard == shop

    def judge_the_end(self) -> None:
        """At rest and reconciled: every paid seat is provisioned or somebody is asked, and every effect is known."""
        for failure in self.company.failures:
            self._violated(failure)
        if not self.is_quiet():
            self._violated("it never came to rest")
            return
        self._account_for_effects()
        made: dict[Seat, int] = defaultdict(int)
        for sending in self.company.stage.network.sendings:
            made[sending.source_order, sending.price_id] += 1
        for sold in self.company.sold.values():
            for key, price_id in zip(keys_of(sold), GRANTS[sold.product_id], strict=True):
                self._judge_seat(sold, key, made[f"{SOURCE} order {sold.order_id}", price_id])

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

    def _judge_seat(self, sold: Sold, key: str, made: int) -> None:
        row = self.eyes.execute("SELECT id, state, reason FROM runs WHERE key = ?", (key,)).fetchone()
        if row is None:
            if made or (sold.status not in WITHDRAWN and not sold.was_ever_withdrawn):
                self._violated(f"{key} was sold and has no run")
            return
        run_id, state, reason = row
        questions = self.eyes.execute(
            "SELECT count(*) FROM runs WHERE parent_id = ? AND state = 'review'", (run_id,)
        ).fetchone()[0]
        if state == "succeeded" and not made:
            self._violated(f"{key} has succeeded and nothing was made")
        elif sold.status in WITHDRAWN and made and not questions:
            self._violated(f"{key} was made and is {sold.status}, and nobody is asked to take it back")
        elif sold.status not in WITHDRAWN and state == "cancelled" and run_id not in self.company.operated:
            self._violated(f"{key} is paid and its run is cancelled ({reason})")
        elif sold.status not in WITHDRAWN and state not in {"succeeded", "review", "failed", "cancelled"}:
            self._violated(f"{key} is paid and {state}")
        if state == "cancelled" and made and not questions:
            self._violated(f"{key} is cancelled, was made, and nobody is asked")


def keys_of(sold: Sold) -> list[str]:
    """The keys of an order's runs, as DESIGN's promise 2 spells them."""
    return [f"{SOURCE}/{sold.order_id}/{sold.product_id}/buyer/{price_id}" for price_id in GRANTS[sold.product_id]]


def could_not_be_prevented(sending: Sending) -> bool:
    """It landed later after its sending than the settle time waits, or left long after its sender's last check."""
    is_late = sending.effect_at_seconds - sending.sent_at_seconds > SETTLE_SECONDS - SKEW_SECONDS
    is_thawed = sending.sent_at_seconds - sending.checked_at_seconds > sending.deadline_seconds
    return is_late or is_thawed
