"""Frontcore orders by the participant, and what becomes of them from one look to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.unit.workflows.fakes.storefront import START, apply, offers
from worker.clients.frontcore.models import Order as Record
from worker.ledger.states import RunState
from worker.reasons import Reason
from worker.sources.frontcore import to_order
from worker.sources.order import Order, Payment
from workflows.planning import refunds
from workflows.planning.model import KnownRun, Plan, Situation
from workflows.planning.offers import Offers
from workflows.planning.places_before import places_of
from workflows.planning.planner import plan

COURSE_OFFER = """
[[offer]]
source = "frontcore"
course_id = "77"
grants = [{ price_id = 601, group_ids = [12] }]
"""

PENDING, SUCCEEDED, REVIEW, CANCELLED = RunState.PENDING, RunState.SUCCEEDED, RunState.REVIEW, RunState.CANCELLED
DUE = (PENDING, None)
DONE = (SUCCEEDED, None)
REPLACED = (CANCELLED, Reason.SUPERSEDED)
SETTLED = Reason.SETTLED_BY_SOURCE
ONE = "500/participant-1-user-1"
"""Where `one` participant's seat is."""
WAITING_LIST: dict[str, Any] = {"participants": [{"id": 1, "status": 3}]}
CANCELLED_DATE: dict[str, Any] = {"course": {"id": 77, "coursedates": [{"id": 9, "status": 3}]}}


def a_user(user_id: int, **more: Any) -> dict[str, Any]:
    person = {"id": user_id, "firstname": "Kari", "lastname": f"No{user_id}", "email": f"kari{user_id}@example.test"}
    return person | more


def a_place(participant_id: int | None, user_id: int, **more: Any) -> dict[str, Any]:
    place = {"type": "participant", "participant_id": participant_id, "user_id": user_id}
    return place | {"coursedate_id": 9, "course_id": 77} | more


def a_course_line(
    line_id: int = 500,
    *,
    places: Sequence[dict[str, Any]] = (),
    users: Sequence[dict[str, Any]] = (),
    product_id: int = 8079,
    **more: Any,
) -> dict[str, Any]:
    """A main-product line; the users are those of its places unless given."""
    product = {"id": product_id, "title": "Course", "is_main_product": True}
    named = list(users) or [a_user(place["user_id"]) for place in places]
    line = {"id": line_id, "product": product, "quantity": len(named) or 1, "currency": {"title": "NOK"}}
    return line | {"database_relations": list(places), "users": named} | more


def an_addon_line(line_id: int, places: Sequence[dict[str, Any]], *, product_id: int = 8080) -> dict[str, Any]:
    product = {"id": product_id, "title": "Book", "is_main_product": False}
    return a_course_line(line_id, places=places) | {"product": product}


def a_course_order(*lines: dict[str, Any], total: int = 1500, is_paid: bool = True, **more: Any) -> Order:
    record = {
        "id": 1,
        "is_paid": is_paid,
        "created_at": "2026-03-10T11:00:00+00:00",
        "calculated_totals": {"total_amount_incl_discounts_and_vat": total},
        "lines": list(lines),
    }
    return to_order(Record.model_validate(record | more))


def one(*, user: dict[str, Any] | None = None, **place: Any) -> Order:
    """An order of one participant."""
    users = [a_user(1) if user is None else user]
    return a_course_order(a_course_line(places=[a_place(1, 1, **place)], users=users))


@dataclass
class Operator:
    """Looks at an order again and again, as ingest does, and keeps its runs."""

    rules: Offers = field(default_factory=lambda: offers(COURSE_OFFER))
    runs: list[KnownRun] = field(default_factory=list)
    seen: Situation = field(default_factory=lambda: Situation(start_at=START))
    last: Plan | None = None

    def look(self, order: Order, **situation: Any) -> dict[str, tuple[RunState, str | None]]:
        """What the order's runs are after a look at it; a second look changes nothing."""
        self.last = plan(order, self.rules, self.runs, replace(self.seen, **situation))
        self.runs = apply(self.last, self.runs)
        self.seen = replace(
            self.seen,
            seen_before=True,
            paid_before=order.payment is Payment.PAID,
            before_start=self.last.before_start,
            places_before=places_of(order.model_dump(mode="json")),
            paid_total_before=refunds.paid_total(order.payment, order.status, order.total),
        )
        assert plan(order, self.rules, self.runs, self.seen).actions == ()
        return self.states

    @property
    def states(self) -> dict[str, tuple[RunState, str | None]]:
        """Every run's state and reason, by its key without source and order."""
        return {run.key.removeprefix("frontcore/1/"): (run.state, run.reason) for run in self.runs}

    def set(self, key: str, **values: Any) -> None:
        """Let the engine or the operator have brought a run into a state."""
        assert f"frontcore/1/{key}" in {run.key for run in self.runs}
        self.runs = [replace(run, **values) if run.key == f"frontcore/1/{key}" else run for run in self.runs]

    def succeed(self, *keys: str) -> None:
        for key in keys:
            self.set(key, state=RunState.SUCCEEDED, reason=None, fence=1)
