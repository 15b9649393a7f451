"""Products that no offer and no ignore matches: what waits for each, and the lines to paste into the offers file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from worker.ledger.views.page.offers import Waiting
from worker.sources.order import Product
from worker.text.control_characters import CONTROL_CHARACTERS
from workflows.planning.offers import SELECTORS, Offers

_BEST_NAMES = ("course_id", "sku", "product_id", "product_name", "plan_id")
"""By which name of a product an offer is proposed, the best one first."""


@dataclass
class Unmapped:
    """A product that no offer and no ignore matches, and what waits for one."""

    source: str
    title: str
    names: dict[str, str]
    snippet: str
    ignore_snippet: str
    oldest_at: datetime
    orders: set[str]
    run_ids: list[str]
    is_mapped_now: bool
    """A rule matches it by now: what waits for it only has to be looked at again."""


def product_key(source: str, product: Product) -> str:
    """A product as one text: the name that its offer is proposed by, so that its plans are one; else all names."""
    names = product.model_dump(exclude_none=True)
    best = _best_name(source, names)
    return json.dumps(names if best is None else {best: names[best]}, sort_keys=True, ensure_ascii=False)


def _best_name(source: str, names: dict[str, str]) -> str | None:
    return next((name for name in _BEST_NAMES if name in names and name in SELECTORS.get(source, ())), None)


def unmapped_products(waiting: Iterable[Waiting], offers: Offers | None) -> list[tuple[str, Unmapped]]:
    """What waits for an offer, by product, with its key; the product most runs wait for comes first."""
    found: dict[tuple[str, str], Unmapped] = {}
    for each in waiting:
        key = product_key(each.source, each.line.product)
        product = found.get((each.source, key))
        names = each.line.product.model_dump(exclude_none=True)
        is_mapped = offers is not None and offers.match(each.source, each.line) is not None
        if product is None:
            product = found[each.source, key] = Unmapped(
                each.source,
                each.line.title,
                names,
                proposed(each.source, names, each.line.title),
                proposed_ignore(each.source, names, each.line.title),
                each.created_at,
                orders=set(),
                run_ids=[],
                is_mapped_now=is_mapped,
            )
        product.names = {name: value for name, value in product.names.items() if names.get(name) == value}
        product.is_mapped_now = product.is_mapped_now and is_mapped
        product.orders.add(each.order_id)
        product.run_ids.append(each.run_id)
    by_need = sorted(found.items(), key=lambda item: -len(item[1].run_ids))
    return [(key, product) for (_, key), product in by_need]


def proposed(source: str, names: dict[str, str], title: str) -> str:
    """The lines to paste into the offers file. It is refused until the operator has set the price, which is 0 here."""
    grants = "grants = [{ price_id = 0, group_ids = [] }]  # the LearningCart price, and its groups"
    return "\n".join(["[[offer]]", *_product_lines(source, names, title), grants])


def proposed_ignore(source: str, names: dict[str, str], title: str) -> str:
    """The lines for a product that is no course."""
    return "\n".join(["[[ignore]]", *_product_lines(source, names, title)])


def _product_lines(source: str, names: dict[str, str], title: str) -> list[str]:
    best = _best_name(source, names)
    selector = 'product_id = ""' if best is None else f"{best} = {json.dumps(names[best], ensure_ascii=False)}"
    about = " ".join(title.split()).translate(CONTROL_CHARACTERS)
    return [f"source = {json.dumps(source)}", f"{selector}{f'  # {about}' if about else ''}"]
