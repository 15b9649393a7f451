"""The offers: what each grants and how often it matched, what waits for one, and the lines to paste for it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request, Response

from worker.ledger.page_offers import (
    MOST_GRANTED,
    MOST_WAITING,
    Granted,
    Waiting,
    granted,
    runs_of,
    waiting_for_offer,
)
from worker.sources.order import Product
from worker.web.page.bulk_replay import MOST_AT_ONCE, ask_for_all
from worker.web.page.desk import Desk
from worker.web.page.guard import guarded_router
from worker.web.page.page import Page
from worker.web.page.rendering import iso
from workflows.offers import SELECTORS, Offer, Offers, OffersBook, OffersError
from workflows.reasons import Reason, advice

COUNTED_DAYS = 30
_BEST_NAMES = ("course_id", "sku", "product_id", "product_name", "plan_id")
"""By which name of a product an offer is proposed, the best one first."""


@dataclass
class Unmapped:
    """A product that no offer and no ignore matches, and what waits for one."""

    source: str
    title: str
    names: dict[str, str]
    snippet: str
    oldest_at: str
    orders: set[str] = field(default_factory=set)
    run_ids: list[str] = field(default_factory=list)
    is_mapped_now: bool = False
    """A rule matches it by now: what waits for it only has to be looked at again."""


def offers_routes(page: Page) -> APIRouter:
    """The page. A file that cannot be used is shown with its problems, by line; what it said before is not guessed."""
    router = guarded_router(page)
    book = OffersBook(page.settings.offers_file)

    @router.get("/offers")
    def show(request: Request) -> Response:
        since = page.clock() - timedelta(days=COUNTED_DAYS)
        with page.reading() as connection:
            found, counted_from = granted(connection, since)
            waiting = waiting_for_offer(connection, Reason.UNMAPPED_PRODUCT)
        offers, problems = _read(book)
        return page.render(
            request,
            "offers.html",
            file=page.settings.offers_file,
            problems=problems,
            offers=None if offers is None else _counted(offers, found),
            ignores=() if offers is None else offers.ignores,
            follow_ons=() if offers is None else offers.follow_ons,
            days=COUNTED_DAYS,
            counted_from=None if counted_from is None else iso(counted_from),
            most_granted=MOST_GRANTED,
            unmapped=unmapped_products(waiting, offers),
            is_cut=len(waiting) >= MOST_WAITING,
            can_act=page.desk is not None,
        )

    return router


def look_again_routes(page: Page, desk: Desk) -> APIRouter:
    """The list of what would become of a product's waiting runs, whose form replays them."""
    router = guarded_router(page)

    @router.get("/offers/look-again")
    def ask(request: Request, source: str, key: str) -> Response:
        with page.reading() as connection:
            waiting = waiting_for_offer(connection, Reason.UNMAPPED_PRODUCT)
            wanted = [
                each.run_id for each in waiting if each.source == source and product_key(each.line.product) == key
            ]
            found = runs_of(connection, wanted[: MOST_AT_ONCE + 1], advise=advice)
        title = "Look again at what waits for an offer"
        return ask_for_all(page, desk, request, found, title=title, back="/offers")

    return router


def product_key(product: Product) -> str:
    """A product's names as one text, the same for the same product."""
    return json.dumps(product.model_dump(exclude_none=True), sort_keys=True, ensure_ascii=False)


def unmapped_products(waiting: Iterable[Waiting], offers: Offers | None) -> list[tuple[str, Unmapped]]:
    """What waits for an offer, by product, with its key; the product most runs wait for comes first."""
    found: dict[tuple[str, str], Unmapped] = {}
    for each in waiting:
        key = product_key(each.line.product)
        product = found.get((each.source, key))
        if product is None:
            names = each.line.product.model_dump(exclude_none=True)
            product = found[each.source, key] = Unmapped(
                each.source,
                each.line.title,
                names,
                proposed(each.source, names, each.line.title),
                iso(each.created_at),
                is_mapped_now=offers is not None and offers.match(each.source, each.line) is not None,
            )
        product.orders.add(each.order_id)
        product.run_ids.append(each.run_id)
    by_need = sorted(found.items(), key=lambda item: -len(item[1].run_ids))
    return [(key, product) for (_, key), product in by_need]


def proposed(source: str, names: dict[str, str], title: str) -> str:
    """The lines to paste into the offers file. It is refused until the operator has set the price, which is 0 here."""
    known = [name for name in _BEST_NAMES if name in names and name in SELECTORS.get(source, ())]
    selector = f"{known[0]} = {json.dumps(names[known[0]], ensure_ascii=False)}" if known else 'product_id = ""'
    about = " ".join(title.split())
    return "\n".join(
        [
            "[[offer]]",
            f"source = {json.dumps(source)}",
            f"{selector}{f'  # {about}' if about else ''}",
            "grants = [{ price_id = 0, group_ids = [] }]  # the LearningCart price, and its groups",
        ]
    )


def _read(book: OffersBook) -> tuple[Offers | None, tuple[str, ...]]:
    try:
        return book.current(), ()
    except OffersError as error:
        return None, error.problems


def _counted(offers: Offers, found: Iterable[Granted]) -> list[dict[str, Any]]:
    """Each offer with the enrolments that it would be planned for today, of those that were planned lately."""
    counts: dict[int, int] = {}
    for each in found:
        rule = offers.match(each.source, each.line)
        if isinstance(rule, Offer):
            counts[id(rule)] = counts.get(id(rule), 0) + each.count
    return [{"offer": offer, "count": counts.get(id(offer), 0)} for offer in offers.offers]
