"""`cartbridge deliveries`: list, show."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.arguments import AsCsv, AsJson, Limit, OfOrder, OfReason, OfSource, Since, Until, in_states, one_of
from worker.cli.commands.runs import events_table
from worker.cli.context import opening_of
from worker.cli.output import (
    Listing,
    cell,
    console,
    fields,
    print_json,
    state_cell,
    table,
)
from worker.formatting import age, ago, plain_error, timestamp
from worker.ledger.states import DeliveryState, Via

if TYPE_CHECKING:
    from rich.table import Table

    from worker.ledger.views.details import DeliveryDetail
    from worker.ledger.views.records import DeliveryItem

app = typer.Typer(no_args_is_help=True, help="Deliveries: every arrival of news about an order.")

OfState = Annotated[list[DeliveryState] | None, in_states(DeliveryState)]


@app.command("list")
def list_command(
    context: typer.Context,
    *,
    state: OfState = None,
    source: OfSource = None,
    reason: OfReason = None,
    order_id: OfOrder = None,
    via: Annotated[Via | None, typer.Option("--via", metavar="WAY", help=f"That came so: {one_of(Via)}.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List deliveries, newest first."""
    from worker.ledger.views.listing import list_deliveries
    from worker.ledger.views.serializers import DELIVERY_FIELDS

    read = partial(
        list_deliveries,
        states=state or (),
        source=source,
        reason=reason,
        order_id=order_id,
        via=via,
        since=since,
        until=until,
    )
    Listing(read, deliveries_table, "No deliveries.", DELIVERY_FIELDS).show(
        context, limit=limit, as_json=as_json, as_csv=as_csv
    )


@app.command("show")
def show_command(
    context: typer.Context,
    delivery: Annotated[
        str, typer.Argument(metavar="DELIVERY", help="Its id, or the beginning of it.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Show one delivery, and what came of it."""
    from worker.ledger.views.details import show_delivery
    from worker.ledger.views.lookup import one_delivery

    with opening_of(context).reading() as connection:
        found = show_delivery(connection, one_delivery(connection, delivery))
    if as_json:
        print_json(found)
    else:
        _print_delivery(found)


def deliveries_table(deliveries: Sequence[DeliveryItem], *, title: str | None = None) -> Table:
    """Deliveries for people, one a line."""
    rows = []
    for delivery in deliveries:
        asked_by = [delivery.actor.removeprefix("operator:")] if delivery.via == Via.MANUAL else []
        cells = [
            cell(delivery.id),
            state_cell(delivery.state),
            cell("nothing new" if delivery.duplicate else delivery.reason),
            cell(f"{delivery.source}/{delivery.order_id or '-'}"),
            cell(", ".join((delivery.via, *asked_by))),
            cell(age(delivery.received_at)),
        ]
        rows.append(cells)
    return table(("delivery", "state", "told", "order", "via", "age"), rows, wrapped=("told", "via"), title=title)


def _print_delivery(delivery: DeliveryDetail) -> None:
    out = console()
    order = delivery.order
    out.print(
        fields(
            [
                ("delivery", delivery.id),
                ("order", f"{delivery.source}/{delivery.order_id}" if delivery.order_id else "none"),
                ("via", f"{delivery.via}, by {delivery.actor}"),
                ("state", state_cell(delivery.state)),
                ("told", "nothing new" if delivery.duplicate else None),
                ("reason", delivery.reason),
                ("meaning", delivery.advice),
                ("note", plain_error(delivery.note)),
                ("to do", delivery.action),
                ("received", timestamp(delivery.received_at)),
                ("next attempt", ago(delivery.next_attempt_at)),
                ("the order is now", state_cell(order.state) if order else None),
                ("runs it caused", "\n".join(delivery.run_ids)),
            ]
        )
    )
    if delivery.events:
        out.print(events_table(delivery.events))
