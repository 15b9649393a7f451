"""`cartbridge offers`: check the offers file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from worker.cli.arguments import AsJson
from worker.cli.failures import MISUSED
from worker.cli.follow_on_warnings import follow_on_warnings
from worker.cli.opening import opening_of
from worker.cli.printing import cell, console, counted, note, print_json, table

if TYPE_CHECKING:
    from workflows.offers import Grant, Offers, Rule

app = typer.Typer(no_args_is_help=True, help="Offers: which product grants which course.")


@app.callback()
def offers_group() -> None:
    """Offers: which product grants which course."""


@app.command("check")
def check_command(context: typer.Context, as_json: AsJson = False) -> None:
    """Read the offers file and name every problem with its line; exits 2 if there is one."""
    from workflows.offers import OffersError, load_offers

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
