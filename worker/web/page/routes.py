"""The operator's page, put together: every view, and what stands in the navigation.

A view is one module with one template. It exports a function that takes the `Page` and gives its router, made by
`guarded_router`, and is added to `_VIEWS`; an entry in the navigation is added to `_NAV`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from fastapi import APIRouter

from worker.ledger.session import Ledger
from worker.settings.settings import Settings
from worker.web.lockout import LOGIN_FREE_FAILURES, Lockout
from worker.web.page.actions.bulk_replay import bulk_replay_routes
from worker.web.page.actions.naming import list_naming_routes, naming_routes
from worker.web.page.actions.notes import note_routes
from worker.web.page.actions.operator import Operator
from worker.web.page.actions.runs import run_action_routes
from worker.web.page.auth.login import login_routes, logout_routes
from worker.web.page.page import NavItem, Page
from worker.web.page.static_files import static_routes
from worker.web.page.views.activity import activity_routes
from worker.web.page.views.learner import learner_routes
from worker.web.page.views.lists import list_routes
from worker.web.page.views.offers import look_again_routes, offers_routes
from worker.web.page.views.order import order_routes
from worker.web.page.views.report import report_routes
from worker.web.page.views.run import run_routes
from worker.web.page.views.search import search_routes
from worker.web.page.views.systems import system_action_routes, systems_routes
from worker.web.page.views.today import today_routes

_NAV = (
    NavItem("Today", "/"),
    NavItem("Runs", "/runs"),
    NavItem("Orders", "/orders"),
    NavItem("Deliveries", "/deliveries"),
    NavItem("Offers", "/offers"),
    NavItem("Report", "/report"),
    NavItem("Systems", "/systems"),
    NavItem("Activity", "/activity"),
)
_VIEWS: tuple[Callable[[Page], APIRouter], ...] = (
    logout_routes,
    today_routes,
    search_routes,
    list_routes,
    run_routes,
    order_routes,
    learner_routes,
    offers_routes,
    report_routes,
    systems_routes,
    activity_routes,
)
_ACTIONS: tuple[Callable[[Page, Operator], APIRouter], ...] = (
    naming_routes,
    list_naming_routes,
    note_routes,
    run_action_routes,
    bulk_replay_routes,
    look_again_routes,
    system_action_routes,
)


def page_routes(
    settings: Settings, ledger: Ledger, *, clock: Callable[[], datetime], operator: Operator | None = None
) -> APIRouter:
    """All routes of the page. Closed until a password is set. Without an `operator` it only shows."""
    page = Page(settings, ledger, clock=clock, operator=operator)
    page.nav = _NAV
    router = APIRouter(include_in_schema=False)
    router.include_router(static_routes())
    router.include_router(login_routes(page, Lockout(ledger, "login", LOGIN_FREE_FAILURES, clock)))
    for view in _VIEWS:
        router.include_router(view(page))
    if operator is not None:
        for action in _ACTIONS:
            router.include_router(action(page, operator))
    return router
