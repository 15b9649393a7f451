"""A ledger that was restored from an older copy and recovered makes nothing twice, whatever it forgot."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tasks.reconcile import reconciler_of
from tests.faults.harness.follow_on_product import FollowOnRig, assert_one_cart_with_one_item
from tests.faults.harness.mail_product import MailRig
from tests.faults.harness.product import HandClock, Rig, let_outcome_settle
from tests.faults.restore import histories
from tests.faults.restore.company import PATIENCE, RestoredCompany
from tests.faults.simulation.world import FreshLedger
from worker.sandbox import Sandbox
from worker.sandbox.mailbox import Mailbox
from workflows.execution.recovery import Recovered, Recoverer
from workflows.monitoring.alerts import problems
from workflows.reconcile.findings import Cause
from workflows.reconcile.reconciler import Reconciled
from workflows.registry import WORKFLOWS

pytestmark = pytest.mark.faults

SEEDS = [range(first, first + 50) for first in range(0, 200, 50)]
SEEDS_WITHOUT = range(10)


@pytest.fixture(scope="module")
def fresh() -> Iterator[FreshLedger]:
    with FreshLedger() as fresh:
        histories.observe(fresh._template)
        yield fresh


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
def test_no_seat_is_doubled_or_lost_when_a_restored_ledger_is_recovered(fresh: FreshLedger, seeds: range) -> None:
    ended, strayed = [], []
    for seed in seeds:
        ended.append(RestoredCompany(fresh, seed).tell())
        with closing(fresh.look()) as eyes:
            strayed += [f"seed {seed}: {sentence}" for sentence in histories.strayed(eyes)]
    assert [each for each in ended if each.problems] == []
    assert strayed == []
    assert sum(each.lost for each in ended) > len(seeds) / 2
    assert {"pending", "running", "waiting", "succeeded"} <= {state for each in ended for state in each.states}


def test_seats_are_doubled_when_nobody_recovers_the_ledger(fresh: FreshLedger) -> None:
    """What the test above would find if it were so there."""
    ended = [RestoredCompany(fresh, seed, recovers=False).tell() for seed in SEEDS_WITHOUT]
    assert any("2 comped orders" in problem for each in ended for problem in each.problems)


class Accident:
    """One ledger that is copied, lost, and brought back by an operator who recovers it."""

    def __init__(self, sandbox: Sandbox, ledger: Path, folder: Path) -> None:
        self._sandbox, self._file, self._folder = sandbox, ledger, folder
        self.clock = HandClock()
        self.copied_at = self.clock()
        self.rig = self._open()

    def _open(self) -> Rig:
        return Rig(self._sandbox, f"sqlite:///{self._file}", self._folder, clock=self.clock)

    def copy(self) -> None:
        self.copied_at = self.clock()
        with closing(sqlite3.connect(self._file)) as connection:
            connection.execute("VACUUM INTO ?", (str(self._folder / "copy.db"),))

    def bring_back(self) -> Rig:
        """Lose the ledger, and go on with the copy, which nobody has recovered yet."""
        self.rig.close()
        for file in self._file.parent.glob(f"{self._file.name}*"):
            file.unlink()
        (self._folder / "copy.db").rename(self._file)
        self.rig = self._open()
        return self.rig

    def recover(self, since: datetime | None = None, *, dry_run: bool = False) -> Recovered:
        recoverer = Recoverer(self.rig.ledger, WORKFLOWS, patience=PATIENCE, clock=self.clock)
        return recoverer.recover(since or self.copied_at, actor="operator:test", dry_run=dry_run)

    def bring_back_and_recover(self) -> Rig:
        rig = self.bring_back()
        self.recover()
        return rig

    def reconcile(self, *, fix: bool = False) -> Reconciled:
        self.clock.move(5)
        reconciler = reconciler_of(self.rig.runtime)
        found = reconciler.find(self.copied_at - timedelta(days=2))
        if fix:
            reconciler.fix(found, actor="operator:test")
        return found


@pytest.fixture
def accident(sandbox: Sandbox, sqlite_ledger: str, tmp_path: Path) -> Iterator[Accident]:
    accident = Accident(sandbox, Path(sqlite_ledger.removeprefix("sqlite:///")), tmp_path)
    yield accident
    accident.rig.close()


def test_run_adopts_its_effect_when_the_copy_knew_it_as_pending(accident: Accident) -> None:
    run_id = accident.rig.enrol()
    accident.copy()
    accident.rig.work(run_id)
    rig = accident.bring_back_and_recover()
    rig.go_on()
    assert rig.state(run_id) == ("pending", None), "it settles first"
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)
    assert len(rig.comped_orders) == 1
    assert rig.outcomes(run_id) == [("call", "unknown"), ("lookup", "adopted")]


@pytest.mark.parametrize(("days_since", "is_asked"), [(0, True), (2, False)])
def test_an_order_is_asked_about_when_it_may_have_been_there_before_the_recovery(
    accident: Accident, days_since: int, *, is_asked: bool
) -> None:
    accident.copy()
    rig = accident.bring_back()
    accident.clock.move(-days_since * 86_400)
    accident.recover(accident.clock() - timedelta(hours=1))
    accident.clock.move(days_since * 86_400)
    run_id = rig.enrol()
    rig.finish()
    assert rig.outcomes(run_id) == [*([("call", "unknown"), ("lookup", "absent")] * is_asked), ("call", "ok")]


def test_an_effect_repeated_on_purpose_is_adopted_when_the_ledger_forgot_that(accident: Accident) -> None:
    rig = accident.rig
    rig.sandbox.config.learningcart.prices = frozenset({1})
    run_id = rig.enrol()
    rig.finish()
    assert rig.state(run_id)[0] == "failed"
    accident.copy()
    rig.sandbox.config.learningcart.prices = None
    rig.runtime.operations.replay(
        run_id, actor="operator:test", from_step="add_comped_order", again=True, reason="price added"
    )
    rig.finish()
    assert (rig.state(run_id), rig.run(run_id)["generation"]) == (("succeeded", None), 1)
    rig = accident.bring_back_and_recover()
    let_outcome_settle(rig)
    rig.runtime.operations.replay(run_id, actor="operator:test", reason="price added")
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)
    assert len(rig.comped_orders) == 1


def test_a_person_is_asked_when_comments_do_not_come_back(accident: Accident) -> None:
    run_id = accident.rig.enrol()
    accident.copy()
    accident.rig.work(run_id)
    accident.rig.sandbox.config.learningcart.echo_comments = False
    rig = accident.bring_back_and_recover()
    rig.finish()
    assert rig.state(run_id) == ("review", "outcome_unprovable")
    assert len(rig.comped_orders) == 1


def recover(rig: Rig) -> None:
    Recoverer(rig.ledger, WORKFLOWS, patience=PATIENCE, clock=rig.clock).recover(
        rig.clock() - timedelta(hours=1), actor="operator:test"
    )


def test_a_person_is_asked_of_a_mail_when_it_may_have_been_sent(
    sandbox: Sandbox, sqlite_ledger: str, tmp_path: Path
) -> None:
    with Mailbox.start() as mailbox, closing(MailRig(sandbox, sqlite_ledger, tmp_path, mailbox)) as rig:
        rig.work(rig.enrol())
        recover(rig)
        rig.finish()
        assert (rig.mail["state"], rig.mail["reason"]) == ("review", "outcome_unknown")
        rig.clock.move(60)
        rig.work(rig.enrol(7002, email="john@example.test"))
        rig.finish()
        assert [mail.recipient for mail in mailbox.received] == ["john@example.test"], "made since, so not sent before"


def test_a_cart_is_read_before_its_item_is_added_when_the_course_was_completed_before(
    sandbox: Sandbox, sqlite_ledger: str, tmp_path: Path
) -> None:
    with closing(FollowOnRig(sandbox, sqlite_ledger, tmp_path)) as rig:
        recover(rig)
        run_id = rig.hear()
        rig.finish()
        assert_one_cart_with_one_item(rig, run_id)
        assert rig.outcomes(run_id, "add_cart_item") == [("call", "unknown"), ("lookup", "absent"), ("call", "ok")]
        assert rig.outcomes(run_id, "create_cart") == [("call", "ok")]


def test_a_revocation_is_opened_when_the_order_was_refunded_since(accident: Accident) -> None:
    run_id = accident.rig.enrol()
    accident.copy()
    accident.rig.work(run_id)
    accident.rig.sell(7001, status="refunded")
    rig = accident.bring_back_and_recover()
    rig.ingest(7001)
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)
    [review] = rig.reviews(about=run_id)
    assert review["reason"] == "refunded_after_provisioning"


def test_it_is_told_that_nobody_was_asked_when_a_refunded_order_has_no_run(accident: Accident) -> None:
    accident.copy()
    accident.rig.work(accident.rig.enrol())
    accident.rig.sell(7001, status="refunded")
    rig = accident.bring_back_and_recover()
    rig.ingest(7001)
    rig.finish()
    [finding] = accident.reconcile().findings
    assert (finding.kind, finding.cause, finding.order_id) == ("stale", Cause.LOST_REVOCATION, "7001")
    assert "refunded" in finding.sentence
    assert not finding.is_sign_of_restore


def test_each_run_of_a_bundle_adopts_its_own_when_nobody_recovered_and_reconcile_fixes(accident: Accident) -> None:
    rig = accident.rig
    rig.sell(7001, product_id="1130")
    run_ids = rig.ingest(7001)
    accident.copy()
    for run_id in run_ids:
        rig.work(run_id)
    made = {run_id: rig.run(run_id)["result_id"] for run_id in run_ids}
    rig = accident.bring_back()
    found = accident.reconcile(fix=True)
    assert {(each.cause, each.run_id, each.effect_ids[0]) for each in found.findings} == {
        (Cause.LANDED_EFFECT, run_id, result_id) for run_id, result_id in made.items()
    }
    assert all(each.is_sign_of_restore and each.is_settled for each in found.findings)
    rig.finish()
    assert {run_id: rig.run(run_id)["result_id"] for run_id in run_ids} == made
    assert len(rig.comped_orders) == 2


def test_a_run_is_left_alone_when_a_worker_holds_it_and_reconcile_fixes(accident: Accident) -> None:
    run_id = accident.rig.enrol()
    accident.copy()
    accident.rig.work(run_id)
    rig = accident.bring_back()
    reconciler = reconciler_of(rig.runtime)
    found = reconciler.find(accident.copied_at)
    held = rig.claim(run_id)
    reconciler.fix(found, actor="operator:test")
    [finding] = found.findings
    assert (finding.is_settled, finding.done) == (False, "its run is being worked on: reconcile again")
    assert rig.state(run_id) == ("running", None)
    rig.executor.let_go(held)


def test_a_cancelled_run_opens_a_revocation_when_it_was_revived_in_the_time_the_ledger_forgot(
    accident: Accident,
) -> None:
    rig = accident.rig
    run_id = rig.enrol()
    rig.sell(7001, status="canceled")
    rig.ingest(7001)
    assert rig.state(run_id)[0] == "cancelled"
    accident.copy()
    rig.sell(7001)
    rig.ingest(7001)
    rig.work(run_id)
    rig.sell(7001, status="canceled")
    rig = accident.bring_back()
    accident.reconcile(fix=True)
    [review] = rig.reviews(about=run_id)
    assert (review["reason"], rig.state(run_id)[0]) == ("cancelled_after_provisioning", "cancelled")


def test_who_held_a_run_is_fenced_out_when_the_ledger_is_recovered_under_it(accident: Accident) -> None:
    run_id = accident.rig.enrol()
    held = accident.rig.claim_before_order(run_id)
    accident.copied_at = accident.clock()
    accident.clock.move(1)
    accident.recover()
    assert not accident.rig.perform(held)
    assert accident.rig.comped_orders == []
    accident.rig.finish()
    assert accident.rig.state(run_id) == ("succeeded", None)
    assert len(accident.rig.comped_orders) == 1


def test_recovering_twice_doubts_nothing_more_and_looks_further_back_when_told_an_earlier_moment(
    accident: Accident,
) -> None:
    run_id = accident.rig.enrol()
    accident.clock.move(60)
    would = accident.recover(accident.clock(), dry_run=True)
    assert (would.doubted, accident.rig.rows("attempts"), accident.rig.kinds_of_events(run_id)) == (
        1,
        [],
        ["run_planned"],
    )
    assert accident.recover(accident.clock()).doubted == 1
    assert accident.recover().doubted == 0
    [attempt] = accident.rig.rows("attempts")
    assert attempt["started_at"] == accident.copied_at


def test_learningcart_is_paused_once_for_an_effect_when_another_ledger_made_it(accident: Accident) -> None:
    accident.copy()
    accident.rig.work(accident.rig.enrol())
    rig = accident.bring_back()
    reconciler = reconciler_of(rig.runtime)
    rig.runtime.operations.pause("learningcart", actor="operator:test")
    assert not reconciler.pause_if_restored(accident.reconcile()), "the operator's pause stays"
    rig.runtime.operations.resume("learningcart", actor="operator:test")
    assert reconciler.pause_if_restored(accident.reconcile())
    with rig.ledger.read() as connection:
        assert "paused/learningcart/restored" in {each.key for each in problems(connection, rig.clock())}
    assert not reconciler.pause_if_restored(accident.reconcile()), "it is paused, and still read"
    rig.runtime.operations.resume("learningcart", actor="operator:test")
    assert not reconciler.pause_if_restored(accident.reconcile()), "the operator has seen it"
    assert rig.rows("pauses") == []


def test_an_order_is_taken_in_and_adopts_its_effect_when_the_ledger_was_recovered_and_reconcile_fixes(
    accident: Accident,
) -> None:
    accident.copy()
    accident.rig.work(accident.rig.enrol())
    rig = accident.bring_back_and_recover()
    found = accident.reconcile(fix=True)
    unknown, lacking = sorted(found.findings, key=lambda each: each.cause, reverse=True)
    assert (unknown.cause, unknown.command) == (Cause.UNKNOWN_REFERENCE, "cartbridge ingest studiocart 7001")
    assert (lacking.cause, lacking.is_settled) == (Cause.ORDER_NOT_INGESTED, True)
    rig.finish()
    assert [row["state"] for row in rig.rows("runs")] == ["succeeded"]
    assert len(rig.comped_orders) == 1
    assert accident.reconcile().findings == []
