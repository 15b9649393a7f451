"""`cartbridge runs`: list, show, resolve, cancel, reopen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.arguments import (
    AsCsv,
    AsJson,
    DryRun,
    Limit,
    OfEmail,
    OfOrder,
    OfReason,
    OfReviewReason,
    OfSource,
    RunName,
    RunOrReason,
    Since,
    Until,
    Why,
    Yes,
    hint_at_review_reason,
    in_states,
)
from worker.cli.confirm import ask, is_terminal
from worker.cli.context import current_actor, opening_of
from worker.cli.errors import FAILED, complain
from worker.cli.output import (
    STATE_STYLES,
    Listing,
    cell,
    console,
    fields,
    note,
    print_json,
    state_cell,
    table,
)
from worker.errors import LedgerError
from worker.formatting import ORDER_NUMBER, age, ago, clock, counted, plain_error, timestamp, zone_label
from worker.ledger.states import RunState

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from tasks.runtime import Runtime
    from worker.ledger.views.details import AttemptItem, EventItem, RunDetail
    from worker.ledger.views.diagnosis import Diagnosis
    from worker.ledger.views.records import RunItem
    from workflows.operations.restarting import Seen

_WIDE = 120
"""Columns that a run needs to stand on one line."""
app = typer.Typer(no_args_is_help=True, help="Runs: one learner, one grant, one order line.")

_SHOWN_BEFORE_ASKING = 20
OfState = Annotated[list[RunState] | None, in_states(RunState)]


@app.command("list")
def list_command(
    context: typer.Context,
    *,
    state: OfState = None,
    source: OfSource = None,
    reason: OfReason = None,
    review_reason: OfReviewReason = None,
    email: OfEmail = None,
    order_id: OfOrder = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List runs, newest first."""
    from worker.ledger.views.listing import list_runs
    from worker.ledger.views.serializers import RUN_FIELDS

    if review_reason is not None and (state or reason):
        raise typer.BadParameter("it says state and reason already", param_hint="--review-reason")
    read = partial(
        list_runs,
        states=(state or ()) if review_reason is None else (RunState.REVIEW,),
        source=source,
        reason=review_reason or reason,
        email=email,
        order_id=order_id,
        since=since,
        until=until,
    )
    Listing(read, runs_table, "No runs.", RUN_FIELDS).show(context, limit=limit, as_json=as_json, as_csv=as_csv)


@app.command("show")
def show_command(context: typer.Context, run: RunName, as_json: AsJson = False) -> None:
    """Show one run: what it is about, its steps with every attempt, and its audit trail."""
    from worker.ledger.views.details import show_run
    from worker.ledger.views.diagnosis import diagnose
    from worker.ledger.views.lookup import one_run

    with opening_of(context).reading() as connection:
        found = show_run(connection, one_run(connection, run))
        diagnosis = diagnose(connection, [found], [], [], now=datetime.now(UTC))
    if as_json:
        print_json(found)
    else:
        _print_run(found, diagnosis)


def _whole_number(order_id: str | None) -> str | None:
    """LearningCart's order ids are whole numbers; anything else is a slip of the finger."""
    if order_id is not None and not ORDER_NUMBER.fullmatch(order_id):
        raise typer.BadParameter(
            "LearningCart's order ids are whole numbers, as 4711, without a zero before them", param_hint="--order-id"
        )
    return order_id


