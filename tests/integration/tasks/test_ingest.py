"""The tasks that take orders in."""

from __future__ import annotations

from tasks.runtime import Runtime
from tests.unit.workflows.shop import Clock, FakeSource, an_order, rows
from worker.ledger import order_rows
from worker.ledger.models import cursors, deliveries, runs
from worker.ledger.states import Via

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
