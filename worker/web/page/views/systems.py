"""The systems and the mail server: is each set up, when did it last answer, what holds it back; pause and resume."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from fastapi import APIRouter, Request, Response

from worker.ledger.views.page.systems import systems
from worker.settings.mail import MailSettings
from worker.settings.settings import DESTINATIONS, PAUSABLE, SENT_TO, SOURCES, SystemSettings
from worker.web.page.actions.confirm import LONGEST_REASON, Confirmation, Outcome, confirm, tell
from worker.web.page.actions.operator import Operator
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page, field, operator_of

PATH = "/systems"
_PAUSED = "Nothing more is sent to it until it is resumed: its runs wait. Calls under way end; orders still come in."
_SOURCE_PAUSED = "Nothing more is read from it until it is resumed: no poll, and its webhooks are kept and wait."
_RESUMED = "What waited for it is sent within seconds. If it is down it is asked at once; the rest follows its answer."
System = Literal["learningcart", "threedcart", "mail", "studiocart", "frontcore"]
Verb = Literal["pause", "resume"]


def systems_routes(page: Page) -> APIRouter:
    """The list. What is not configured is listed too, with what is missing."""
    router = guarded_router(page)

    @router.get(PATH)
    def show(request: Request) -> Response:
        return page.render(request, "systems.html", systems=_listed(page), can_act=page.operator is not None)

    return router


def system_action_routes(page: Page, operator: Operator) -> APIRouter:
    """Pausing and resuming a system: GET shows and asks, POST does it. Both are safe to repeat."""
    router = guarded_router(page)

    @router.get(PATH + "/{system}/{verb}")
    def ask(request: Request, system: System, verb: Verb) -> Response:
        change = operator.operations.pause if verb == "pause" else operator.operations.resume
        outcome = Outcome(change(system, actor=operator_of(request), dry_run=True))
        return confirm(page, request, _confirmation(system, verb), outcome)

    @router.post(PATH + "/{system}/{verb}")
    def act(request: Request, system: System, verb: Verb) -> Response:
        change = operator.operations.pause if verb == "pause" else operator.operations.resume
        reason = field(request, "reason")[:LONGEST_REASON] or None
        outcome = Outcome(change(system, actor=operator_of(request), reason=reason))
        if verb == "resume":
            operator.dispatcher.send_resumed(system)
        return tell(page, request, PATH, outcome)

    return router


def _confirmation(system: str, verb: Verb) -> Confirmation:
    path = f"{PATH}/{system}/{verb}"
    if verb == "pause":
        return Confirmation(f"Pause {system}", "Pause", path, PATH, warning=" ".join(_warnings(system)))
    return Confirmation(f"Resume {system}", "Resume", path, PATH, warning=_RESUMED)


def _warnings(system: str) -> Iterator[str]:
    if system in SENT_TO:
        yield _PAUSED
    if system in SOURCES:
        yield _SOURCE_PAUSED


def _listed(page: Page) -> list[dict[str, Any]]:
    settings = page.settings
    configured: dict[str, SystemSettings | MailSettings] = {**settings.systems(), "mail": settings.mail}
    sources = settings.sources()
    destinations = [name for name in SENT_TO if configured[name].is_configured]
    with page.reading() as connection:
        found = {
            health.system: health
            for health in systems(connection, page.clock(), sources=sources, destinations=destinations)
        }
    return [
        {
            "name": name,
            "roles": [
                *(["source"] if name in sources or (name in SOURCES and name not in DESTINATIONS) else []),
                *(["destination"] if name in DESTINATIONS else []),
            ],
            "is_source_on": name in sources,
            "missing": [] if name in sources else section.missing(),
            "can_be_paused": name in PAUSABLE,
            "found": found.get(name),
        }
        for name, section in configured.items()
    ]
