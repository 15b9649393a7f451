from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.unit.workflows.fakes.reconciled_world import (
    SINCE,
    FakeCart,
    Find,
    only,
    plan,
    provide,
    sentences,
)
from tests.unit.workflows.fakes.storefront import (
    NOW,
    FakeSource,
    a_line,
    a_seat,
    an_order,
    record,
    rows,
)
from worker.errors import ApiTimeoutError
from worker.ledger.orders import order_rows
from worker.ledger.session import Ledger
from worker.ledger.states import Via
from worker.ledger.tables.runs import runs
from worker.sources.order import Payment
from workflows.planning.offers_file import OffersFile


def test_the_books_agree_when_all_is_as_it_should_be(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    provide(ledger, source, cart)
    source.put(an_order("1110", payment=Payment.WAITING))
    record(ledger, an_order("1110", payment=Payment.WAITING))
    cart.make(90002, "by phone", email="john@example.test")
    assert find().findings == []
    assert cart.asked == []
    assert cart.windows[0][0] == SINCE - timedelta(days=1)
    assert cart.windows[-1][1] == NOW + timedelta(days=1, minutes=1)
    assert [end for _, end in cart.windows[:-1]] == [begin for begin, _ in cart.windows[1:]]


def test_only_orders_since_the_start_are_missed_when_older_ones_were_never_taken_in(
    source: FakeSource, find: Find
) -> None:
    source.put(
        an_order("1", created_at=SINCE - timedelta(hours=1)), an_order("2", created_at=None), an_order("3", status="")
    )
    finding = only(find())
    assert (finding.order_id, finding.is_safe_to_fix) == ("3", True)
    assert finding.sentence == "Order studiocart/3 (paid) was never ingested."


def test_an_order_is_not_missed_when_news_of_it_waits(ledger: Ledger, source: FakeSource, find: Find) -> None:
    source.put(an_order())
    with ledger.write() as connection:
        order_rows.insert_delivery(
            connection, source="studiocart", order_id="1109", via=Via.WEBHOOK, actor="source", now=NOW
        )
    assert find().findings == []


def test_an_order_is_told_once_when_pages_shift(source: FakeSource, find: Find) -> None:
    source.put(an_order())
    walk = source.walk_since
    source.walk_since = lambda since: iter([*walk(since), *walk(since)])  # type: ignore[method-assign]
    assert len(find().findings) == 1


def test_only_a_confirmed_change_is_told_when_the_list_shows_another_content(
    ledger: Ledger, source: FakeSource, find: Find
) -> None:
    plan(ledger, source)
    listed = an_order(status="as lists say")
    walk = source.walk_since
    shown = lambda since: (type(page)((listed,), page.fetched_at) for page in walk(since))  # noqa: E731
    source.walk_since = shown  # type: ignore[method-assign]
    assert find().findings == []
    assert source.count("fetch 1109") == 1
    source.put(an_order(quantity=2))
    finding = only(find())
    assert (finding.cause, finding.command) == ("order_outdated", "cartbridge ingest studiocart 1109")
    assert finding.sentence.endswith("its content has changed.")
    source.during_fetch = lambda _: (_ for _ in ()).throw(ApiTimeoutError("too slow"))
    assert sentences(find()) == [("unchecked", "not_checked")]


def test_nothing_is_told_when_the_ledger_is_newer_than_the_page(ledger: Ledger, source: FakeSource, find: Find) -> None:
    source.put(an_order())
    record(ledger, an_order(status="paid since"), fetched_at=NOW + timedelta(hours=1))
    assert find().findings == []


def test_a_seat_is_missed_when_an_offer_would_give_it_a_run(
    ledger: Ledger, source: FakeSource, find: Find, offers_file: Path
) -> None:
    text = offers_file.read_text()
    ignoring = '[[ignore]]\nsource = "studiocart"\nproduct_id = "1107"\n'
    offers_file.write_text(ignoring)
    order = an_order(lines=[a_line(seats=[a_seat(1), a_seat(2)])])
    source.put(order)
    record(ledger, order, rules=OffersFile(offers_file).current())
    assert find().findings == []
    offers_file.write_text(text)
    found = find()
    assert sentences(found) == [("missing", "seat_without_run")] * 2
    assert "Seat buyer on line 1107 of the paid order studiocart/1109 has no run" in found.findings[0].sentence


def test_no_seat_is_missed_when_it_was_taken_as_handled_or_the_offers_are_broken(
    ledger: Ledger, source: FakeSource, find: Find, offers_file: Path
) -> None:
    order = an_order()
    source.put(order)
    record(ledger, order, baseline=True, start_at=NOW)
    assert rows(ledger, runs) == []
    assert find().findings == []
    offers_file.write_text("[[offer]")
    finding = only(find())
    assert (finding.kind, finding.command) == ("unchecked", "cartbridge offers check")


def test_access_is_stale_when_its_order_is_gone_at_the_source(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    provide(ledger, source, cart)
    source._changed.clear()
    finding = only(find())
    assert (finding.kind, finding.cause) == ("stale", "order_gone")
    assert finding.command == "cartbridge why studiocart/1109"
    source.during_fetch = lambda _: (_ for _ in ()).throw(ApiTimeoutError("too slow"))
    assert sentences(find()) == [("unchecked", "not_checked")]


def test_access_is_not_stale_when_its_order_is_only_missing_in_the_list(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    provide(ledger, source, cart)
    source.walk_since = lambda since: iter(())  # type: ignore[method-assign]
    assert find().findings == []


def test_the_rest_is_compared_when_a_source_fails(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    run_id = provide(ledger, source, cart)
    del cart.orders[90001]
    source.broken = ApiTimeoutError("too slow")
    found = find()
    assert sentences(found) == [("missing", "effect_gone"), ("unchecked", "not_checked")]
    assert found.findings[0].run_id == run_id
    assert "studiocart could not be checked to the end" in found.findings[1].sentence
