from __future__ import annotations

from tests.unit.workflows.fakes.storefront import JOHN, an_order, record, run_of
from worker.ledger.session import Ledger
from worker.ledger.sql import record_of
from worker.ledger.states import OrderState, RunState
from worker.ledger.tables.runs import Run
from worker.reasons import Reason
from workflows.descriptions import describe_calls, describe_plan
from workflows.planning import model as plans
from workflows.planning.offers import Grant, Offers


def test_a_run_without_a_grant_calls_nothing(ledger: Ledger) -> None:
    record(ledger, an_order(), rules=Offers())
    assert describe_calls(record_of(Run, run_of(ledger, "1109/1107/buyer/unmapped")), {}) == ()


def test_every_action_is_a_line_when_a_plan_is_described() -> None:
    grant = Grant(price_id=501, group_ids=(12,))
    pending = plans.Create("key", "enrolment", "1107", "buyer", "", RunState.PENDING, None, JOHN, grant)
    held = plans.Create("held", "enrolment", "1107", "seat-2", "First aid", RunState.REVIEW, Reason.UNNAMED_SEAT)
    actions = (
        pending,
        held,
        plans.Cancel("r1", Reason.SUPERSEDED),
        plans.RequestCancel("r2", Reason.REFUNDED_BY_SOURCE),
        plans.WithdrawCancel("r3"),
        plans.Revive("r4"),
        plans.Revive("r5", Reason.PAID_AFTER_CANCEL),
        plans.ChangeLearner("r6", JOHN),
        plans.ChangeGrant("r7", grant),
    )
    assert describe_plan(plans.Plan(OrderState.PLANNED, None, actions)) == (
        "give 1107 to john@example.test",
        "  learningcart addCustomer email=john@example.test first=John last=Roe",
        "  learningcart addCustomerToGroup group 12",
        "  learningcart addCompOrder price 501",
        "put First aid (seat-2) in review (unnamed_seat)",
        "cancel run r1 (superseded)",
        "cancel run r2 (refunded_by_source)",
        "withdraw the cancellation of run r3",
        "revive run r4",
        "revive run r5 in review (paid_after_cancel)",
        "change the learner of run r6 to john@example.test",
        "change the groups of run r7 to [12]",
    )
