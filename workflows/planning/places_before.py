"""An order's places as they were when the ledger last looked: which are back, and which are of another course. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from worker.ledger import keys
from worker.ledger.states import RunState
from worker.reasons import Reason
from worker.sources.order import Product
from workflows.planning.model import PLACE_HOLDS, KnownRun
from workflows.planning.reviews import last_asked

Place = tuple[str, str]


def products_by_place(document: Mapping[str, Any]) -> dict[Place, Product] | None:
    """What each place of a recorded order was for; None where its source did not show them all.

    Without the places that were held as lost: who is on a waiting list has none.
    """
    if not document or not document.get("lines_known", True):
        return None
    return {
        (line["id"], seat["id"]): Product.model_validate(line.get("product") or {})
        for line in document.get("lines", ())
        for seat in line.get("seats", ())
        if seat.get("hold") not in PLACE_HOLDS
    }


def is_another_course(before: Product | None, now: Product) -> bool:
    """Whether a source shows that a place is for something else than before: what it leaves out says nothing."""
    if before is None:
        return False
    if None not in {before.course_id, now.course_id}:
        return before.course_id != now.course_id
    return None not in {before.product_id, now.product_id} and before.product_id != now.product_id


def of_former_course(
    fixed: Sequence[KnownRun],
    of_seat: Sequence[KnownRun],
    prices: Collection[int],
    by_key: Mapping[str, KnownRun],
    *,
    is_moved: bool,
) -> list[KnownRun]:
    """The runs of a seat that were planned for a course that it is not on any more; `prices` are those of its own.

    A plan is fixed against later offers, and not against a source that moves the participant. `is_moved`: it has just
    done so. Afterwards such a run is told by its having been taken back while another of the seat goes on.
    """
    former = [run for run in fixed if run.grant is not None and run.grant.price_id not in prices]
    if is_moved or not former:
        return former
    left = {run.id for run in former if _is_taken_back(run, by_key)}
    goes_on = any(run.id not in left for run in fixed) or any(
        run.is_placeholder and (run.state is not RunState.CANCELLED or run.cancelled_by == "operator")
        for run in of_seat
    )
    return [run for run in former if run.id in left and goes_on]


def _is_taken_back(run: KnownRun, by_key: Mapping[str, KnownRun]) -> bool:
    """Whether a run was stopped, or its effect is asked about, because its seat was gone."""
    if run.state is not RunState.SUCCEEDED:
        was_removed = run.is_withdrawn and run.reason == Reason.REMOVED_FROM_ORDER
        return was_removed or run.cancel_requested
    asked, _ = last_asked(by_key, f"{run.key}/{keys.REVOKE}")
    return asked is not None and (asked.state, asked.reason) == (
        RunState.REVIEW,
        Reason.REMOVED_AFTER_PROVISIONING,
    )
