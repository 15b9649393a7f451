"""What is said of access that was given by an order which is not paid any more: nobody is asked, and nobody misled."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.in_process.worker.ledger.views.test_answers import ORDER, ask, given
from tests.unit.workflows.fakes.storefront import JANE, an_order, record
from worker.ledger.session import Ledger
from worker.sources.order import Payment

UNPAID = f"Order {ORDER}, by which it was given, is not paid now (status 'unpaid')."


@pytest.mark.parametrize("subject", [ORDER, JANE.email])
def test_answer_says_that_the_order_is_unpaid_when_it_was_given_before(ledger: Ledger, subject: str) -> None:
    given(ledger)
    record(ledger, an_order(payment=Payment.WAITING, status="unpaid"))
    found: dict[str, Any] = ask(ledger, subject)
    assert "jane@example.test has access to Course 1107" in found["answer"]
    assert found["answer"].endswith(UNPAID)
    assert "status 'unpaid': not paid any more, what was given stays." in str(found)
    record(ledger, an_order())
    assert "not paid now" not in ask(ledger, subject)["answer"]
