"""`cartbridge ingest`: look at orders by name, now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from worker.advice import advice
from worker.cli.arguments import AsJson, DryRun, OrdersSource, Why, Yes
from worker.cli.context import current_actor, opening_of
from worker.cli.errors import FAILED, complain
from worker.cli.output import cell, console, print_json_array, progress, state_cell
from worker.errors import ApiError, NotFoundError
from worker.formatting import plain_error

if TYPE_CHECKING:
    from tasks.runtime import IngestResult, Runtime


def ingest_command(
    context: typer.Context,
    *,
    source: OrdersSource,
    order_ids: Annotated[
        list[str], typer.Argument(metavar="ORDER_ID", help="The source's own ids.", show_default=False)
    ],
    reason: Why = None,
    dry_run: DryRun = False,
    yes: Yes = False,  # noqa: ARG001 -- orders, named: nothing is asked
    as_json: AsJson = False,
) -> None:
    """Fetch orders from their source, record and plan them, and send what is due to the workers. Safe to repeat."""
    results: list[IngestResult] = []
    failed = False
    with opening_of(context).runtime() as runtime:
        wanted = list(dict.fromkeys(order_ids))
        for order_id in _moving(wanted):
            try:
                result = runtime.ingest(source.value, order_id, actor=current_actor(), dry_run=dry_run)
            except ApiError as error:
                name, about = f"{source.value}/{order_id}", {"source": source.value, "order_id": order_id}
                known = advice("order_not_found", **about) if isinstance(error, NotFoundError) else None
                said = f"{str(error).rstrip('.')}. {known.sentence} {known.action}" if known else str(error)
                complain(f"{name}: {said}")
                failed = True
                continue
            results.append(result)
            if not dry_run:
                _record_act(runtime, result, reason)
            failed = failed or not result.ok
            if not as_json:
                _print_result(result, dry_run=dry_run)
    if as_json:
        print_json_array(asdict(result) for result in results)
    if failed:
        raise typer.Exit(FAILED)


def _moving(order_ids: list[str]) -> Iterator[str]:
    """The ids, with a line that moves where there are several."""
    if len(order_ids) == 1:
        yield from order_ids
        return
    with progress("taking in", len(order_ids)) as show:
        for done, order_id in enumerate(order_ids):
            show(done, f"{done} of {len(order_ids)}")
            yield order_id


def _record_act(runtime: Runtime, result: IngestResult, reason: str | None) -> None:
    from worker.ledger.events import record_event

    with runtime.ledger.write() as connection:
        record_event(
            connection,
            at=runtime.clock(),
            kind="order_ingested",
            actor=current_actor(),
            source=result.source,
            order_id=result.order_id,
            delivery_id=result.delivery_id,
            reason=reason,
        )


def _print_result(result: IngestResult, *, dry_run: bool) -> None:
    out = console()
    line = cell(f"{result.source}/{result.order_id}  ").append_text(state_cell(result.state))
    if result.reason:
        line.append(cell(f"  {result.reason}"))
    out.print(line)
    if result.note:
        out.print(cell(f"  {plain_error(result.note)}", "" if result.ok else "red"))
    step = None if result.ok else advice(result.reason, source=result.source, order_id=result.order_id)
    if step is not None:
        out.print(cell(f"  {step.sentence} {step.action}"))
    for plan_line in result.plan_lines:
        lead = "would " if dry_run and not plan_line.startswith(" ") else ""
        out.print(cell(f"  {lead}{plan_line}"))
    if result.ok and not result.plan_lines:
        out.print(cell("  nothing to do: every seat is planned already, or needs nothing", "dim"))
