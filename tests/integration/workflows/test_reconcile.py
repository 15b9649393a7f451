"""The three books against the real sandbox: everything that was made to differ is found, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tasks.reconcile import reconcile, reconciler_of
from tests.faults.harness.product import Rig, let_outcome_be_asked
from tests.faults.harness.waiting import wait_until
from worker.ledger.session import Ledger
from worker.ledger.states import Actor
from worker.ledger.tables.runs import attempts, deliveries, runs, steps
from worker.ledger.views.history import why
from worker.sandbox import Fault, Sandbox
from workflows.reconcile.findings import Cause, Finding
from workflows.reconcile.reconciler import Reconciled

pytestmark = pytest.mark.integration

LATE_SECONDS = 3.0
"""Real time between the cut connection and the late effect; the settle time is over before that, by the hand clock."""


@pytest.fixture
def rig(database_url: str, tmp_path: Path) -> Iterator[Rig]:
    """One attempt is all a call gets: an effect that lands late finds its run given up."""
    ledger = Ledger(database_url)
    ledger.migrate()
    ledger.close()
    with Sandbox.start() as sandbox:
        rig = Rig(sandbox, database_url, tmp_path, CARTBRIDGE_RETRY__MAX_ATTEMPTS="1")
        yield rig
        rig.close()


def find(rig: Rig, *, days: float = 2) -> Reconciled:
    rig.clock.move(5)
    return reconciler_of(rig.runtime).find(rig.clock() - timedelta(days=days))


def causes(reconciled: Reconciled) -> list[Cause]:
    return [finding.cause for finding in reconciled.findings]


def only(reconciled: Reconciled) -> Finding:
    (finding,) = reconciled.findings
    return finding


def fix(rig: Rig, reconciled: Reconciled) -> Reconciled:
    reconciler_of(rig.runtime).fix(reconciled, actor="operator:test")
    return reconciled


def provision(rig: Rig, order_id: int = 7001, **order: str) -> str:
    run_id = rig.enrol(order_id, **order)
    rig.work(run_id)
    assert rig.state(run_id) == ("succeeded", None)
    return run_id


def test_the_books_agree_when_everything_is_done(rig: Rig) -> None:
    provision(rig)
    rig.sell(7002, email="john@example.test", status="pending-payment")
    rig.ingest(7002)
    assert find(rig).findings == []


def test_an_order_is_found_and_taken_in_when_it_was_never_ingested(rig: Rig) -> None:
    rig.sell(7001)
    found = find(rig)
    finding = only(found)
    assert (finding.kind, finding.cause) == ("missing", "order_not_ingested")
    assert finding.command == "cartbridge ingest studiocart 7001"
    fix(rig, found)
    assert found.remaining == []
    (run,) = rig.rows("runs")
    assert found.ready == [run["id"]]
    with rig.ledger.read() as connection:
        (delivery,) = connection.execute(deliveries.select()).all()
    assert (delivery.via, delivery.actor, delivery.state) == ("reconcile", "operator:test", "planned")
    assert find(rig).findings == []


def test_an_outdated_order_is_found_when_it_was_refunded_unnoticed(rig: Rig) -> None:
    provision(rig)
    rig.clock.move(60)
    rig.sell(7001, status="refunded")
    finding = only(find(rig))
    assert (finding.kind, finding.cause, finding.is_safe_to_fix) == ("missing", "order_outdated", False)
    assert "refunded there, paid here" in finding.sentence
    rig.ingest(7001)
    finding = only(find(rig))
    assert (finding.kind, finding.cause) == ("stale", "revocation_open")
    assert finding.command.startswith(f"cartbridge runs resolve {finding.run_id} ")
    rig.runtime.operations.resolve(str(finding.run_id), actor="operator:test", note="taken back")
    assert find(rig).findings == []


def test_a_seat_is_found_when_its_run_is_lost(rig: Rig) -> None:
    rig.enrol()
    with rig.ledger.write() as connection:
        for table in (steps, attempts, runs):
            connection.execute(table.delete())
    finding = only(find(rig))
    assert (finding.cause, finding.command) == ("seat_without_run", "cartbridge ingest studiocart 7001")


def test_a_deleted_order_is_found_when_a_run_claims_it(rig: Rig) -> None:
    run_id = provision(rig)
    other = provision(rig, 7002, email="john@example.test")
    gone = rig.run(run_id)["result_id"]
    rig.sandbox.learningcart.delete_order(int(gone))
    finding = only(find(rig))
    assert (finding.kind, finding.cause, finding.run_id) == ("missing", "effect_gone", run_id)
    assert finding.command.startswith(f"cartbridge replay {run_id} --from-step add_comped_order --again --reason ")
    rig.runtime.operations.replay(
        run_id, actor="operator:test", from_step="add_comped_order", again=True, reason="it was deleted"
    )
    rig.work(run_id)
    assert find(rig).findings == []
    assert rig.run(run_id)["result_id"] not in {gone, rig.run(other)["result_id"]}


@pytest.mark.parametrize("claimed", ["123456", "A-17"])
def test_an_order_that_never_was_is_found_when_a_run_claims_it(rig: Rig, claimed: str) -> None:
    run_id = rig.enrol()
    rig.runtime.operations.resolve(run_id, actor="operator:test", note="by hand", result_id=claimed)
    finding = only(find(rig))
    assert (finding.kind, finding.cause, finding.effect_ids) == ("missing", "effect_never_made", (claimed,))


def test_an_order_made_by_hand_twice_is_a_question_when_it_is_found(rig: Rig) -> None:
    customer = rig.sandbox.learningcart.add_customer("hand@example.test")
    first = rig.sandbox.learningcart.add_order(customer.id, 501)
    rig.sandbox.learningcart.add_order(customer.id, 502)
    second = rig.sandbox.learningcart.add_order(customer.id, 501)
    finding = only(find(rig))
    assert (finding.kind, finding.cause, finding.is_safe_to_fix) == ("duplicate", "handmade_twin", False)
    assert finding.effect_ids == (str(first.id), str(second.id))
    assert "hand@example.test" not in json.dumps(finding.shape())


def test_a_handmade_twin_is_found_when_the_other_is_ours(rig: Rig) -> None:
    run_id = provision(rig)
    customer = rig.sandbox.learningcart.customer_of("jane@example.test")
    assert customer is not None
    twin = rig.sandbox.learningcart.add_order(customer.id, 501)
    finding = only(find(rig))
    assert (finding.cause, finding.command) == ("handmade_twin", f"cartbridge runs show {run_id}")
    assert str(twin.id) in finding.effect_ids


def land_late(rig: Rig, order_id: int = 7001) -> str:
    """A run whose only attempt is proven absent after the settle time, and whose effect lands afterwards."""
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="late", seconds=LATE_SECONDS))
    run_id = rig.enrol(order_id)
    rig.work(run_id)
    assert rig.state(run_id) == ("waiting", "settling")
    let_outcome_be_asked(rig, run_id)
    rig.go_on()
    assert rig.outcomes(run_id)[-1] == ("lookup", "absent")
    assert rig.comped_orders == []
    return run_id


def wait_for_landing(rig: Rig, *, beside: int = 0) -> None:
    """Until the effect has landed, beside those that were made otherwise."""
    wait_until(lambda: len(rig.comped_orders) > beside)


def test_a_late_effect_is_found_and_adopted_when_its_run_was_given_up(rig: Rig) -> None:
    run_id = land_late(rig)
    assert rig.state(run_id)[0] in {"review", "failed"}
    wait_for_landing(rig)
    found = find(rig)
    finding = only(found)
    assert (finding.kind, finding.cause, finding.run_id) == ("extra", "landed_effect", run_id)
    fix(rig, found)
    assert found.remaining == []
    assert rig.state(run_id) == ("succeeded", None)
    assert rig.run(run_id)["result_id"] == finding.effect_ids[0]
    assert {"late_answer", "run_succeeded", "reconcile_fixed"} <= set(rig.kinds_of_events(run_id))
    assert find(rig).findings == []


def test_a_late_effect_is_a_revocation_when_its_run_was_cancelled(rig: Rig) -> None:
    run_id = land_late(rig)
    rig.sell(7001, status="refunded")
    rig.ingest(7001)
    assert rig.state(run_id) == ("cancelled", "refunded_by_source")
    wait_for_landing(rig)
    found = fix(rig, find(rig))
    assert (only(found).cause, only(found).is_settled) == ("landed_effect", False)
    (review,) = rig.reviews(about=run_id)
    assert review["reason"] == "refunded_after_provisioning"
    assert causes(find(rig)) == ["revocation_open"]


def test_a_late_effect_is_a_second_one_when_its_run_sent_again(rig: Rig) -> None:
    run_id = land_late(rig)
    rig.runtime.operations.replay(run_id, actor="operator:test")
    rig.work(run_id)
    assert rig.state(run_id) == ("succeeded", None)
    wait_for_landing(rig, beside=1)
    found = fix(rig, find(rig))
    assert (only(found).kind, only(found).cause, only(found).is_settled) == ("duplicate", "second_effect", False)
    (review,) = rig.reviews(about=run_id)
    assert (review["reason"], review["result_id"]) == ("duplicate_effect", only(found).effect_ids[0])
    again = find(rig)
    assert causes(again) == ["duplicate_open"]
    rig.runtime.operations.resolve(review["id"], actor="operator:test", note="cancelled there")
    assert find(rig).findings == []


def test_a_late_effect_is_adopted_instead_of_sent_when_its_run_is_due_again(rig: Rig) -> None:
    run_id = land_late(rig)
    wait_for_landing(rig)
    found = find(rig)
    rig.runtime.operations.replay(run_id, actor="operator:test")
    assert rig.state(run_id) == ("pending", None)
    fix(rig, found)
    assert only(found).is_settled
    rig.work(run_id)
    assert rig.state(run_id) == ("succeeded", None)
    assert len(rig.comped_orders) == 1


def test_nothing_is_said_of_an_effect_when_its_run_will_look_for_it(rig: Rig) -> None:
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut"))
    run_id = rig.enrol()
    rig.work(run_id)
    assert rig.state(run_id) == ("waiting", "settling")
    assert len(rig.comped_orders) == 1
    assert find(rig).findings == []


def test_an_unknown_reference_keeps_its_order_from_being_taken_in_when_the_ledger_is_an_old_copy(
    rig: Rig, tmp_path: Path
) -> None:
    provision(rig)
    url = f"sqlite:///{tmp_path / 'older.db'}"
    older = Ledger(url)
    older.migrate()
    older.close()
    restored = Rig(rig.sandbox, url, tmp_path, clock=rig.clock)
    found = find(restored)
    assert sorted(causes(found)) == ["order_not_ingested", "unknown_reference"]
    fix(restored, found)
    assert len(found.remaining) == 2
    assert restored.rows("runs") == []
    restored.close()


def test_no_false_alarm_is_raised_when_learningcart_does_not_answer(rig: Rig) -> None:
    provision(rig)
    rig.sell(7002, email="john@example.test")
    rig.sandbox.inject(Fault("learningcart", "getOrdersByDate", kind="status", status=503, times=None))
    found = find(rig)
    assert causes(found) == ["not_checked", "order_not_ingested"]
    assert not found.findings[1].is_safe_to_fix
    rig.sandbox.clear_faults()
    gone = provision(rig, 7003, email="jim@example.test")
    rig.ingest(7002)
    rig.sandbox.learningcart.delete_order(int(rig.run(gone)["result_id"]))
    rig.sandbox.inject(Fault("learningcart", "getOrderByID", kind="status", status=503, times=None))
    assert causes(find(rig)) == ["not_checked"]


def test_the_night_settles_what_is_safe_when_it_comes(rig: Rig) -> None:
    def night() -> None:
        rig.runtime.app.tasks[reconcile.name].apply(throw=True)

    rig.sell(7001)
    night()
    assert rig.rows("runs") == []  # the first day is the first sweep's
    rig.clock.move_to(rig.clock() + timedelta(days=1))
    night()
    (run,) = rig.rows("runs")
    assert rig.dispatcher.sent == [run["id"]]
    rig.sell(7002, email="john@example.test")
    night()
    assert len(rig.rows("runs")) == 1
    kinds = [(row["kind"], row["actor"]) for row in rig.rows("events") if row["kind"].startswith("reconcile")]
    assert kinds == [
        ("reconcile_fixed", Actor.ENGINE),
        ("reconcile_finding", Actor.ENGINE),
        ("reconciled", Actor.ENGINE),
    ]


def test_one_order_is_not_called_two_when_its_run_was_done_by_hand_without_its_number(rig: Rig) -> None:
    """Whoever did as it was told cancelled the only order there was, and with it the learner's access."""
    run_id = rig.enrol()
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut", when="after"))
    rig.work(run_id)
    rig.runtime.operations.resolve(run_id, actor="operator:test", note="it is there")
    found = find(rig)
    assert "was done by hand: it is what was meant, or one too many" in only(found).sentence
    fix(rig, found)
    (question,) = rig.reviews()
    assert (question["reason"], question["result_id"]) == ("duplicate_effect", "90001")
    with rig.ledger.read() as connection:
        answer = why(connection, "studiocart/7001", now=rig.clock()).answer
    assert "by hand; LearningCart order 90001 is ours for it, or one too many" in answer
    assert "two comped orders" not in answer
