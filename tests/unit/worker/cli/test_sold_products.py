from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import cast

from tests.unit.workflows.fakes.storefront import an_order
from worker.cli.init.sold_products import read_sold
from worker.sources.order import Line, Product
from worker.sources.source import Page, Source
from workflows.planning.offers import Offers


class Shop:
    name = "studiocart"

    def walk_since(self, _start: datetime) -> Iterator[Page]:
        def line(line_id: str, plan: str | None) -> Line:
            return Line(id=line_id, title="First aid", product=Product(product_id="1107", plan_id=plan))

        sold = (an_order("1", lines=[line("1", None), line("2", None)]), an_order("2", lines=[line("1", "yearly")]))
        yield Page(sold, datetime.now(UTC))


def test_a_product_is_one_rule_when_it_is_sold_by_several_plans_and_lines() -> None:
    (sold,) = read_sold([cast("Source", Shop())], Offers())
    assert sold.about == "# Sold in 2 orders, last on 2026-03-10."
    assert sold.rule.count("1107") == 1
