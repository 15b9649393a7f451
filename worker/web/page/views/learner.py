"""A learner: why they have access or have none, with one thing to do, and everything that led there."""

from __future__ import annotations

from itertools import islice

from fastapi import APIRouter, Request, Response
from sqlalchemy import select

from worker.errors import NotInLedgerError
from worker.ledger.follow_on.completions import list_completions
from worker.ledger.tables.runs import learners
from worker.ledger.views.history import why
from worker.ledger.views.page.runs import learner_names
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page
from worker.web.page.views.formatting import days, summary_of

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
            completions = list(islice(list_completions(connection, email=learner.email), MOST_COMPLETIONS))
        return page.render(
            request,
            "learner.html",
            email=learner.email,
            name=next(iter(names.values()), ""),
            summary=summary_of(story, can_act=page.operator is not None),
            story_of=story,
            days=days(story.timeline),
            omitted=story.omitted,
            completions=completions,
        )

    return router
