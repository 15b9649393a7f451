"""LearningCart in memory, as far as the enrolment's steps use its client; and an executor that works against it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, TypeVar

from tests.unit.workflows.fakes.storefront import Clock, an_order, record, rows, run_of
from worker.clients.base import NO_LIMITS, CallLimits
from worker.clients.learningcart.models import Customer, CustomerFields, Order
from worker.errors import ApiError, NotFoundError
from worker.ledger.runs.held import HeldRun, HeldStep
from worker.ledger.session import Ledger
from worker.ledger.states import StepState
from worker.ledger.tables.runs import attempts
from workflows.execution.executor import Executor, Timing
from workflows.execution.recorder import Recorder
from workflows.execution.retry_policy import Patience, RetryPolicy
from workflows.registry import WORKFLOWS

_T = TypeVar("_T")

LEASE_SECONDS = 120.0
CALL_SECONDS = 35.0
PATIENCE = Patience(base_seconds=2.0, max_seconds=3600.0, max_attempts=3, settle_seconds=45.0)
KEY = "1109/1107/buyer/501"


@dataclass
class FakeLearningCart:
    """Makes an order for every call. `errors` are raised by the next calls of a method, before or after they act."""

    made: list[Order] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    windows: list[tuple[datetime, datetime]] = field(default_factory=list)
    limits: list[CallLimits] = field(default_factory=list)
    before: dict[str, list[Exception]] = field(default_factory=dict)
    after: dict[str, list[Exception]] = field(default_factory=dict)
    during: Callable[[str], object] = lambda _method: None
    names_customers: bool = True
    forgets: set[int] = field(default_factory=set)
    unreadable: list[Order] = field(default_factory=list)
    """Rows of every list that have no order id."""
    answer_seconds: float = 0.1
    """How long each answer takes by the clock that is never set."""
    elapsed_seconds: float = 0.0
    customers: list[CustomerFields] = field(default_factory=list)
    members: list[tuple[int, int]] = field(default_factory=list)
    site_hostname: str = "academy.example"
    keeps_profiles: bool = False
    customer_id: int = 5001

    def ready(self, *, limits: CallLimits = NO_LIMITS) -> None:
        self._act("ready", lambda: None)

    def add_customer(self, fields: CustomerFields, *, limits: CallLimits = NO_LIMITS) -> Customer:
        self.limits.append(limits)
        self.customers.append(fields)
        return self._act(
            "add_customer", lambda: Customer.model_validate({"Customer ID": self.customer_id, "isNew": True})
        )

    def add_customer_to_group(self, customer_id: int, group_id: int, *, limits: CallLimits = NO_LIMITS) -> None:
        self.limits.append(limits)
        self._act("add_customer_to_group", lambda: self.members.append((customer_id, group_id)))

    def add_comp_order(
        self, customer_id: int, price_id: int, comments: str, *, limits: CallLimits = NO_LIMITS
    ) -> Order:
        self.limits.append(limits)

        def make() -> Order:
            if limits.before_send is not None:
                limits.before_send()
            self.made.append(comped_order(90001 + len(self.made), comments, customer_id=customer_id))
            return self.made[-1]

        return self._act("add_comp_order", make)

    def get_orders_by_date(
        self, begin_at: datetime, end_at: datetime, *, limits: CallLimits = NO_LIMITS
    ) -> list[Order]:
        self.limits.append(limits)
        self.windows.append((begin_at, end_at))
        hidden = {} if self.names_customers else {"customer": None}
        return self._act(
            "get_orders_by_date", lambda: [order.model_copy(update=hidden) for order in [*self.unreadable, *self.made]]
        )

    def get_order_by_id(self, order_id: int, *, limits: CallLimits = NO_LIMITS) -> Order:
        self.asked.append(f"get_order_by_id {order_id}")
        for order in self.made:
            if order.order_id == order_id:
                return order.model_copy(update={"customer": None}) if order_id in self.forgets else order
        raise NotFoundError("no such order", system="learningcart", operation="getOrderByID", status=404)

    def _act(self, method: str, act: Callable[[], _T]) -> _T:
        self.asked.append(method)
        self.elapsed_seconds += self.answer_seconds
        if self.before.get(method):
            raise self.before[method].pop(0)
        answer = act()
        self.during(method)
        if self.after.get(method):
            raise self.after[method].pop(0)
        return answer


def comped_order(order_id: int, comments: str | None = None, *, customer_id: int | None = 5001) -> Order:
    customer = None if customer_id is None else {"Customer ID": customer_id}
    return Order.model_validate({"Order ID": order_id, "Customer Comments": comments, "Customer": customer})


def api_error(
    kind: type[ApiError] = ApiError, *, status: int | None = None, unknown: bool = False, **more: Any
) -> ApiError:
    return kind("it went wrong", system="learningcart", status=status, outcome_unknown=unknown, **more)


def an_executor(
    ledger: Ledger, learningcart: FakeLearningCart | None, clock: Clock, *, holder: str = "worker-1"
) -> Executor:
    return Executor(
        ledger,
        WORKFLOWS,
        {"learningcart": learningcart} if learningcart is not None else {},
        timing=Timing(lease_seconds=LEASE_SECONDS, call_seconds={"learningcart": CALL_SECONDS}),
        retry_policy=RetryPolicy(PATIENCE, Random(1)),
        holder=holder,
        clock=clock,
        monotonic=lambda: 0.0 if learningcart is None else learningcart.elapsed_seconds,
    )


def a_recorder(ledger: Ledger, clock: Clock) -> Recorder:
    return Recorder(ledger, lease_seconds=LEASE_SECONDS, retry_policy=RetryPolicy(PATIENCE, Random(1)), clock=clock)


def a_run(ledger: Ledger) -> str:
    """A planned enrolment of price 501 and group 12; its id."""
    record(ledger, an_order())
    return str(run_of(ledger, KEY).id)


def claimed(executor: Executor, run_id: str) -> HeldRun:
    held = executor.claim(run_id, "learningcart")
    assert held is not None
    return held


def before_the_order(executor: Executor, run_id: str) -> HeldRun:
    """A held run whose comped order is next."""
    held = claimed(executor, run_id)
    while held.next_step is not None and held.next_step.name != "add_comped_order":
        perform(executor, held)
    return held


def perform(executor: Executor, held: HeldRun) -> bool:
    planned = next(iter(executor.steps_left(held)), None)
    assert planned is not None
    return executor.perform(held, planned)


def work(executor: Executor, run_id: str) -> None:
    """Work a due run as far as it goes now."""
    held = claimed(executor, run_id)
    while perform(executor, held):
        pass


def ask_and_settle(executor: Executor, run_id: str, clock: Clock) -> None:
    """The first lookup is answered at once, and then the settle time goes by."""
    clock.advance(seconds=PATIENCE.base_seconds)
    work(executor, run_id)
    clock.advance(seconds=PATIENCE.settle_seconds)


def settle(clock: Clock) -> None:
    """Let the settle time go by."""
    clock.advance(seconds=PATIENCE.settle_seconds)


def state(ledger: Ledger) -> tuple[str, str | None]:
    """The run's state and reason."""
    run = run_of(ledger, KEY)
    return run.state, run.reason


def outcomes(ledger: Ledger, step: str = "add_comped_order") -> list[tuple[str, str | None]]:
    """A step's attempts as `(kind, outcome)`, in order."""
    return [(row.kind, row.outcome) for row in rows(ledger, attempts, attempts.c.step == step)]


def step_of(held: HeldRun, name: str = "add_comped_order") -> HeldStep:
    (step,) = [step for step in held.steps if step.name == name]
    return step


def is_done(held: HeldRun) -> bool:
    return all(step.state is StepState.DONE for step in held.steps)
