"""The offers: what each grants and how often it matched, what waits for one, and the lines to paste for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request, Response

from worker.ledger.views.page.offers import (
    MOST_GRANTED,
    MOST_WAITING,
    Granted,
    granted,
    runs_of,
    sold,
    waiting_for_offer,
)
from worker.reasons import Reason
from worker.web.page.actions.bulk_replay import MOST_AT_ONCE, ask_for_all
from worker.web.page.actions.operator import Operator
from worker.web.page.auth.forms import first
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page, form_of
from workflows.monitoring.offers_trial import try_offers
from workflows.monitoring.unmapped_products import product_key, unmapped_products
from workflows.planning.offers import Offer, Offers, OffersError
from workflows.planning.offers_file import read_offers_file

COUNTED_DAYS = 30
LONGEST_LINES = 50_000


def offers_routes(page: Page) -> APIRouter:
    """The page. A file that cannot be used is shown with its problems, by line; its last valid rules stay in force."""
    router = guarded_router(page)

    @router.get("/offers")
    def show(request: Request) -> Response:
        return answer(request)

    @router.post("/offers/try")
    def try_lines(request: Request) -> Response:
        return answer(request, pasted=first(form_of(request), "lines")[:LONGEST_LINES])

    def answer(request: Request, pasted: str = "") -> Response:
        since = page.clock() - timedelta(days=COUNTED_DAYS)
        with page.reading() as connection:
            found, counted_from = granted(connection, since)
            waiting = waiting_for_offer(connection, Reason.UNMAPPED_PRODUCT)
            products, sold_from = sold(connection) if pasted else ([], None)
        offers = page.offers.current()
        text = _text_of(page)
        return page.render(
            request,
            "offers.html",
            file=page.settings.offers_file,
            text=text,
            pasted=pasted,
            trial=try_offers(pasted, text, products) if pasted else None,
            sold_from=sold_from,
            problems=page.offers.problems(),
            offers=_counted(offers, found),
            ignores=offers.ignores,
            follow_ons=offers.follow_ons,
            days=COUNTED_DAYS,
            counted_from=counted_from,
            most_granted=MOST_GRANTED,
            unmapped=unmapped_products(waiting, offers),
            is_cut=len(waiting) >= MOST_WAITING,
            can_act=page.operator is not None,
        )

    return router


def _text_of(page: Page) -> str:
    """The file as it is; empty where it cannot be read, which its problems say."""
    try:
        return read_offers_file(page.settings.offers_file)
    except OffersError:
        return ""


def look_again_routes(page: Page, operator: Operator) -> APIRouter:
    """The list of what would become of a product's waiting runs, whose form replays them."""
    router = guarded_router(page)

    @router.get("/offers/look-again")
    def ask(request: Request, source: str, key: str) -> Response:
        with page.reading() as connection:
            waiting = waiting_for_offer(connection, Reason.UNMAPPED_PRODUCT)
            wanted = [
                each.run_id
                for each in waiting
                if each.source == source and product_key(source, each.line.product) == key
            ]
            found = runs_of(connection, wanted[: MOST_AT_ONCE + 1])
        title = "Look again at what waits for an offer"
        return ask_for_all(page, operator, request, found, title=title, back="/offers")

    return router


def _counted(offers: Offers, found: Iterable[Granted]) -> list[dict[str, Any]]:
    """Each offer with the enrolments that it would be planned for today, of those that were planned lately."""
    counts: dict[int, int] = {}
    for each in found:
        rule = offers.match(each.source, each.line)
        if isinstance(rule, Offer):
            counts[id(rule)] = counts.get(id(rule), 0) + each.count
    return [{"offer": offer, "count": counts.get(id(offer), 0)} for offer in offers.offers]
