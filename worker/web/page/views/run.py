"""A run: what it came to and why, its steps with every attempt on an axis of time, its story, and its audit trail."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from worker.ledger.states import FINISHED, RunState
from worker.ledger.views.details import AttemptItem, RunDetail, StepItem, show_run
from worker.ledger.views.diagnosis import diagnose
from worker.ledger.views.history import why
from worker.ledger.views.serializers import to_json
from worker.web.page.actions.links import offered, repeat_path
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page
from worker.web.page.views.formatting import days, learningcart_site, order_at_source, summary_of
from worker.web.page.views.step_bars import step_bars

_SETTLED = FINISHED | {RunState.REVIEW}


def run_routes(page: Page) -> APIRouter:
    """The route. The part that changes while a run is under way is asked for anew by itself."""
    router = guarded_router(page)

    @router.get("/runs/{run_id}")
    def show(request: Request, run_id: str) -> Response:
        now = page.clock()
        with page.reading() as connection:
            found = show_run(connection, run_id)
            context = _page_of(connection, found, now, can_act=page.operator is not None)
        return page.render(
            request,
            "run.html",
            run=found,
            is_settled=found.state in _SETTLED,
            source_path=order_at_source(page.settings, found.source, found.order_id),
            learningcart_site=learningcart_site(page.settings),
            **context,
        )

    return router


def _page_of(connection: Connection, run: RunDetail, now: datetime, *, can_act: bool) -> dict[str, Any]:
    summary = summary_of(diagnose(connection, [run], [], [], now=now), can_act=can_act)
    named = {button.path for button in summary.buttons}
    # Of the order's story what is about the order itself, and what is about this run.
    story = why(connection, run.id, now=now)
    return {
        "summary": summary,
        "other_buttons": [button for button in offered(run) if can_act and button.path not in named],
        "steps": [_step(run, step, now, can_act=can_act) for step in run.steps],
        "bars": step_bars(run.steps, now),
        "days": days(line for line in story.timeline if line.run_id in {None, run.id}),
        "omitted": story.omitted,
        "raw": json.dumps(to_json(run), indent=2, ensure_ascii=False),
    }


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step with its attempts and how many seconds each took, and where it is repeated on purpose."""

    name: str
    state: str
    attempts: list[tuple[AttemptItem, float]]
    repeat_path: str | None


def _step(run: RunDetail, step: StepItem, now: datetime, *, can_act: bool) -> StepRow:
    repeats = can_act and step.state != "removed" and run.state != RunState.RUNNING
    attempts = [(attempt, _seconds(attempt, now)) for attempt in step.attempts]
    return StepRow(step.name, step.state, attempts, repeat_path(run.id, step.name) if repeats else None)


def _seconds(attempt: AttemptItem, now: datetime) -> float:
    """How long a try took, or has taken until now."""
    return max(0.0, ((attempt.finished_at or now) - attempt.started_at).total_seconds())
