"""A learner: why they have access or have none, with one thing to do, and everything that led there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection, select

from worker.errors import NotInLedgerError
from worker.ledger.follow_on.completions import list_completions
from worker.ledger.tables.runs import learners
from worker.ledger.views.diagnosis import diagnose
from worker.ledger.views.history import why
from worker.ledger.views.page.runs import learner_names
from worker.ledger.views.records import RunItem
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page
from worker.web.page.views.formatting import days, learningcart_site, order_at_source, summary_of

MOST_COMPLETIONS = 50


def learner_routes(page: Page) -> APIRouter:
    """The route. A learner goes by the ledger's id: an email in an address would stand in histories and logs."""
    router = guarded_router(page)

    @router.get("/learners/{learner_id}")
    def show(request: Request, learner_id: str) -> Response:
        with page.reading() as connection:
            learner = connection.execute(select(learners).where(learners.c.id == learner_id)).one_or_none()
            if learner is None:
                raise NotInLedgerError(f"There is no learner {learner_id}.")
            story = why(connection, learner.email, now=page.clock())
            names = learner_names(connection, [run.id for run in story.runs])
            courses = _courses(connection, story.runs, page.clock())
            completions = list(islice(list_completions(connection, email=learner.email), MOST_COMPLETIONS))
        return page.render(
            request,
            "learner.html",
            email=learner.email,
            name=next(iter(names.values()), ""),
            summary=summary_of(story, can_act=page.operator is not None),
            story_of=story,
            courses=courses,
            order_out=lambda run: order_at_source(page.settings, run.source, run.order_id),
            learningcart_site=learningcart_site(page.settings),
            days=days(story.timeline),
            omitted=story.omitted,
            completions=completions,
        )

    return router


def _of_them(answer: str, email: str | None) -> str:
    """A sentence about somebody, without naming them: the page is headed by who it is."""
    said = answer.removeprefix(f"{email} ")
    return said[:1].upper() + said[1:] if said != answer else answer


@dataclass(frozen=True, slots=True)
class CourseRow:
    """What somebody bought: what came of it in one sentence, and its runs, newest first."""

    title: str
    answer: str
    tone: str
    runs: list[RunItem]


def _courses(connection: Connection, found: list[RunItem], now: datetime) -> list[CourseRow]:
    """One row a product, those in question first."""
    by_course: dict[tuple[str, str | None], list[RunItem]] = {}
    for run in found:
        by_course.setdefault((run.title or run.line_id, run.email), []).append(run)
    rows = []
    for (title, _), theirs in by_course.items():
        said = diagnose(connection, theirs, (), (), now=now)
        rows.append((said.rank, CourseRow(title, _of_them(said.answer, theirs[0].email), said.tone, theirs)))
    return [row for _, row in sorted(rows, key=lambda each: each[0])]
