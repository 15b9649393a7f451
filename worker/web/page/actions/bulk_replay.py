"""Replaying many runs at once: exactly those that were shown, each in a transaction of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from worker.errors import ConfigurationError, LedgerError
from worker.formatting import counted
from worker.ledger.states import RunState
from worker.ledger.views.page.runs import page_of_runs
from worker.ledger.views.records import RunItem
from worker.web.page.actions.confirm import LONGEST_REASON, Outcome, refused, send, tell
from worker.web.page.actions.operator import Operator
from worker.web.page.actions.runs import of_replay
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page, field, form_of, operator_of
from worker.web.page.views.filters import RunFilters
from workflows.operations.replay import PLANNED, REPLAYED
from workflows.operations.restarting import Seen

MOST_AT_ONCE = 200
"""As many runs are replayed by one form: what is shown is what is done, and it is done in seconds."""
STUCK = (RunState.FAILED, RunState.REVIEW)
"""The states a filter without a state takes: what is not finished and does not go on by itself."""
_SEND_AT_ONCE = 100
_REFUSALS_SHOWN = 3


@dataclass(frozen=True)
class Replayable:
    """One run of a bulk, and what its replay would come to."""

    run: RunItem
    outcome: Outcome
    is_repeated: bool
    """Its order is planned again for another run above: that is one act for both."""

    @property
    def seen(self) -> str:
        """As it is shown, to come back with the form."""
        return Seen.of(self.run).text


def bulk_replay_routes(page: Page, operator: Operator) -> APIRouter:
    """The routes: GET lists every run with every call, POST replays those of them that there is something to do for."""
    router = guarded_router(page)

    @router.get("/replay")
    def ask(request: Request, filters: Annotated[RunFilters, Query()]) -> Response:
        with page.reading() as connection:
            chosen = filters.chosen(page.clock()) | ({"states": STUCK} if filters.state is None else {})
            found = page_of_runs(connection, **chosen, after=filters.after, limit=MOST_AT_ONCE + 1)
        back = filters.path("/runs")
        title = "Replay what failed or is in review" if filters.state is None else f"Replay the runs in {filters.state}"
        return ask_for_all(page, operator, request, found, title=title, back=back)

    @router.post("/replay")
    def act(request: Request) -> Response:
        form = form_of(request)
        run_ids = form.get("run", [])[:MOST_AT_ONCE]
        shown = dict(zip_longest(run_ids, form.get("state", [])[: len(run_ids)]))
        reason = field(request, "reason")[:LONGEST_REASON] or None
        back = field(request, "back")
        outcome = _replay_all(operator, shown, actor=operator_of(request), reason=reason)
        return tell(page, request, back if back == "/offers" or back.startswith("/runs?") else "/runs", outcome)

    return router


def ask_for_all(
    page: Page, operator: Operator, request: Request, found: Sequence[RunItem], *, title: str, back: str
) -> Response:
    """The page that lists what a bulk would do; of more than `MOST_AT_ONCE` runs it takes the first."""
    listed = _previewed(operator, found[:MOST_AT_ONCE], actor=operator_of(request))
    return page.render(
        request,
        "bulk.html",
        heading=title,
        listed=listed,
        able=[each for each in listed if each.outcome.is_done],
        has_more=len(found) > MOST_AT_ONCE,
        most=MOST_AT_ONCE,
        back=back,
        longest_reason=LONGEST_REASON,
    )


def _previewed(operator: Operator, found: Iterable[RunItem], *, actor: str) -> list[Replayable]:
    listed, planned = [], set()
    for run in found:
        try:
            replayed = operator.operations.replay(run.id, actor=actor, seen=Seen(is_one_of_many=True), dry_run=True)
        except (LedgerError, ConfigurationError) as error:
            listed.append(Replayable(run, refused(error), is_repeated=False))
            continue
        order = (run.source, run.order_id)
        is_plan = replayed.result == PLANNED
        listed.append(Replayable(run, of_replay(replayed), is_repeated=is_plan and order in planned))
        if is_plan:
            planned.add(order)
    return listed


def _replay_all(operator: Operator, shown: Mapping[str, str | None], *, actor: str, reason: str | None) -> Outcome:
    """Replay runs, each by its id with how it was shown."""
    results: Counter[str] = Counter()
    refusals: list[str] = []
    ready: list[str] = []
    for run_id, state in shown.items():
        try:
            found = operator.operations.replay(
                run_id, actor=actor, reason=reason, seen=Seen.read(state or "", is_one_of_many=True)
            )
        except (LedgerError, ConfigurationError) as error:
            results["refused"] += 1
            refusals.append(str(error))
            continue
        results[found.result] += 1
        if found.result == "refused":
            refusals.append(f"{run_id}: {found.message}")
        ready += found.ready
    for start in range(0, len(ready), _SEND_AT_ONCE):
        send(operator, tuple(ready[start : start + _SEND_AT_ONCE]))
    done = results[REPLAYED] + results[PLANNED]
    each = ", ".join(f"{count} {result}" for result, count in sorted(results.items()))
    summary = f"Of {counted(len(shown), 'run')}: {each}"
    return Outcome(summary if shown else "No run was chosen", is_done=done > 0, calls=tuple(refusals[:_REFUSALS_SHOWN]))
