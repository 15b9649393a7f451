"""`cartbridge orders`: list, show, note."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.arguments import AsCsv, AsJson, DryRun, Limit, OfReason, OfSource, Since, Until, Yes, in_states
from worker.cli.commands.deliveries import deliveries_table
from worker.cli.commands.runs import runs_table
from worker.cli.context import current_actor, opening_of
from worker.cli.output import (
    Listing,
    cell,
    console,
    fields,
    print_json,
    state_cell,
    table,
)
from worker.formatting import age, clock, money, timestamp, zone_label
from worker.ledger.states import OrderState

if TYPE_CHECKING:
    from rich.table import Table

    from worker.ledger.views.details import LineItem, OrderDetail, VersionItem
    from worker.ledger.views.history import Story
    from worker.ledger.views.records import OrderItem

_WIDE = 120
"""Columns that an order needs to stand on one line."""
app = typer.Typer(no_args_is_help=True, help="Orders, as last seen at their sources.")

OfState = Annotated[list[OrderState] | None, in_states(OrderState)]


@app.command("list")
def list_command(
    context: typer.Context,
    *,
    state: OfState = None,
    source: OfSource = None,
    reason: OfReason = None,
    email: Annotated[str | None, typer.Option("--email", help="Bought by this email.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List orders, those with the latest news first."""
    from worker.ledger.views.listing import list_orders
    from worker.ledger.views.serializers import ORDER_FIELDS

    read = partial(
        list_orders,
        states=state or (),
        source=source,
        reason=reason,
        email=email,
        since=since,
        until=until,
    )
    Listing(read, _orders_table, "No orders.", ORDER_FIELDS).show(context, limit=limit, as_json=as_json, as_csv=as_csv)


@app.command("show")
def show_command(
    context: typer.Context,
    order: Annotated[str, typer.Argument(metavar="ORDER", help="SOURCE/ORDER, or its number.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show one order: its lines and seats, its runs, and every delivery of it."""
    from worker.ledger.views.details import named_seats_of, show_order
    from worker.ledger.views.history import story_of_order
    from worker.ledger.views.lookup import one_order

    with opening_of(context).reading() as connection:
        source, order_id = one_order(connection, order)
        found = show_order(connection, source, order_id)
        named = named_seats_of(connection, found)
        story = story_of_order(connection, source, order_id, now=datetime.now(UTC))
    if as_json:
        print_json(found)
    else:
        _print_order(found, story, named)


@app.command("note")
def note_command(
    context: typer.Context,
    order: Annotated[str, typer.Argument(metavar="ORDER", help="SOURCE/ORDER, or its number.", show_default=False)],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What others should know.", show_default=False)],
    *,
    dry_run: DryRun = False,
    yes: Yes = False,  # noqa: ARG001 -- one order, named, and nothing is sent: nothing is asked
) -> None:
    """Write a note on an order, for whoever looks at it next. It stands in its story, and goes with `forget`."""
    from worker.ledger.views.lookup import one_order

    with opening_of(context).runtime() as runtime:
        with runtime.ledger.read() as connection:
            source, order_id = one_order(connection, order)
        typer.echo(runtime.operations.note(source, order_id, text, actor=current_actor(), dry_run=dry_run))


def _orders_table(orders: Sequence[OrderItem]) -> Table:
    """Orders for people, one a line; on a narrow terminal two, with the source's word and the reason below."""
    is_narrow = console().width < _WIDE
    rows = []
    for order in orders:
        name, state = cell(f"{order.source}/{order.order_id}"), state_cell(order.state)
        buyer, total = cell(order.buyer_email or "-"), cell(_total(order))
        placed, news = cell(age(order.created_at)), cell(age(order.updated_at))
        if is_narrow:
            state = state.append(cell(f"\n{order.status}")) if order.status else state
            buyer = buyer.append(cell(f"\n{order.reason}")) if order.reason else buyer
            rows.append([name, state, buyer, total.append(cell("\n")).append(news)])
        else:
            rows.append([name, state, cell(order.reason), cell(order.status), buyer, total, placed, news])
    if is_narrow:
        return table(("order", "state", "buyer", "total, news"), rows, wrapped=("buyer",))
    headings = ("order", "state", "reason", "status", "buyer", "total", "placed", "news")
    return table(headings, rows, shortened=("reason", "status", "buyer"))


def _total(order: OrderItem) -> str:
    total = order.total
    return "" if total is None else money(total.minor_units, total.currency)


def _print_order(order: OrderDetail, story: Story, named: Mapping[tuple[str, str], str]) -> None:
    out = console()
    out.print(
        fields(
            [
                ("answer", cell(story.answer, "bold")),
                ("order", f"{order.source}/{order.order_id}"),
                ("state", state_cell(order.state)),
                ("reason", order.reason),
                ("meaning", None if (order.advice or "") in story.answer else order.advice),
                ("to do", story.action or order.action),
                ("status at the source", order.status),
                ("buyer", f"{order.buyer_name} {order.buyer_email}".strip()),
                ("total", _total(order)),
                ("renewal", "yes" if order.renewal else None),
                ("subscription", order.subscription),
                ("placed", timestamp(order.created_at) if order.created_at else None),
                ("first seen", timestamp(order.first_seen_at)),
                ("versions seen", str(len(order.versions))),
            ]
        )
    )
    if order.lines:
        out.print(_lines_table(order.lines, named))
    if len(order.versions) > 1:
        out.print(_versions_table(order.versions))
    if order.runs:
        out.print(runs_table(order.runs, title="Runs"))
    if order.notes:
        notes = [[cell(clock(each.at)), cell(each.actor), cell(each.text)] for each in order.notes]
        out.print(table((f"at ({zone_label()})", "by", "note"), notes, wrapped=("note",), title="Notes"))
    if order.deliveries:
        out.print(deliveries_table(order.deliveries, title="Deliveries"))


def _versions_table(versions: Sequence[VersionItem]) -> Table:
    """What changed each time; which fields, not what they held."""
    rows = [
        [cell(str(each.number)), cell(timestamp(each.seen_at)), cell("\n".join(each.changes) or "-")]
        for each in versions
    ]
    return table(("version", "seen", "changed"), rows, wrapped=("changed",), title="Versions")


def _lines_table(lines: Sequence[LineItem], named: Mapping[tuple[str, str], str]) -> Table:
    """By seat whom it is for, by the source or by the operator who named it."""
    rows = []
    for line in lines:
        for number, seat in enumerate(line.seats):
            is_first = number == 0
            here = named.get((line.id, seat.id))
            rows.append(
                [
                    cell(line.id if is_first else ""),
                    cell(line.title if is_first else ""),
                    cell(seat.id),
                    cell(here or (seat.learner or {}).get("email", "-")),
                    cell("named here", "dim") if here else cell(seat.hold, "yellow"),
                ]
            )
    headings = ("line", "product", "seat", "learner", "held back")
    return table(headings, rows, shortened=("line", "product", "learner"), title="Lines and seats")
