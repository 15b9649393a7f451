"""The tasks that take orders in."""

from __future__ import annotations

from tasks.control import sweep
from tasks.runtime import Runtime
from tests.unit.workflows.fakes.storefront import Clock, FakeSource, an_order, rows
from worker.errors import ApiError
from worker.ledger.orders import order_rows
from worker.ledger.states import Via
from worker.ledger.tables.runs import cursors, deliveries, runs

Published = list[tuple[str, tuple[str, ...]]]


def hint(runtime: Runtime, clock: Clock) -> None:
    with runtime.ledger.write() as connection:
        order_rows.insert_delivery(
            connection, source="studiocart", order_id="1109", via=Via.WEBHOOK, actor="source", now=clock()
        )


def look(runtime: Runtime) -> None:
    runtime.app.tasks["cartbridge.ingest"].apply(args=("studiocart", "1109"), throw=True)


def poll(runtime: Runtime, source: str = "studiocart") -> None:
    runtime.app.tasks["cartbridge.poll"].apply(args=(source,), throw=True)


def test_run_is_sent_when_a_due_hint_names_a_paid_order(
    runtime: Runtime, source: FakeSource, clock: Clock, published: Published
) -> None:
    source.put(an_order())
    hint(runtime, clock)
    look(runtime)
    (run,) = rows(runtime.ledger, runs)
    assert published == [("cartbridge.enrolment.add_customer", (run.id,))]
    assert [row.state for row in rows(runtime.ledger, deliveries)] == ["planned"]


def test_nothing_is_fetched_when_no_hint_is_due(runtime: Runtime, source: FakeSource, published: Published) -> None:
    source.put(an_order())
    look(runtime)
    assert source.asked == []
    assert published == []


def test_storm_of_hints_is_one_fetch_when_they_are_for_one_order(
    runtime: Runtime, source: FakeSource, clock: Clock
) -> None:
    source.put(an_order())
    for _ in range(20):
        hint(runtime, clock)
    for _ in range(20):
        look(runtime)
    assert source.count("fetch") == 1
    assert len(rows(runtime.ledger, runs)) == 1
    assert len(rows(runtime.ledger, deliveries)) == 20


def test_runs_are_sent_when_a_poll_finds_orders(runtime: Runtime, source: FakeSource, published: Published) -> None:
    source.put(an_order())
    poll(runtime)
    (run,) = rows(runtime.ledger, runs)
    assert published == [("cartbridge.enrolment.add_customer", (run.id,))]


def test_source_is_left_alone_when_polls_are_doubled(runtime: Runtime, source: FakeSource, clock: Clock) -> None:
    source.put(an_order())
    poll(runtime)
    asked = len(source.asked)
    poll(runtime)
    assert len(source.asked) == asked
    clock.advance(seconds=300)
    poll(runtime)
    assert len(source.asked) > asked


def test_nothing_is_polled_when_the_source_is_not_configured(runtime: Runtime, published: Published) -> None:
    poll(runtime, "frontcore")
    assert rows(runtime.ledger, cursors) == []
    assert published == []


def ask_for_poll(runtime: Runtime, clock: Clock) -> None:
    """As a webhook does whose body names no order."""
    with runtime.ledger.write() as connection:
        order_rows.insert_delivery(
            connection, source="studiocart", order_id=None, via=Via.WEBHOOK, actor="source", now=clock(), sent=True
        )


def asking(runtime: Runtime) -> list[tuple[str, str | None]]:
    return [(row.state, row.reason) for row in rows(runtime.ledger, deliveries) if row.order_id is None]


def test_source_is_polled_out_of_turn_when_a_webhook_named_no_order(
    runtime: Runtime, source: FakeSource, clock: Clock, published: Published
) -> None:
    poll(runtime)
    source.put(an_order())
    clock.advance(seconds=1)
    ask_for_poll(runtime, clock)
    ask_for_poll(runtime, clock)
    poll(runtime)
    (run,) = rows(runtime.ledger, runs)
    assert published == [("cartbridge.enrolment.add_customer", (run.id,))]
    assert asking(runtime) == [("ignored", "polled")] * 2
    asked = len(source.asked)
    poll(runtime)
    assert len(source.asked) == asked


def test_poll_is_sent_again_when_its_message_was_lost(
    runtime: Runtime, source: FakeSource, clock: Clock, published: Published
) -> None:
    poll(runtime)
    clock.advance(seconds=1)
    ask_for_poll(runtime, clock)
    sweep(runtime)
    assert published == []
    clock.advance(seconds=11)
    sweep(runtime)
    assert published == [("cartbridge.poll", ("studiocart",))]


def test_webhook_waits_ever_longer_when_its_poll_fails_and_any_poll_that_succeeds_answers_it(
    runtime: Runtime, source: FakeSource, clock: Clock, published: Published
) -> None:
    poll(runtime)
    clock.advance(seconds=1)
    ask_for_poll(runtime, clock)
    source.put(an_order())
    source.broken = ApiError("the site is down", system="studiocart", operation="list", status=500, retryable=True)
    poll(runtime)
    assert asking(runtime) == [("waiting", None)]
    clock.advance(seconds=59)
    sweep(runtime)
    assert published == []
    clock.advance(seconds=1)
    sweep(runtime)
    assert published == [("cartbridge.poll", ("studiocart",))]
    poll(runtime)
    assert [row.attempts for row in rows(runtime.ledger, deliveries)] == [2]
    source.broken = None
    clock.advance(seconds=300)
    poll(runtime)
    assert asking(runtime) == [("ignored", "polled")]


def test_source_is_polled_once_more_when_a_webhook_comes_while_it_is_polled(
    runtime: Runtime, source: FakeSource, clock: Clock, published: Published
) -> None:
    poll(runtime)
    clock.advance(seconds=1)
    ask_for_poll(runtime, clock)

    def meanwhile(_number: int) -> None:
        source.during_walk = lambda _number: None
        clock.advance(seconds=1)
        ask_for_poll(runtime, clock)

    source.put(an_order())
    source.during_walk = meanwhile
    poll(runtime)
    assert sorted(asking(runtime), key=str) == [("ignored", "polled"), ("received", None)]
    assert ("cartbridge.poll", ("studiocart",)) in published
    poll(runtime)
    assert asking(runtime) == [("ignored", "polled")] * 2
