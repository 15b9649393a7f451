"""`cartbridge replay`: start runs again where they stand, one by one or many by filter."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from worker.cli.arguments import (
    AsJson,
    DryRun,
    OfReviewReason,
    OfSource,
    Since,
    SourceName,
    Until,
    Why,
    Yes,
    offered_runs,
    one_of,
)
from worker.cli.commands.runs import ask_about, named_run
from worker.cli.context import current_actor, opening_of
from worker.cli.errors import FAILED, complain
from worker.cli.output import cell, console, note, print_json_array, progress, table
from worker.errors import ConfigurationError, LedgerError
from worker.ledger.states import RunState

if TYPE_CHECKING:
    from tasks.runtime import Runtime
    from worker.ledger.views.records import RunItem
    from workflows.operations.replay import Replayed
    from workflows.operations.restarting import Seen

STUCK = (RunState.FAILED, RunState.REVIEW)
"""The states a filter without `--state` takes: what is not finished and does not go on by itself."""
_SEND_AT_ONCE = 100
_STYLES = {"replayed": "green", "planned": "green", "nothing": "", "refused": "red"}
_PLANS_OR_REPEATS = (
    "it plans the orders again; --from-step and --again repeat runs as they were planned: one of the two"
)
OfState = Annotated[
    list[RunState] | None,
    typer.Option(
        "--state",
        metavar="STATE",
        help=f"All runs in this state: {one_of(RunState)}. Without it a filter takes failed and review.",
    ),
]
Runs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN", help="Ids, their beginnings, or keys.", show_default=False, autocompletion=offered_runs
    ),
]


def replay_command(
    context: typer.Context,
    *,
    run: Runs = None,
    state: OfState = None,
    review_reason: OfReviewReason = None,
    source: OfSource = None,
    since: Since = None,
    until: Until = None,
    replan: Annotated[bool, typer.Option("--replan", help="Plan the orders again by today's offers.")] = False,
    from_step: Annotated[
        str | None, typer.Option("--from-step", metavar="STEP", help="Begin again at this step.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Repeat finished effects on purpose: it makes a second comped order.")
    ] = False,
    reason: Why = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Start runs again where they stand. A plain replay repeats no effect: what may have been made is asked first."""
    from workflows.operations.restarting import Seen

    is_filtered = bool(state or review_reason or source or since or until)
    if bool(run) == is_filtered:
        raise typer.BadParameter(
            "name runs, or filter them by --state, --review-reason, --source, --since or --until; one of the two"
        )
    if replan and (from_step or again):
        raise typer.BadParameter(_PLANS_OR_REPEATS, param_hint="--replan")
    if again and not (reason or "").strip():
        raise typer.BadParameter(
            "--again makes effects a second time: say why with --reason TEXT", param_hint="--again"
        )
    with opening_of(context).runtime() as runtime:
        names = {each: Seen() for each in run or []}
        if is_filtered:
            chosen = _choose(runtime, state or STUCK, review_reason, source=source, since=since, until=until)
            if chosen and not dry_run and not yes:
                ask_about(chosen, "Replay")
            names = {each.id: Seen.of(each, is_one_of_many=True) for each in chosen}
            if not names:
                note("No run matches: nothing to replay.")
        report = _Report(as_json=as_json, total=len(names) if is_filtered and not dry_run else None)
        replayed = _replay_each(
            runtime,
            names,
            report,
            replan=replan,
            from_step=from_step,
            again=again,
            reason=reason,
            dry_run=dry_run,
        )
        with report:
            for batch in _batches(replayed, _SEND_AT_ONCE):
                runtime.dispatcher.send_runs(batch)
    report.finish()


def _replay_each(
    runtime: Runtime, names: Mapping[str, Seen], report: _Report, *, dry_run: bool, **options: Any
) -> Iterator[str]:
    """Replay one run after the other, each in a transaction of its own; gives the runs that are ready to be sent.

    `names`: with how each was seen.
    """
    actor = current_actor()
    for name, seen in names.items():
        try:
            run_id = named_run(runtime, name)
            found = runtime.operations.replay(run_id, actor=actor, seen=seen, dry_run=dry_run, **options)
        except (LedgerError, ConfigurationError) as error:
            if isinstance(error, ConfigurationError) and len(names) == 1:
                raise
            report.fail(name, str(error))  # a broken offers file stops only those that are planned by it
            continue
        report.take(found)
        if not dry_run:
            yield from found.ready


def _batches(run_ids: Iterable[str], size: int) -> Iterator[list[str]]:
    remaining = iter(run_ids)
    while batch := list(islice(remaining, size)):
        yield batch


def _choose(
    runtime: Runtime,
    states: Sequence[RunState],
    review_reason: str | None,
    *,
    source: SourceName | None,
    since: datetime | None,
    until: datetime | None,
) -> list[RunItem]:
    from worker.ledger.views.listing import list_runs

    with runtime.ledger.read() as connection:
        return list(
            list_runs(
                connection,
                states=states if review_reason is None else (RunState.REVIEW,),
                reason=review_reason,
                source=source,
                since=since,
                until=until,
            )
        )


class _Report(ExitStack):
    """Tells of each replay as it ends, and in the end of all; of those that a filter chose, of all in one table."""

    def __init__(self, *, as_json: bool, total: int | None) -> None:
        super().__init__()
        self._as_json = as_json
        self._total = None if as_json else total
        self._results: list[dict[str, Any]] = []
        self._runs: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        """Those that came to the same, by the result and what is said of it."""
        self._show: Callable[[int, str], None] | None = None

    def __enter__(self) -> Self:
        """Begin a line that moves, where a filter chose."""
        if self._total is not None:
            self._show = self.enter_context(progress("replaying", self._total))
        return super().__enter__()

    def take(self, found: Replayed) -> None:
        """One replay's result."""
        self._note(found.run_id, found.result, found.message)
        self._results.append(asdict(found))
        if not self._as_json and self._total is None:
            out = console()
            # What is done says so itself.
            text = found.message if found.result in {"replayed", "planned"} else f"{found.result}: {found.message}"
            out.print(cell(f"{found.run_id}  ").append_text(cell(text, _STYLES[found.result])))
            for call in found.calls:
                out.print(cell(f"  {call}"))

    def fail(self, name: str, sentence: str) -> None:
        """A run that could not be replayed at all."""
        self._note(name, "refused", sentence)
        self._results.append({"run_id": name, "result": "refused", "message": sentence, "ready": (), "calls": ()})
        if not self._as_json and self._total is None:
            complain(f"{name}: {sentence}")

    def _note(self, name: str, result: str, sentence: str) -> None:
        self._runs[result, sentence.replace(name, "RUN")].append(name)
        if self._show is not None:
            done = sum(map(len, self._runs.values()))
            self._show(done, f"{done} of {self._total}")

    def finish(self) -> None:
        """Sum up; exits 1 if something was refused or not found."""
        counts: Counter[str] = Counter()
        for (result, _), names in self._runs.items():
            counts[result] += len(names)
        if self._as_json:
            print_json_array(self._results)
        elif self._total is not None and self._runs:
            rows = [
                [cell(result, _STYLES[result]), cell(len(names)), cell(sentence), cell(names[0])]
                for (result, sentence), names in sorted(self._runs.items(), key=lambda item: -len(item[1]))
            ]
            console().print(table(("result", "runs", "what", "such as"), rows, wrapped=("what",)))
        if not self._as_json and counts.total() > 1:
            note(", ".join(f"{count} {result}" for result, count in sorted(counts.items())))
        if counts["refused"]:
            raise typer.Exit(FAILED)