@app.command("resolve")
def resolve_command(
    context: typer.Context,
    run: RunOrReason = None,
    *,
    review_reason: OfReviewReason = None,
    note: Annotated[
        str | None,
        typer.Option(
            "--note",
            "--reason",
            metavar="TEXT",
            help="What was done, and by whom.",
            show_default=False,
            callback=hint_at_review_reason,
        ),
    ] = None,
    order_id: Annotated[
        str | None,
        typer.Option("--order-id", "--result-id", metavar="ID", help="The LearningCart order, where there is one."),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Record that a person did the run by hand, or all in review with one reason: they have succeeded."""
    if note is None or not note.strip():
        raise typer.BadParameter("say what was done", param_hint="--note")
    result_id = _whole_number(order_id)
    if result_id is not None and run is None:
        raise typer.BadParameter("one order is of one run: name it", param_hint="--order-id")
    with opening_of(context).runtime() as runtime:
        resolve = partial(runtime.operations.resolve, actor=current_actor(), note=note.strip(), result_id=result_id)
        _settle(_chosen(runtime, run, review_reason, "Resolve", dry_run=dry_run, yes=yes), resolve, dry_run=dry_run)


@app.command("cancel")
def cancel_command(
    context: typer.Context,
    run: RunOrReason = None,
    *,
    review_reason: OfReviewReason = None,
    reason: Why = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Cancel a run that has had no effect, or all in review with one reason. Asks first on a terminal."""
    with opening_of(context).runtime() as runtime:
        cancel = partial(runtime.operations.cancel, actor=current_actor(), reason=reason)
        _settle(_chosen(runtime, run, review_reason, "Cancel", dry_run=dry_run, yes=yes), cancel, dry_run=dry_run)


@app.command("reopen")
def reopen_command(
    context: typer.Context,
    run: RunName,
    *,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why; kept in the audit trail.", show_default=False)
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,  # noqa: ARG001 -- one run, named, and nothing is sent: nothing is asked
) -> None:
    """Put a run that an operator resolved or cancelled back into review. Nothing is sent by it."""
    if reason is None or not reason.strip():
        raise typer.BadParameter("say why", param_hint="--reason")
    with opening_of(context).runtime() as runtime:
        reopen = partial(runtime.operations.reopen, actor=current_actor(), reason=reason.strip())
        typer.echo(reopen(named_run(runtime, run), dry_run=dry_run))


def _chosen(
    runtime: Runtime, run: str | None, review_reason: str | None, verb: str, *, dry_run: bool, yes: bool
) -> dict[str, Seen]:
    """The run that was named, or those in review with a reason, once the operator has agreed; each as it was seen."""
    from worker.ledger.views.details import show_run
    from worker.ledger.views.listing import list_runs
    from workflows.operations.restarting import Seen

    if (run is None) == (review_reason is None):
        raise typer.BadParameter("name a run, or choose runs by --review-reason CODE; one of the two")
    if run is not None:
        run_id = named_run(runtime, run)
        if verb == "Cancel" and not dry_run and not yes and is_terminal():
            with runtime.ledger.read() as connection:
                shown = show_run(connection, run_id)
            console(stderr=True).print(runs_table([shown]))
            ask("Cancel this run? It will give nobody access.", yes=False)
            return {run_id: Seen.of(shown)}
        return {run_id: Seen()}
    with runtime.ledger.read() as connection:
        found = list(list_runs(connection, states=(RunState.REVIEW,), reason=review_reason))
    if not found:
        typer.echo("No run matches: nothing to do.")
    elif not dry_run and not yes:
        ask_about(found, verb)
    return {each.id: Seen.of(each, is_one_of_many=True) for each in found}


def ask_about(chosen: Sequence[RunItem], verb: str) -> None:
    """Show what a filter chose, and ask."""
    console(stderr=True).print(runs_table(chosen[:_SHOWN_BEFORE_ASKING]))
    if len(chosen) > _SHOWN_BEFORE_ASKING:
        note(f"… and {len(chosen) - _SHOWN_BEFORE_ASKING} more.")
    ask(f"{verb} {counted(len(chosen), 'run')}?", yes=False)


def _settle(chosen: Mapping[str, Seen], settle: Callable[..., str], *, dry_run: bool) -> None:
    """Settle each run in a transaction of its own. A refusal is printed, and the exit code is 1 once all were tried."""
    has_refused = False
    for run_id, seen in chosen.items():
        try:
            typer.echo(settle(run_id, seen=seen, dry_run=dry_run))
        except LedgerError as error:
            if len(chosen) == 1:
                raise
            complain(str(error))
            has_refused = True
    if has_refused:
        raise typer.Exit(FAILED)


def named_run(runtime: Runtime, text: str) -> str:
    """The id of the run the operator named. Raises `NotInLedgerError`."""
    from worker.ledger.views.lookup import one_run

    with runtime.ledger.read() as connection:
        return one_run(connection, text)


def runs_table(runs: Sequence[RunItem], *, title: str | None = None) -> Table:
    """Runs for people, one a line; on a narrow terminal two, with all that tells one run from another."""
    is_narrow = console().width < _WIDE
    rows = []
    for run in runs:
        due = run.next_attempt_at if run.state == RunState.WAITING else None
        why = f"{run.reason or ''}{', ' + ago(due) if due else ''}".removeprefix(", ")
        state, failed, since = state_cell(run.state), cell(run.failed_attempts or ""), cell(age(run.created_at))
        if is_narrow:
            state = state.append(cell(f"\n{_belongs_to(run)}"))
            rows.append([cell(run.id), state, cell(f"{run.email or '-'}\n{why}".rstrip()), since])
        else:
            rows.append([cell(run.id), state, cell(why), cell(_belongs_to(run)), cell(run.email or "-"), failed, since])
    if is_narrow:
        narrow = ("run", "state, order", "learner, reason", "age")
        return table(narrow, rows, wrapped=("learner, reason",), title=title)
    headings = ("run", "state", "reason", "order", "learner", "failed tries", "age")
    return table(headings, rows, shortened=("reason", "learner"), title=title)


def _belongs_to(run: RunItem) -> str:
    """The order or the completion that a run comes from."""
    return f"{run.source}/{run.order_id or run.completion_id or '-'}"


def _planned_with(run: RunItem) -> str | None:
    """What a run gives, in a line."""
    planned = run.grant
    if not planned:
        return None
    if "price_id" in planned:
        groups = ", ".join(str(group) for group in planned.get("group_ids", ()))
        return f"price {planned['price_id']}, groups {groups or 'none'}"
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in planned.items() if value not in (None, []))


def _checkout_url(run: RunDetail) -> str | None:
    """Where the learner can check the run's cart out."""
    urls = (step.output.get("checkout_url") for step in run.steps)
    return next((url for url in urls if url), None)


def _print_run(run: RunDetail, diagnosis: Diagnosis) -> None:
    out = console()
    effect = "LearningCart order" if run.order_id is not None else "result"
    out.print(
        fields(
            [
                ("answer", cell(diagnosis.answer, "bold")),
                ("run", run.id),
                ("key", run.key),
                ("workflow", run.workflow),
                ("state", state_cell(run.state)),
                ("reason", run.reason),
                ("meaning", None if (run.advice or "") in diagnosis.answer else run.advice),
                ("note", plain_error(run.note)),
                ("to do", cell(diagnosis.action, "bold") if diagnosis.action else None),
                ("learner", run.email),
                ("product", run.title),
                ("grant", _planned_with(run)),
                (effect, run.result_id),
                ("checkout", _checkout_url(run)),
                ("about run", run.parent_id),
                (
                    "held by",
                    f"{run.lease_holder} until {clock(run.lease_until)}" if run.lease_holder else None,
                ),
                ("next attempt", _moment(run.next_attempt_at)),
                ("created", _moment(run.created_at)),
                ("finished", _moment(run.finished_at)),
            ]
        )
    )
    if run.steps:
        out.print(steps_table(run))
    if run.events:
        out.print(events_table(run.events))


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else f"{timestamp(moment)} ({ago(moment)})"


def steps_table(run: RunDetail) -> Table:
    """A run's steps with every attempt, for people."""
    rows = []
    for step in run.steps:
        # A step without an attempt has one line all the same.
        shown: list[AttemptItem | None] = [*step.attempts] or [None]
        for number, attempt in enumerate(shown):
            name = cell(step.name, STATE_STYLES.get(step.state, "")) if number == 0 else cell("")
            rows.append([name, *(_attempt_cells(attempt) if attempt else [cell("")] * 6)])
    headings = ("step", "try", "kind", f"began ({zone_label()})", "outcome", "HTTP", "what happened")
    return table(headings, rows, wrapped=("what happened",), title="Steps")


def _attempt_cells(attempt: AttemptItem) -> list[Text]:
    found = f"order {attempt.result_id}" if attempt.result_id else ""
    return [
        cell(attempt.number),
        cell(attempt.kind),
        cell(clock(attempt.started_at)[5:]),
        state_cell(attempt.outcome or "open"),
        cell(attempt.http_status),
        cell(plain_error(attempt.error) or found),
    ]


def events_table(events: Sequence[EventItem]) -> Table:
    """The audit trail for people, oldest first."""
    rows = [[cell(clock(event.at)), cell(event.kind), cell(event.actor), cell(event.reason)] for event in events]
    return table((f"at ({zone_label()})", "event", "by", "reason"), rows, wrapped=("reason",), title="Audit trail")
