from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.unit.workflows.fakes.reconciled_world import (
    SEAT,
    SINCE,
    FakeCart,
    Find,
    NewReconciler,
    only,
    plan,
    provide,
    sentences,
    succeed,
)
from tests.unit.workflows.fakes.storefront import (
    NOW,
    Clock,
    FakeSource,
    an_order,
    put_run,
    record,
    rows,
    run_of,
)
from worker.errors import ApiTimeoutError
from worker.ledger.orders import order_rows
from worker.ledger.pauses import BY_OPERATOR, pause
from worker.ledger.session import Ledger
from worker.ledger.states import RunState, Via
from worker.ledger.tables.runs import events, orders, pauses
from worker.sources.order import Payment
from workflows.reconcile.reconciler import Reconciler, take_night


def test_nothing_is_said_to_be_missing_when_learningcart_fails_or_is_paused(
    ledger: Ledger, source: FakeSource, cart: FakeCart, find: Find
) -> None:
    provide(ledger, source, cart)
    cart.orders.clear()
    source.put(an_order("1110"))
    cart.broken = ApiTimeoutError("too slow")
    found = find()
    assert sentences(found) == [("unchecked", "not_checked"), ("missing", "order_not_ingested")]
    assert "ApiTimeoutError: too slow" in found.findings[0].sentence
    assert not found.findings[1].is_safe_to_fix
    cart.broken = None
    with ledger.write() as connection:
        connection.execute(
            pauses.insert().values(system="learningcart", kind="authentication", reason="", actor="engine", since=NOW)
        )
    asked = len(cart.windows)
    assert "LearningCart refuses our credentials" in find().findings[0].sentence
    assert len(cart.windows) == asked


def test_the_sources_are_compared_when_learningcart_is_off(
    source: FakeSource, new_reconciler: NewReconciler, clock: Clock
) -> None:
    source.put(an_order())
    clock.advance(minutes=1)
    found = new_reconciler(learningcart=None).find(SINCE)
    assert sentences(found) == [("unchecked", "not_checked"), ("missing", "order_not_ingested")]
    assert not found.findings[1].is_safe_to_fix


def test_it_ends_early_and_says_so_when_the_process_stops(
    ledger: Ledger, source: FakeSource, cart: FakeCart, new_reconciler: NewReconciler
) -> None:
    provide(ledger, source, cart)
    stopping = new_reconciler(learningcart=cart, should_stop=lambda: True)
    assert sentences(stopping.find(SINCE)) == [("unchecked", "not_checked")] * 2
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
        "ingested: planned, 1 new run, 1 of them due now",
        "ingested: planned, 1 new run, 0 of them due now",  # older than the start: review
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
    stored = rows(ledger, events, events.c.kind == "reconcile_finding")
    assert len(stored) == 1
    assert (stored[0].actor, stored[0].run_id) == ("operator:ann", run_of(ledger, SEAT).id)
    assert stored[0].detail["mark"] == f"effect_never_made/studiocart/1109/{stored[0].run_id}/90077"
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


def test_an_order_is_not_called_settled_when_its_source_is_paused(
    ledger: Ledger, source: FakeSource, reconciler: Reconciler, find: Find
) -> None:
    """It was told as being read by another process, and settled."""
    source.put(an_order())
    with ledger.write() as connection:
        pause(connection, "studiocart", kind=BY_OPERATOR, reason=None, actor="operator:ann", now=NOW)
    found = find()
    reconciler.fix(found, actor="operator:ann")
    [finding] = found.remaining
    assert "studiocart is paused" in str(finding.done)
    assert rows(ledger, orders) == []
