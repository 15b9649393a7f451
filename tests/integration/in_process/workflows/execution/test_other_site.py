"""A run that was begun at another LearningCart site: the customer's number is somebody else's at this one."""

from __future__ import annotations

import pytest

from tests.unit.session_ledger import SessionLedger
from tests.unit.workflows.fakes.learningcart import (
    FakeLearningCart,
    a_run,
    an_executor,
    api_error,
    ask_and_settle,
    before_the_order,
    claimed,
    perform,
    state,
    work,
)
from tests.unit.workflows.fakes.storefront import Clock, rows
from worker.errors import ApiTimeoutError
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import steps
from workflows.execution.executor import Executor


@pytest.fixture
def ledger(session_ledger: SessionLedger) -> Ledger:
    """The ledger with one planned run in it."""
    return session_ledger.filled_by(a_run)


@pytest.fixture
def other_site() -> FakeLearningCart:
    """Another site, where 5001 is a stranger, and 7007 our learner."""
    return FakeLearningCart(site_hostname="other.example", customer_id=7007)


@pytest.fixture
def there(ledger: Ledger, other_site: FakeLearningCart, clock: Clock) -> Executor:
    """An executor that works at the other site."""
    return an_executor(ledger, other_site, clock)


def let_go_before_the_order(executor: Executor, run_id: str) -> None:
    executor.let_go(before_the_order(executor, run_id))


def test_strangers_number_is_not_used_when_the_site_has_changed(
    executor: Executor, there: Executor, other_site: FakeLearningCart, ledger: Ledger, run_id: str
) -> None:
    let_go_before_the_order(executor, run_id)
    work(there, run_id)
    assert state(ledger) == ("succeeded", None)
    assert other_site.members == [(7007, 12)]
    (order,) = other_site.made
    assert order.customer is not None
    assert order.customer.customer_id == 7007


def test_every_step_is_done_again_when_the_first_is_all_that_came_through(
    executor: Executor, there: Executor, other_site: FakeLearningCart, ledger: Ledger, run_id: str
) -> None:
    let_go_before_the_order(executor, run_id)
    held = claimed(there, run_id)
    assert perform(there, held)
    there.let_go(held)
    assert [row.state for row in rows(ledger, steps)] == ["done", "pending", "pending"]
    work(there, run_id)
    assert other_site.members == [(7007, 12)]
    assert [order.customer.customer_id for order in other_site.made if order.customer] == [7007]


def test_order_is_made_at_the_new_site_when_the_old_one_left_its_outcome_unknown(
    there: Executor, other_site: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    old_site = FakeLearningCart(after={"add_comp_order": [api_error(ApiTimeoutError, unknown=True)]})
    work(an_executor(ledger, old_site, clock), run_id)
    assert len(old_site.made) == 1
    ask_and_settle(there, run_id, clock)
    work(there, run_id)
    assert state(ledger) == ("succeeded", None)
    assert [order.customer.customer_id for order in other_site.made if order.customer] == [7007]


def test_nothing_is_done_again_when_the_site_is_the_same(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    let_go_before_the_order(executor, run_id)
    work(an_executor(ledger, learningcart, clock), run_id)
    assert len(learningcart.customers) == 1
    assert learningcart.members == [(5001, 12)]


def test_number_is_trusted_when_an_older_version_did_not_note_its_site(
    executor: Executor, learningcart: FakeLearningCart, ledger: Ledger, run_id: str, clock: Clock
) -> None:
    let_go_before_the_order(executor, run_id)
    with ledger.write() as connection:
        connection.execute(
            steps.update().where(steps.c.name == "add_customer").values(output={"customer_id": 5001, "is_new": True})
        )
    work(an_executor(ledger, learningcart, clock), run_id)
    assert len(learningcart.customers) == 1
