"""`worker.sources.studiocart`: an order's items as lines, and their quantities as seats."""

from __future__ import annotations

import pytest

from tests.unit.worker.sources.studiocart_records import item, read, seats
from worker.sources.order import LARGEST_QUANTITY


def test_quantity_is_the_buyer_and_nameless_seats() -> None:
    order = read(items=[item("SC Product 1 x 3", 3)])
    assert seats(order) == {"SC Product 1": [("buyer", None), ("seat-2", "unnamed_seat"), ("seat-3", "unnamed_seat")]}
    assert [seat.learner is None for seat in order.lines[0].seats] == [False, True, True]


@pytest.mark.parametrize(
    ("quantity", "name", "count"),
    [
        (2, "SC Product 1 x 1", 2),
        ("2", "SC Product 1 x 1", 2),
        (2.0, "SC Product 1 x 1", 2),
        (None, "SC Product 1 x 2", 2),
        (None, "SC Product 1", 1),
        ([], "SC Product 1", 1),
        (LARGEST_QUANTITY, "SC Product 1", LARGEST_QUANTITY),
    ],
)
def test_quantity_is_the_items_own_else_the_one_in_its_name(quantity: object, name: str, count: int) -> None:
    (line,) = read(items=[item(name, quantity)]).lines
    assert len(line.seats) == count


@pytest.mark.parametrize("quantity", [0, -1, LARGEST_QUANTITY + 1, 2**63 - 1, 1.5, "2.5", "0.3", "two", "1,000", [2]])
def test_line_is_one_seat_in_review_when_its_quantity_cannot_be_meant(quantity: object) -> None:
    assert seats(read(items=[item("SC Product 1", quantity)])) == {"SC Product 1": [("buyer", "invalid_quantity")]}


def test_order_can_be_read_when_the_number_in_a_name_is_longer_than_python_reads() -> None:
    (line,) = read(items=[item("SC Product 1 x " + "9" * 5000)]).lines
    assert len(line.seats) == 1


def test_bumps_are_lines_of_their_own_named_without_their_quantity() -> None:
    order = read(items=[item("SC Product 1 x 1", 1), item("Fire Safety Refresher x 2", 2), item("Book", 1)])
    assert seats(order) == {
        "SC Product 1": [("buyer", None)],
        "Fire Safety Refresher": [("buyer", None), ("seat-2", "unnamed_seat")],
        "Book": [("buyer", None)],
    }
    assert [line.product.product_id for line in order.lines] == ["1107", None, None]
    assert [line.product.product_name for line in order.lines] == ["SC Product 1", "Fire Safety Refresher", "Book"]
    assert order.lines[1].product.plan_id is None


def test_number_in_a_name_stays_when_it_is_not_the_quantity() -> None:
    order = read(items=[item("SC Product 1 x 1", 1), item("Formula x 2", 1), item("Formula x 3", 3)])
    assert [line.title for line in order.lines] == ["SC Product 1", "Formula x 2", "Formula"]


@pytest.mark.parametrize("position", range(3))
def test_main_item_is_known_by_its_name_wherever_it_stands(position: int) -> None:
    items = [item("A bump", 1), item("B bump", 1)]
    items.insert(position, item("sc  PRODUCT 1 x 2", 2))
    order = read(items=items)
    assert (order.lines[0].id, len(order.lines[0].seats)) == ("1107", 2)
    assert [line.title for line in order.lines[1:]] == ["A bump", "B bump"]


def test_first_item_is_the_main_one_when_none_bears_the_products_name() -> None:
    order = read(items=[item("SC Product 1 (monthly) x 2", 2), item("Book", 1)])
    assert seats(order) == {"SC Product 1": [("buyer", None), ("seat-2", "unnamed_seat")], "Book": [("buyer", None)]}


@pytest.mark.parametrize("second", ["Book x 2", "BOOK", "  book "])
def test_bump_that_stands_there_twice_is_one_line(second: str) -> None:
    order = read(items=[item("SC Product 1", 1), item("Book x 1", 1), item(second, 2)])
    assert [seat.id for seat in order.lines[1].seats] == ["buyer", "seat-2", "seat-3"]
    assert len(order.lines) == 2


@pytest.mark.parametrize("product_id", ["1107", None])
def test_main_item_that_stands_there_twice_is_one_line(product_id: str | None) -> None:
    order = read(product_id=product_id, items=[item("SC Product 1 x 1", 1), item("SC Product 1 x 1", 1)])
    assert seats(order) == {"SC Product 1": [("buyer", None), ("seat-2", "unnamed_seat")]}


def test_bump_of_which_none_was_bought_has_no_seat() -> None:
    assert seats(read(items=[item("SC Product 1", 1), item("Book", 0)]))["Book"] == []


@pytest.mark.parametrize("names", [("Bump A", "Bump B"), ("日本語", "中文"), ("", "Bump")])
def test_line_ids_are_stable_and_distinct_and_survive_a_reordering(names: tuple[str, str]) -> None:
    main = item("SC Product 1", 1)
    one = read(items=[main, *(item(name, 1) for name in names)])
    other = read(items=[*(item(name, 1) for name in names[::-1]), main])
    assert len({line.id for line in one.lines}) == 3
    assert {line.id for line in one.lines} == {line.id for line in other.lines}
    assert all("/" not in line.id and "@" not in line.id for line in one.lines)


@pytest.mark.parametrize("items", [None, "", 5, {"a": 1}])
def test_lines_are_not_known_when_the_items_were_not_sent(items: object) -> None:
    order = read(items=items)
    assert (order.lines_known, seats(order)) == (False, {"SC Product 1": [("buyer", None)]})


def test_main_line_is_there_when_the_list_of_items_is_empty() -> None:
    order = read(items=[])
    assert (order.lines_known, seats(order)) == (True, {"SC Product 1": [("buyer", None)]})


def test_items_are_read_when_php_wrote_them_as_an_object() -> None:
    order = read(items={"0": item("SC Product 1", 1), "2": item("Book", 1)})
    assert list(seats(order)) == ["SC Product 1", "Book"]


def test_product_is_known_by_name_when_it_has_no_id() -> None:
    (line,) = read(product_id=None).lines
    assert (line.product.product_id, line.product.product_name) == (None, "SC Product 1")
    assert line.id == read(product_id="").lines[0].id != ""
