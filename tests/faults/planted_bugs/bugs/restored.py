"""Planted bugs around a ledger restored from an older copy: what it forgot is asked about before it is done again."""

from __future__ import annotations

from tests.faults.planted_bugs.bug import Bug, ByTest

_TESTS = "tests/faults/restore/test_restored_ledgers.py::test_"

RESTORED = (
    Bug(
        "later plans trusted after a restore",
        "An order that the copy does not hold at all is taken in again, and gets a second comped order.",
        "worker/ledger/runs/run_rows.py",
        "if may_send and connection.scalar(_ANY_RECOVERY) is not None:",
        "if not made:",
        ByTest(f"{_TESTS}an_order_is_taken_in_and_adopts_its_effect_when_the_ledger_was_recovered_and_reconcile_fixes"),
    ),
    Bug(
        "present runs trusted after a restore",
        "A run that is pending in the copy sends its call again.",
        "worker/ledger/runs/recoveries.py",
        "if row.id not in asked_already]",
        "if row.id in asked_already]",
        ByTest(f"{_TESTS}run_adopts_its_effect_when_the_copy_knew_it_as_pending"),
    ),
    Bug(
        "forgotten generation not looked for",
        "What was repeated on purpose after the copy is made once more.",
        "workflows/enrolment/steps.py",
        "& {call.reference, *call.later_references})",
        "& {call.reference})",
        ByTest(f"{_TESTS}an_effect_repeated_on_purpose_is_adopted_when_the_ledger_forgot_that"),
    ),
    Bug(
        "recovery does not wait for requests under way",
        "A request of the lost time lands after LearningCart was asked.",
        "worker/ledger/runs/recoveries.py",
        "values(next_attempt_at=settled_at)",
        "values(next_attempt_at=runs.c.next_attempt_at)",
        ByTest(f"{_TESTS}run_adopts_its_effect_when_the_copy_knew_it_as_pending"),
    ),
)
