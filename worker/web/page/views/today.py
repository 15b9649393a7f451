"""Today: what needs you, what is under way, what was done, and how each system is doing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from worker.ledger.outbox import outbox_counts
from worker.ledger.views.page.pace import days_of_work, pace
from worker.ledger.views.page.systems import systems
from worker.ledger.views.page.today import Need, done_since, needs_person, under_way
from worker.reasons import Reason
from worker.settings.settings import DESTINATIONS
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page
from worker.web.page.rendering import MOST_COUNTED, words
from worker.web.page.views import chart
from worker.web.page.views.recent import Recent
from worker.web.page.views.search import path_of
from workflows.monitoring.setup_steps import setup_steps

_NEEDS: Final[dict[str | None, tuple[str, str]]] = {
    Reason.UNMAPPED_PRODUCT: ("seat of a product without an offer", "seats of products without an offer"),
    Reason.UNNAMED_SEAT: ("seat without a name", "seats without a name"),
    Reason.MISSING_EMAIL: ("seat without an address", "seats without an address"),
    Reason.SHARED_EMAIL: ("seat that shares an address", "seats that share an address"),
    Reason.RENEWAL_UNDECIDED: ("renewal without a rule", "renewals without a rule"),
    Reason.REFUNDED_AFTER_PROVISIONING: ("refund after access was given", "refunds after access was given"),
    Reason.CANCELLED_AFTER_PROVISIONING: (
        "cancellation after access was given",
        "cancellations after access was given",
    ),
    Reason.REMOVED_AFTER_PROVISIONING: ("seat removed after access was given", "seats removed after access was given"),
    Reason.REFUSED: ("enrolment that was refused", "enrolments that were refused"),
    Reason.ATTEMPTS_SPENT: ("enrolment that was tried too often", "enrolments that were tried too often"),
    Reason.OUTCOME_UNKNOWN: ("enrolment with an unknown outcome", "enrolments with an unknown outcome"),
    Reason.OUTCOME_UNPROVABLE: ("enrolment with an unproven outcome", "enrolments with an unproven outcome"),
    Reason.OLDER_THAN_START: ("order from before the start", "orders from before the start"),
    Reason.UNKNOWN_STATUS: ("order with an unknown status", "orders with an unknown status"),
}
"""What waits, in words, for one and for several; the rest by their codes."""
_TROUBLED: Final = frozenset({"paused", "down", "late"})
"""The states in which a system needs somebody."""


def today_routes(page: Page) -> APIRouter:
    """The page, and the two parts of it that are asked for anew while it is seen."""
    router = guarded_router(page)
    months: Recent[dict[str, Any]] = Recent(timedelta(minutes=5), page.clock)
    hours: Recent[dict[str, Any]] = Recent(timedelta(minutes=1), page.clock)

    def month() -> dict[str, Any]:
        with page.reading() as connection:
            now = page.clock()
            days = days_of_work(connection, now)
        return {"month": chart.daily(days), "days": days, "month_at": now}

    @router.get("/")
    def show_today(request: Request) -> Response:
        return page.render(
            request, "today.html", **_live(page), **hours.get("", lambda: _pace(page)), **months.get("", month)
        )

    @router.get("/today/live")
    def show_live(request: Request) -> Response:
        return page.render(request, "today_live.html", **_live(page))

    @router.get("/today/pace")
    def show_pace(request: Request) -> Response:
        return page.render(request, "today_pace.html", **hours.get("", lambda: _pace(page)))

    return router


def in_words(need: Need) -> str:
    """What waits, to be read after its count."""
    one, several = _NEEDS.get(need.reason, (words(need.reason) or "no reason",) * 2)
    return one if need.count == 1 else several


def _live(page: Page) -> dict[str, Any]:
    now = page.clock()
    settings = page.settings
    sources = settings.sources()
    with page.reading() as connection:
        found = systems(connection, now, sources=sources, destinations=destinations(page))
        return {
            "needs": needs_person(connection, most_counted=MOST_COUNTED),
            "in_words": in_words,
            "path_of": path_of,
            "can_act": page.operator is not None,
            "troubled": [each for each in found if each.state in _TROUBLED],
            "under_way": under_way(connection, now, most_counted=MOST_COUNTED),
            "done": done_since(connection, now),
            "outbox": outbox_counts(connection),
            "setup": setup_steps(connection, settings, page.offers.current()),
            "systems": found,
        }


def _pace(page: Page) -> dict[str, Any]:
    now = page.clock()
    with page.reading() as connection:
        hours = pace(connection, now)
    return {
        "pace_at": now,
        "hours": hours,
        "amounts": chart.amounts(hours),
        "latencies": chart.latencies(hours),
        "spoken": chart.spoken,
    }


def destinations(page: Page) -> list[str]:
    """The destinations that are configured."""
    found = page.settings.systems()
    mail = ["mail"] if page.settings.mail.is_configured else []
    return [*(name for name in DESTINATIONS if found[name].is_configured), *mail]
