from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workflows.shop import (
    JANE,
    JOHN,
    NOW,
    Clock,
    FakeSource,
    a_line,
    a_seat,
    an_order,
    put_run,
    record,
    rows,
    run_of,
)
from worker.clients.learningcart_models import Order as CartOrder
from worker.errors import ApiError, ApiTimeoutError, NotFoundError
from worker.ledger import order_rows
from worker.ledger.models import attempts, events, orders, pauses, runs
from worker.ledger.session import Ledger
from worker.ledger.states import RunState, Via
from worker.sources.order import Order, Payment
from workflows import keys
from workflows.findings import Finding
from workflows.hints import HintReader, SourcePolicy
from workflows.offers import OffersBook
from workflows.reconcile import Reconciled, Reconciler, take_night

SINCE = NOW - timedelta(days=20)
SEAT = "1109/1107/buyer/501"
STEP = "add_comped_order"


@dataclass
class FakeCart:
    """LearningCart's orders, as its client gives them. `broken` and `lookups_broken` make it fail."""

    orders: dict[int, CartOrder] = field(default_factory=dict)
    broken: ApiError | None = None
    lookups_broken: ApiError | None = None
    hidden: set[int] = field(default_factory=set)
    """Left out of lists, and known by id."""
    windows: list[tuple[datetime, datetime]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    def make(
        self,
        order_id: int,
        comments: str | None = None,
        *,
        email: str | None = "jane@example.test",
        product: str = "Course",
        total: float = 0,
        at: datetime = NOW,
    ) -> CartOrder:
        customer = {"Customer ID": 5001, "Email": email or ""} if email is not None else None
        made = CartOrder.model_validate(
            {
                "Order ID": order_id,
                "Order Date": at.isoformat(),
                "Grand Total": total,
                "Customer Comments": comments,
                "Customer": customer,
                "OrderDetails": [{"Product": {"Product Name": product, "Price Name": "Seat"}}, {"Quantity": 1}],
            }
        )
        self.orders[order_id] = made
        return made

    def get_orders_by_date(self, begin_at: datetime | None, end_at: datetime | None = None) -> list[CartOrder]:
        assert begin_at is not None
        assert end_at is not None
        self.windows.append((begin_at, end_at))
        if self.broken is not None:
            raise self.broken
        return [
            each
            for each in self.orders.values()
            if each.order_id not in self.hidden and begin_at <= (each.ordered_at or NOW) <= end_at
        ]

    def get_order_by_id(self, order_id: int) -> CartOrder:
        self.asked.append(order_id)
        if self.lookups_broken is not None:
            raise self.lookups_broken
        if order_id not in self.orders:
            raise NotFoundError("no such order", system="learningcart", operation="getOrderByID", status=404)
        return self.orders[order_id]


@pytest.fixture
def cart() -> FakeCart:
    return FakeCart()


New = Callable[..., Reconciler]


@pytest.fixture
def new(ledger: Ledger, source: FakeSource, book: OffersBook, hints: HintReader, clock: Clock) -> New:
    """Makes reconcilers of the one shop; `learningcart` is to be given."""

    def make(**options: Any) -> Reconciler:
        policies = {"studiocart": SourcePolicy(start_at=SINCE)}
        return Reconciler(ledger, {"studiocart": source}, policies, book, hints=hints, clock=clock, **options)

    return make


@pytest.fixture
def reconciler(new: New, cart: FakeCart) -> Reconciler:
    return new(learningcart=cart)


@pytest.fixture
def find(reconciler: Reconciler, clock: Clock) -> Callable[[], Reconciled]:
    def reconcile() -> Reconciled:
        clock.advance(minutes=1)
        return reconciler.find(SINCE)

    return reconcile


Find = Callable[[], Reconciled]


def told(reconciled: Reconciled) -> list[tuple[str, str]]:
    return [(str(finding.kind), str(finding.cause)) for finding in reconciled.findings]


def only(reconciled: Reconciled) -> Finding:
    (finding,) = reconciled.findings
    return finding


def plan(ledger: Ledger, source: FakeSource, order: Order | None = None) -> str:
    """Sell an order that the ledger holds as it is; the id of its first run."""
    order = order or an_order()
    source.put(order)
    record(ledger, order)
    return str(rows(ledger, runs)[0].id)


def intend(ledger: Ledger, key: str = SEAT, *, result_id: str | None = None, outcome: str | None = "ok") -> str:
    """Leave the trace of a call of the comped order; its reference."""
    run = run_of(ledger, key)
    number = len(rows(ledger, attempts, attempts.c.run_id == run.id)) + 1
    reference = keys.reference(run.key, STEP, run.generation)
    with ledger.write() as connection:
        connection.execute(runs.update().where(runs.c.id == run.id).values(fence=runs.c.fence + 1))
        connection.execute(
            attempts.insert().values(
                run_id=run.id,
                step=STEP,
                number=number,
                kind="call",
                generation=run.generation,
                fence=1,
                holder="gone",
                reference=reference,
                started_at=NOW,
                outcome=outcome,
                result_id=result_id,
            )
        )
    return reference


def succeed(ledger: Ledger, result_id: str | None, key: str = SEAT) -> None:
    put_run(ledger, key, RunState.SUCCEEDED, result_id=result_id, finished_at=NOW)


def provide(ledger: Ledger, source: FakeSource, cart: FakeCart, result_id: int = 90001) -> str:
    """An order whose seat has its comped order; the run's id."""
    run_id = plan(ledger, source)
    reference = intend(ledger, result_id=str(result_id))
    cart.make(result_id, f"{reference} studiocart order 1109")
    succeed(ledger, str(result_id))
    return run_id


# The source's book


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
    assert told(find()) == [("unchecked", "not_checked")]


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
    record(ledger, order, rules=OffersBook(offers_file).current())
    assert find().findings == []
    offers_file.write_text(text)
    found = find()
    assert told(found) == [("missing", "seat_without_run")] * 2
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
    assert told(find()) == [("unchecked", "not_checked")]


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
    assert told(found) == [("missing", "effect_gone"), ("unchecked", "not_checked")]
    assert found.findings[0].run_id == run_id
    assert "studiocart could not be checked to the end" in found.findings[1].sentence


# LearningCart's book


def test_an_effect_is_gone_only_when_learningcart_says_so(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    run_id = provide(ledger, source, cart)
    cart.hidden.add(90001)
    assert find().findings == []
    cart.lookups_broken = ApiTimeoutError("too slow")
    assert only(find()).kind == "unchecked"
    cart.lookups_broken = None
    del cart.orders[90001]
    finding = only(find())
    assert (finding.kind, finding.cause, finding.effect_ids) == ("missing", "effect_gone", ("90001",))
    reason = '"order 90001 was deleted"'
    assert finding.command == f"cartbridge replay {run_id} --from-step {STEP} --again --reason {reason}"


@pytest.mark.parametrize("claimed", ["90077", "0", "A-1", "٣"])
def test_an_effect_was_never_made_when_learningcart_never_told_of_it(
    ledger: Ledger, source: FakeSource, find: Find, claimed: str
) -> None:
    plan(ledger, source)
    succeed(ledger, claimed)
    finding = only(find())
    assert (finding.cause, finding.effect_ids) == ("effect_never_made", (claimed,))


def test_lookups_stop_when_they_fail_one_after_the_other(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    for number in range(1, 7):
        order = an_order(str(number))
        source.put(order)
        record(ledger, order)
        succeed(ledger, str(90000 + number), f"{number}/1107/buyer/501")
    cart.lookups_broken = ApiTimeoutError("too slow")
    found = find()
    assert told(found) == [("unchecked", "not_checked")] * 4
    assert found.findings[-1].sentence.startswith("3 further runs could not be checked")
    assert len(cart.asked) == 3


def test_an_effect_is_unknown_when_no_run_has_its_reference(cart: FakeCart, source: FakeSource, find: Find) -> None:
    lost, nameless = keys.reference("a", STEP, 0), keys.reference("b", STEP, 0)
    cart.make(90001, f"{lost} studiocart order 1109")
    source.put(an_order())
    found = find()
    assert told(found) == [("extra", "unknown_reference"), ("missing", "order_not_ingested")]
    assert (found.findings[0].order_id, found.findings[0].command) == ("1109", "cartbridge why studiocart/1109")
    assert (found.findings[1].is_safe_to_fix, found.findings[1].command) == (False, "cartbridge pause learningcart")
    source.put(an_order("1110"))
    cart.orders.clear()
    cart.make(90002, nameless)
    found = find()
    assert (found.findings[0].order_id, found.findings[0].source) == (None, None)
    assert found.findings[0].command == "cartbridge reconcile --since 2026-02-18T12:00Z"
    assert [finding.is_safe_to_fix for finding in found.findings] == [False, False, False]


def test_an_unknown_effect_is_accounted_for_when_a_run_was_resolved_with_it(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    plan(ledger, source)
    cart.make(90001, keys.reference("lost", STEP, 0))
    succeed(ledger, "90001")
    assert find().findings == []


@pytest.mark.parametrize(
    "case",
    [
        (RunState.REVIEW, "unknown", ["landed_effect"]),
        (RunState.FAILED, "unknown", ["landed_effect"]),
        (RunState.CANCELLED, "retryable", ["landed_effect"]),
        (RunState.WAITING, "retryable", ["landed_effect"]),
        (RunState.WAITING, "unknown", []),  # it asks by itself
        (RunState.PENDING, "unknown", []),
        (RunState.RUNNING, "unknown", []),
    ],
)
def test_a_landed_effect_is_told_when_its_run_does_not_find_it_itself(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find, case: tuple[RunState, str, list[str]]
) -> None:
    state, outcome, expected = case
    plan(ledger, source)
    cart.make(90001, intend(ledger, outcome=outcome))
    put_run(ledger, SEAT, state)
    assert [finding.cause for finding in find().findings] == expected


def test_the_older_is_the_effect_when_two_orders_carry_one_reference(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find, reconciler: Reconciler
) -> None:
    run_id = plan(ledger, source)
    reference = intend(ledger, outcome="unknown")
    put_run(ledger, SEAT, RunState.REVIEW, reason="outcome_unknown")
    for order_id in (90002, 90001):
        cart.make(order_id, f"{reference} studiocart order 1109")
    found = find()
    assert [(each.cause, each.effect_ids) for each in found.findings] == [
        ("landed_effect", ("90001",)),
        ("second_effect", ("90002",)),
    ]
    reconciler.fix(found, actor="operator:ann", reason="phone call")
    assert [each.is_settled for each in found.findings] == [True, False]
    run = run_of(ledger, SEAT)
    assert (run.state, run.result_id) == ("succeeded", "90001")
    (review,) = rows(ledger, runs, runs.c.workflow == "revocation")
    assert (review.reason, review.result_id, review.parent_id) == ("duplicate_effect", "90002", run_id)
    fixed = rows(ledger, events, events.c.kind == "reconcile_fixed")
    assert [(row.actor, row.reason, row.run_id) for row in fixed] == [("operator:ann", "phone call", run_id)] * 2
    again = find()
    assert told(again) == [("duplicate", "duplicate_open")]
    reconciler.fix(again, actor="operator:ann")
    assert len(rows(ledger, runs)) == 2
    put_run(ledger, f"{SEAT}/duplicate/90002", RunState.SUCCEEDED)
    assert find().findings == []


def test_an_effect_of_an_earlier_generation_is_a_second_one_when_it_landed_late(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find, reconciler: Reconciler
) -> None:
    plan(ledger, source)
    cart.make(90001, intend(ledger, outcome="unknown"))
    put_run(ledger, SEAT, RunState.WAITING, generation=1)
    found = find()
    assert told(found) == [("duplicate", "second_effect")]
    reconciler.fix(found, actor="operator:ann")
    assert run_of(ledger, f"{SEAT}/duplicate/90001").state == "review"
    assert run_of(ledger, SEAT).state == "waiting"


def test_a_cancelled_run_keeps_its_effect_when_a_second_is_found(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find, reconciler: Reconciler
) -> None:
    plan(ledger, source)
    cart.make(90001, intend(ledger, outcome="retryable"))
    put_run(ledger, SEAT, RunState.CANCELLED, reason="refunded_by_source", cancelled_by="source", result_id="90000")
    reconciler.fix(find(), actor="operator:ann")
    assert run_of(ledger, SEAT).result_id == "90000"
    assert run_of(ledger, f"{SEAT}/duplicate/90001").state == "review"


def test_a_cancelled_run_asks_for_its_access_back_when_its_effect_landed(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find, reconciler: Reconciler
) -> None:
    plan(ledger, source)
    cart.make(90001, intend(ledger, outcome="retryable"))
    put_run(ledger, SEAT, RunState.CANCELLED, reason="refunded_by_source", cancelled_by="source")
    found = find()
    reconciler.fix(found, actor="operator:ann")
    assert (only(found).is_settled, run_of(ledger, SEAT).result_id) == (False, "90001")
    assert run_of(ledger, f"{SEAT}/revoke").reason == "refunded_after_provisioning"


def test_the_run_is_left_as_it_is_when_it_has_learned_of_the_effect_meanwhile(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find, reconciler: Reconciler
) -> None:
    plan(ledger, source)
    cart.make(90001, intend(ledger, outcome="unknown"))
    put_run(ledger, SEAT, RunState.REVIEW)
    found = find()
    succeed(ledger, "90001")
    reconciler.fix(found, actor="operator:ann")
    assert only(found).is_settled
    assert rows(ledger, events, events.c.kind == "late_answer") == []


def test_a_running_run_is_told_of_the_effect_when_it_was_taken_meanwhile(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find, reconciler: Reconciler
) -> None:
    plan(ledger, source)
    cart.make(90001, intend(ledger, outcome="unknown"))
    put_run(ledger, SEAT, RunState.REVIEW)
    found = find()
    put_run(ledger, SEAT, RunState.RUNNING)
    reconciler.fix(found, actor="operator:ann")
    assert (only(found).is_settled, only(found).done) == (
        True,
        "noted: the run adopts it when it goes on, and sends nothing",
    )
    (event,) = rows(ledger, events, events.c.kind == "late_answer")
    assert (event.detail["result_id"], event.detail["generation"]) == ("90001", 0)


def test_it_is_said_so_when_the_run_of_an_effect_is_gone(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find, reconciler: Reconciler
) -> None:
    plan(ledger, source)
    cart.make(90001, intend(ledger, outcome="unknown"))
    put_run(ledger, SEAT, RunState.REVIEW)
    found = find()
    with ledger.write() as connection:
        connection.execute(attempts.delete())
    reconciler.fix(found, actor="operator:ann")
    assert (only(found).is_settled, only(found).done) == (False, "its run is not in the ledger any more")


def test_a_reference_is_recognised_when_its_request_is_older_than_the_window(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    plan(ledger, source)
    reference = intend(ledger, outcome="unknown")
    put_run(ledger, SEAT, RunState.REVIEW)
    with ledger.write() as connection:
        connection.execute(attempts.update().values(started_at=SINCE - timedelta(days=40)))
    cart.make(90001, reference)
    assert [finding.cause for finding in find().findings] == ["landed_effect"]


def test_a_gift_given_twice_is_a_question_when_one_was_made_by_hand(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    run_id = provide(ledger, source, cart)
    cart.make(90002, "by phone", email="JANE@example.test")
    finding = only(find())
    assert (finding.kind, finding.cause, finding.effect_ids) == ("duplicate", "handmade_twin", ("90001", "90002"))
    assert (finding.run_id, finding.order_id) == (run_id, "1109")
    assert "orders 90001 and 90002 give one customer the same thing, and 90002 was made by hand" in finding.sentence
    assert "jane" not in str(finding.shape()).lower()


@pytest.mark.parametrize(
    "other",
    [{"email": "john@example.test"}, {"product": "Another"}, {"total": 10.0}, {"email": None}, {"product": ""}],
)
def test_nothing_is_asked_when_two_gifts_differ(cart: FakeCart, find: Find, other: dict[str, Any]) -> None:
    cart.make(90001)
    cart.make(90002, **other)
    assert find().findings == []


def test_nothing_is_asked_when_the_ledger_accounts_for_both(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    provide(ledger, source, cart)
    plan(ledger, source, an_order("1110"))
    succeed(ledger, "90002", "1110/1107/buyer/501")
    cart.make(90002)
    assert find().findings == []


def test_a_list_without_customers_is_filled_up_when_the_order_tells_more(
    cart: FakeCart, find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = cart.make(90001, email=None)
    cart.make(90002)
    whole = cart.make(90001, email="jane@example.test")
    monkeypatch.setattr(cart, "get_orders_by_date", lambda *_: [bare, cart.orders[90002]])
    assert only(find()).cause == "handmade_twin"
    assert cart.asked == [whole.order_id] * len(cart.asked)


def test_an_unnamed_email_is_no_match_when_the_customers_are_known_by_id(cart: FakeCart, find: Find) -> None:
    cart.make(90001, email="")
    cart.make(90002, email="")
    cart.make(90003, email="")
    finding = only(find())
    assert "90001, 90002 and 90003 were made by hand" in finding.sentence
    assert finding.command.startswith("cartbridge reconcile --since ")


# What LearningCart does not tell


def test_nothing_is_said_to_be_missing_when_learningcart_fails_or_is_paused(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    provide(ledger, source, cart)
    cart.orders.clear()
    source.put(an_order("1110"))
    cart.broken = ApiTimeoutError("too slow")
    found = find()
    assert told(found) == [("unchecked", "not_checked"), ("missing", "order_not_ingested")]
    assert "ApiTimeoutError: too slow" in found.findings[0].sentence
    assert not found.findings[1].is_safe_to_fix
    cart.broken = None
    with ledger.write() as connection:
        connection.execute(
            pauses.insert().values(system="learningcart", kind="operator", reason="", actor="operator:a", since=NOW)
        )
    asked = len(cart.windows)
    assert "LearningCart is paused" in find().findings[0].sentence
    assert len(cart.windows) == asked


def test_the_sources_are_compared_when_learningcart_is_off(source: FakeSource, new: New, clock: Clock) -> None:
    source.put(an_order())
    clock.advance(minutes=1)
    found = new(learningcart=None).find(SINCE)
    assert told(found) == [("unchecked", "not_checked"), ("missing", "order_not_ingested")]
    assert not found.findings[1].is_safe_to_fix


def test_it_ends_early_and_says_so_when_the_process_stops(
    ledger: Ledger, source: FakeSource, cart: FakeCart, new: New
) -> None:
    provide(ledger, source, cart)
    stopping = new(learningcart=cart, should_stop=lambda: True)
    assert told(stopping.find(SINCE)) == [("unchecked", "not_checked")] * 2
    assert cart.windows == []


# Open questions


def test_open_questions_stay_findings_when_nobody_has_settled_them(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    provide(ledger, source, cart)
    refunded = an_order(payment=Payment.REFUNDED)
    source.put(refunded)
    record(ledger, refunded, now=NOW + timedelta(seconds=1))
    finding = only(find())
    revocation = run_of(ledger, f"{SEAT}/revoke")
    assert (finding.kind, finding.cause, finding.run_id) == ("stale", "revocation_open", revocation.id)
    assert finding.command == f'cartbridge runs resolve {revocation.id} --note "TEXT"'
    assert finding.sentence.startswith("studiocart/1109: The order was refunded after access was given")
    put_run(ledger, f"{SEAT}/revoke", RunState.SUCCEEDED)
    assert find().findings == []


# Settling


def test_an_order_is_taken_in_by_the_normal_rules_when_it_is_settled(
    ledger: Ledger, source: FakeSource, find: Find, reconciler: Reconciler
) -> None:
    old = NOW - timedelta(days=5)
    source.put(an_order(), an_order("1110", created_at=old), an_order("1111", payment=Payment.WAITING))
    found = find()
    reconciler.fix(found, actor="operator:ann")
    assert found.remaining == []
    assert [finding.done for finding in sorted(found.findings, key=lambda each: str(each.order_id))] == [
        "ingested: planned, 1 new runs, 1 of them due now",
        "ingested: planned, 1 new runs, 0 of them due now",  # older than the start: review
        "ingested: waiting (awaiting_payment), 0 new runs, 0 of them due now",
    ]
    assert found.ready == [run_of(ledger, SEAT).id]
    assert run_of(ledger, "1110/1107/buyer/501").reason == "older_than_start"
    reconciler.fix(found, actor="operator:ann")
    assert len(rows(ledger, events, events.c.kind == "reconcile_fixed")) == 3


def test_an_order_stays_a_finding_when_it_cannot_be_read(
    ledger: Ledger, source: FakeSource, find: Find, reconciler: Reconciler
) -> None:
    source.put(an_order())
    found = find()
    source.broken = ApiTimeoutError("too slow")
    reconciler.fix(found, actor="operator:ann")
    assert (only(found).is_settled, "too slow" in str(only(found).done)) == (False, True)
    source.broken = None
    assert find().findings == []  # its delivery waits, and is tried again


def test_an_order_is_left_to_the_other_when_another_process_reads_it(
    ledger: Ledger, source: FakeSource, find: Find, reconciler: Reconciler
) -> None:
    source.put(an_order())
    found = find()
    with ledger.write() as connection:
        order_rows.insert_delivery(
            connection, source="studiocart", order_id="1109", via=Via.WEBHOOK, actor="source", now=NOW
        )
        taken = order_rows.take_deliveries(connection, "studiocart", "1109", holder="other", now=NOW, lease_seconds=600)
    assert len(taken) == 1
    reconciler.fix(found, actor="operator:ann")
    assert (only(found).is_settled, only(found).done) == (True, "is being read by another process")
    assert rows(ledger, orders) == []


def test_findings_are_kept_once_a_week_when_they_stay(
    ledger: Ledger, source: FakeSource, find: Find, reconciler: Reconciler, clock: Clock
) -> None:
    plan(ledger, source)
    succeed(ledger, "90077")
    for _ in range(3):
        reconciler.keep(find(), actor="operator:ann", reason="look")
        clock.advance(days=3)
    kept = rows(ledger, events, events.c.kind == "reconcile_finding")
    assert len(kept) == 1
    assert (kept[0].actor, kept[0].run_id) == ("operator:ann", run_of(ledger, SEAT).id)
    assert kept[0].detail["mark"] == f"effect_never_made/studiocart/1109/{kept[0].run_id}/90077"
    looked = rows(ledger, events, events.c.kind == "reconciled")
    assert [(row.reason, row.detail["remaining"]) for row in looked] == [("look", 1)] * 3
    reconciler.keep(find(), actor="operator:ann")
    assert len(rows(ledger, events, events.c.kind == "reconcile_finding")) == 2


# The night


def test_a_night_is_somebodys_once_when_many_ask(ledger: Ledger) -> None:
    noon = datetime(2026, 3, 10, 12, tzinfo=UTC)
    moments = [
        (noon, False),  # the first day
        (noon + timedelta(hours=13), False),  # 01:00
        (noon + timedelta(hours=14), True),  # 02:00
        (noon + timedelta(hours=14), False),
        (noon + timedelta(hours=20), False),
        (noon + timedelta(days=3), True),  # slept through
        (noon + timedelta(days=3, hours=1), False),
    ]
    assert [take_night(ledger, now=now, holder="one") for now, _ in moments] == [taken for _, taken in moments]


def test_learners_are_told_apart_when_two_bought_the_same(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    for number, learner in (("1", JANE), ("2", JOHN)):
        plan(ledger, source, an_order(number, learner=learner))
        cart.make(90000 + int(number), email=learner.email)
        succeed(ledger, str(90000 + int(number)), f"{number}/1107/buyer/501")
    assert find().findings == []
