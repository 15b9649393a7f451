"""An order's places as they were when the ledger last looked: which are back, and which are of another course. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from worker.ledger.states import RunState
from worker.reasons import Reason
from worker.sources.order import Order, Product, email_key
from workflows.planning.model import PLACE_HOLDS, KnownRun, PlaceBefore
from workflows.planning.reviews import open_revocation
from workflows.planning.seat_matching import Place, Seating, taken_back


def places_of(document: Mapping[str, Any]) -> dict[Place, PlaceBefore] | None:
    """What a recorded order's places were; None where its source did not show them all."""
    if not document or not document.get("lines_known", True):
        return None
    return {
        (line["id"], seat["id"]): PlaceBefore(
            Product.model_validate(line.get("product") or {}),
            email_key((seat.get("learner") or {}).get("email", "")),
            is_lost=seat.get("hold") in PLACE_HOLDS,
        )
        for line in document.get("lines", ())
        for seat in line.get("seats", ())
    }


class PlacesBefore:
    """Compares an order's runs with the places it had; `before` is None where nobody knows those."""

    def __init__(
        self,
        order: Order,
        runs: Sequence[KnownRun],
        seating: Seating,
        before: Mapping[Place, PlaceBefore] | None,
    ) -> None:
        self._seating = seating
        self._before = before
        self._now = {(line.id, seat.id): line.product for line in order.lines for seat in line.seats}
        self._held = {(line.id, seat.id) for line in order.lines for seat in line.seats if seat.hold in PLACE_HOLDS}
        self._runs = {run.key: run for run in runs}
        self.lost = taken_back(runs)
        """The keys of runs whose access was taken back."""

    def was_there(self, run: KnownRun) -> bool:
        """Whether the order had the seat of a run: that very one, not another that its person was booked anew on."""
        before = self._here(run)
        return before is not None and not before.is_lost

    def is_lost_anew(self, run_id: str | None) -> bool:
        """Whether the order had the seat of a run, and has it not, or only without a place on the course."""
        place = next((self._seating.place_of(run) for run in self._runs.values() if run.id == run_id), ("", ""))
        before = (self._before or {}).get(place)
        return before is not None and not before.is_lost and (place not in self._now or place in self._held)

    def is_back(self, run: KnownRun) -> bool:
        """Whether the seat of a run is there now and was not before, or not on this course."""
        if self._before is None:
            return False
        is_now = self._seating.place_of(run) in self._now
        return is_now and (not self.was_there(run) or self._has_moved(run))

    def of_former_course(
        self, fixed: Sequence[KnownRun], of_seat: Sequence[KnownRun], prices: Collection[int]
    ) -> list[KnownRun]:
        """The runs of a seat that were planned for a course that it is not on any more; `prices` are those of its own.

        A plan is fixed against later offers, and not against a source that moves the participant. Afterwards such a run
        is told by its having been taken back while another of the seat goes on.
        """
        former = [run for run in fixed if run.grant is not None and run.grant.price_id not in prices]
        moved = [run for run in former if self._has_moved(run)]
        left = {run.id for run in fixed if self._is_taken_back(run)}
        is_asked = any(
            run.is_placeholder and (run.state is not RunState.CANCELLED or run.cancelled_by == "operator")
            for run in of_seat
        )

        def is_left_alone(run: KnownRun) -> bool:
            """Whether it was taken back while what the seat has otherwise went on; not with all of the seat."""
            others = (each for each in fixed if each.id != run.id)
            goes_on = any(each.id not in left or each.key in self.lost or _is_later(each, run) for each in others)
            return run.id in left and (is_asked or goes_on)

        return [run for run in former if run in moved or is_left_alone(run)]

    def _has_moved(self, run: KnownRun) -> bool:
        """Whether the seat of a run was on another course before than it is on now."""
        before, now = self._of(run), self._now.get(self._seating.place_of(run))
        return before is not None and now is not None and _is_another_course(before.product, now)

    def _is_taken_back(self, run: KnownRun) -> bool:
        """Whether a run was stopped, or its effect is or was asked about, because its seat was gone."""
        if run.state is not RunState.SUCCEEDED:
            was_removed = run.is_withdrawn and run.reason == Reason.REMOVED_FROM_ORDER
            return was_removed or run.cancel_requested
        asked = open_revocation(run, self._runs)
        return run.key in self.lost or (asked is not None and asked.reason == Reason.REMOVED_AFTER_PROVISIONING)

    def _here(self, run: KnownRun) -> PlaceBefore | None:
        """What a run's place was, by its id now or when it was planned."""
        before = self._before or {}
        here = (self._seating.place_of(run), (run.line_id, run.seat_id))
        return next((before[place] for place in here if place in before), None)

    def _of(self, run: KnownRun) -> PlaceBefore | None:
        """What a run's place was: the same, or the same person's that is gone now, or on another course."""
        before = self._before or {}
        if (found := self._here(run)) is not None:
            return found
        key = "" if run.learner is None else email_key(run.learner.email)
        gone = (
            each
            for place, each in before.items()
            if place not in self._now or _is_another_course(each.product, self._now[place])
        )
        return next((each for each in gone if each.email_key == key != ""), None)


def _is_another_course(before: Product, now: Product) -> bool:
    """Whether a source shows that a place is for something else than before: what it leaves out says nothing."""
    if None not in {before.course_id, now.course_id}:
        return before.course_id != now.course_id
    return None not in {before.product_id, now.product_id} and before.product_id != now.product_id


def _is_later(one: KnownRun, other: KnownRun) -> bool:
    """Whether one run was ended after another."""
    return one.finished_at is not None and other.finished_at is not None and one.finished_at > other.finished_at
