"""An order: what came of it, its lines and seats with their runs, its deliveries, and what each version changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from worker.ledger.orders.versions import compared_versions
from worker.ledger.states import RunState
from worker.ledger.views.details import OrderDetail, named_seats_of, show_order
from worker.ledger.views.history import story_of_order
from worker.ledger.views.records import RunItem
from worker.web.page.actions.naming import names_path
from worker.web.page.actions.notes import notes_path
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page
from worker.web.page.views.formatting import days, order_at_source, summary_of
from workflows.operations.nameless_seats import NAMELESS
from workflows.operations.notes import LONGEST_NOTE


def order_routes(page: Page) -> APIRouter:
    """The route."""
    router = guarded_router(page)

    # An id may hold whatever its source likes, a slash too.
    @router.get("/orders/{source}/{order_id:path}")
    def show(request: Request, source: str, order_id: str) -> Response:
        with page.reading() as connection:
            order = show_order(connection, source, order_id)
            named = named_seats_of(connection, order)
            story = story_of_order(connection, source, order_id, now=page.clock())
            versions = compared_versions(connection, source, order_id)
        return page.render(
            request,
            "order.html",
            order=order,
            summary=summary_of(story, can_act=page.operator is not None),
            days=days(story.timeline),
            omitted=story.omitted,
            seats=_seats(order, named),
            names_path=_names_path(order) if page.operator is not None else None,
            notes_path=notes_path(source, order_id) if page.operator is not None else None,
            longest_note=LONGEST_NOTE,
            versions=versions,
            source_path=order_at_source(page.settings, source, order_id),
        )

    return router


def _names_path(order: OrderDetail) -> str | None:
    """Where its nameless seats are named from a list, if it has several."""
    free = sum(run.state == RunState.REVIEW and run.reason in NAMELESS for run in order.runs)
    return names_path(order.source, order.order_id) if free > 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatRow:
    """A seat, and the runs that are for it."""

    product: str
    names: str
    seat_id: str
    email: str | None
    is_named: bool
    """By an operator, and not by the source."""
    hold: str | None
    runs: list[RunItem]


def _seats(order: OrderDetail, named: Mapping[tuple[str, str], str]) -> list[SeatRow]:
    """One row a seat, with the runs that are for it; the runs of seats that are gone come last."""
    runs: dict[tuple[str, str], list[RunItem]] = {}
    for run in order.runs:
        runs.setdefault((run.line_id, run.seat_id), []).append(run)
    rows = [
        SeatRow(
            product=line.title or line.id,
            names=", ".join(
                f"{name} {value}" for name, value in line.product.items() if value not in {None, line.title}
            ),
            seat_id=seat.id,
            email=named.get((line.id, seat.id)) or (seat.learner or {}).get("email"),
            is_named=(line.id, seat.id) in named,
            hold=None if (line.id, seat.id) in named else seat.hold,
            runs=runs.pop((line.id, seat.id), []),
        )
        for line in order.lines
        for seat in line.seats
    ]
    rows += [
        SeatRow(
            product=of_seat[0].title or line_id,
            names="no longer in the order",
            seat_id=seat_id,
            email=None,
            is_named=False,
            hold=None,
            runs=of_seat,
        )
        for (line_id, seat_id), of_seat in runs.items()
    ]
    return rows
