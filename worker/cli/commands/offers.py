"""`cartbridge offers`: check the offers file, and see what it lacks."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from worker.cli.arguments import AsJson
from worker.cli.check.warnings import follow_on_warnings
from worker.cli.context import opening_of
from worker.cli.errors import MISUSED
from worker.cli.output import cell, console, note, print_json, table
from worker.formatting import counted

if TYPE_CHECKING:
    from workflows.monitoring.unmapped_products import Unmapped
    from workflows.planning.offers import Grant, Offers, Rule

_SHOWN_RUNS = 5

app = typer.Typer(no_args_is_help=True, help="Offers: which product grants which course.")


@app.callback()
def offers_group() -> None:
    """Offers: which product grants which course."""


@app.command("check")
def check_command(context: typer.Context, as_json: AsJson = False) -> None:
    """Read the offers file and name every problem with its line; exits 2 if there is one."""
    from workflows.planning.offers import OffersError
    from workflows.planning.offers_file import load_offers

    settings = opening_of(context).settings
    path = settings.offers_file
    try:
        found = load_offers(path)
    except OffersError as error:
        if not as_json:
            raise
        print_json({"file": str(path), "ok": False, "problems": list(error.problems)})
        raise typer.Exit(MISUSED) from None
    if as_json:
        print_json({"file": str(path), "ok": True, "problems": [], **_counts(found)})
        return
    _print_offers(str(path), found)
    for warning in follow_on_warnings(settings) if found.follow_ons else ():
        note(warning)


@app.command("unmapped")
def unmapped_command(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the products that no offer matches, what waits for each, and the lines to paste into the offers file."""
    from worker.ledger.views.page.offers import waiting_for_offer
    from worker.reasons import Reason
    from workflows.monitoring.unmapped_products import unmapped_products
    from workflows.planning.offers import OffersError
    from workflows.planning.offers_file import load_offers

    opening = opening_of(context)
    path = opening.settings.offers_file
    try:
        offers = load_offers(path)
    except OffersError:  # `offers check` tells what is wrong with it
        offers = None
    with opening.reading() as connection:
        found = [each for _, each in unmapped_products(waiting_for_offer(connection, Reason.UNMAPPED_PRODUCT), offers)]
    if as_json:
        print_json([asdict(each) | {"orders": sorted(each.orders)} for each in found])
    elif not found:
        console().print("No product waits for an offer.")
    else:
        _print_unmapped(str(path), found)


def _print_unmapped(path: str, found: list[Unmapped]) -> None:
    out = console()
    for each in found:
        waits = "waits" if len(each.run_ids) == 1 else "wait"
        out.print(
            cell(f"{each.title or 'A product'} of {each.source}: {counted(len(each.run_ids), 'seat')} {waits}", "bold")
        )
        if each.is_mapped_now:
            out.print(cell("A rule matches it by now.", "green"))
        else:
            out.print(cell(each.snippet), soft_wrap=True)
            out.print(cell(f"Paste this into {path} with the price and the groups, then: cartbridge offers check"))
            out.print(cell("Or, if it is no course:", "dim"))
            out.print(cell(each.ignore_snippet), soft_wrap=True)
        are_more = len(each.run_ids) > _SHOWN_RUNS
        again = f"Then look again{f' at {_SHOWN_RUNS} of them' if are_more else ''}: cartbridge replay "
        out.print(cell(again + " ".join(each.run_ids[:_SHOWN_RUNS])), soft_wrap=True)
        if are_more:
            out.print(cell("or at all that wait for an offer: cartbridge replay --review-reason unmapped_product"))
        out.print()


def _counts(found: Offers) -> dict[str, Any]:
    return {"offers": len(found.offers), "ignores": len(found.ignores), "follow_ons": len(found.follow_ons)}


def _print_offers(path: str, found: Offers) -> None:
    out = console()
    rows = [
        [cell(offer.source), cell(_product(offer)), cell("; ".join(map(_grant, offer.grants))), cell(offer.renewals)]
        for offer in found.offers
    ]
    rows += [
        [cell(ignore.source), cell(_product(ignore)), cell("ignored", "dim"), cell("")] for ignore in found.ignores
    ]
    if rows:
        out.print(table(("source", "product", "grants", "renewals"), rows, wrapped=("product", "grants")))
    out.print(
        cell(
            f"✓ {path} is good: {counted(len(found.offers), 'offer')}, {counted(len(found.ignores), 'ignore')}, "
            f"{counted(len(found.follow_ons), 'follow-on')}.",
            "green",
        )
    )


def _product(rule: Rule) -> str:
    return ", ".join(f"{name} {value}" for name, value in rule.selectors.items())


def _grant(grant: Grant) -> str:
    return f"price {grant.price_id}, groups {', '.join(map(str, grant.group_ids)) or 'none'}"
