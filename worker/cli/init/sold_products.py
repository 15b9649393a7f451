"""What the sources have sold, as rules for `offers.toml` that are not in force until somebody takes their `#` off."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from worker.cli.output import note
from worker.errors import ApiError
from worker.formatting import counted
from worker.sources.order import Line, Order
from worker.sources.source import Source
from workflows.monitoring.unmapped_products import product_key, proposed
from workflows.planning.offers import Offers

_MOST_ORDERS: Final = 1000
_MOST_SECONDS: Final = 20.0
"""So many of a source's newest orders are looked at, and for so long."""
_FIRST_DAY: Final = datetime(2000, 1, 1, tzinfo=UTC)
_HEAD: Final = """\
# Cartbridge's offers: which product of which source grants which LearningCart price and groups.
# An order of a product that stands nowhere here waits in review; nothing is dropped. Every key: offers.example.toml
# After each change: cartbridge offers check
"""
_INTRODUCTION: Final = """\
# Sold lately, the most first. Take the # off a rule's lines and set its price and groups; or, for what is no course,
# write [[ignore]] in the place of [[offer]] and leave out the grants.
"""


@dataclass
class Sold:
    """One product of one source, and how often it was sold."""

    source: str
    line: Line
    count: int = 0
    last_at: datetime | None = None

    @property
    def rule(self) -> str:
        """The rule, each line behind a `#`."""
        names = self.line.product.model_dump(exclude_none=True)
        return _commented(proposed(self.source, names, self.line.title))

    @property
    def about(self) -> str:
        """How often it was sold, and when last, as a comment."""
        last = f", last on {self.last_at:%Y-%m-%d}" if self.last_at is not None else ""
        return _commented(f"Sold in {counted(self.count, 'order')}{last}.")


def _commented(text: str) -> str:
    return "\n".join(f"# {line}" for line in text.split("\n"))


def read_sold(sources: Iterable[Source], offers: Offers) -> list[Sold]:
    """The products in the sources' newest orders that no rule names yet, the most sold first.

    A source that fails is left out, with a remark.
    """
    found: dict[tuple[str, str], Sold] = {}
    for source in sources:
        try:
            for order in islice(_orders(source), _MOST_ORDERS):
                lines = [line for line in order.lines if offers.match(source.name, line) is None]
                # Two plans of a product are one rule, and two lines of an order one order.
                for key, line in {product_key(source.name, line.product): line for line in lines}.items():
                    sold = found.setdefault((source.name, key), Sold(source.name, line))
                    sold.count += 1
                    sold.last_at = max(filter(None, (sold.last_at, order.created_at)), default=None)
        except ApiError as error:
            note(f"What {source.name} has sold could not be read to the end: {error}")
    return sorted(found.values(), key=lambda sold: -sold.count)


def _orders(source: Source) -> Iterator[Order]:
    ends_at = time.monotonic() + _MOST_SECONDS
    for page in source.walk_since(_FIRST_DAY):
        yield from page.orders
        if page.problem is not None:
            raise page.problem
        if time.monotonic() > ends_at:
            return


def offers_text(before: str, sold: list[Sold]) -> str:
    """The file with a rule for each product behind what stands in it."""
    rules = "\n\n".join([_INTRODUCTION.rstrip(), *(f"{each.about}\n{each.rule}" for each in sold)]) if sold else ""
    return "\n".join(part for part in (before.rstrip("\n") or _HEAD.rstrip(), "", rules) if part or rules) + "\n"
