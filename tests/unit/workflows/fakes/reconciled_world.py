"""What a reconciliation compares: LearningCart in memory, and runs in the ledger with the traces of their calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.unit.workflows.fakes.storefront import NOW, FakeSource, an_order, put_run, record, rows, run_of
from worker.clients.learningcart.models import Order as CartOrder
from worker.errors import ApiError, NotFoundError
from worker.ledger import keys
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.runs import attempts, runs
from worker.sources.order import Order
from workflows.reconcile.findings import Finding
from workflows.reconcile.reconciler import Reconciled, Reconciler

SINCE = NOW - timedelta(days=20)
SEAT = "1109/1107/buyer/501"
STEP = "add_comped_order"

NewReconciler = Callable[..., Reconciler]
Find = Callable[[], Reconciled]


@dataclass
class FakeCart:
    """LearningCart's orders, as its client gives them. `broken` and `lookups_broken` make it fail."""

    orders: dict[int, CartOrder] = field(default_factory=dict)
    broken: ApiError | None = None
    lookups_broken: ApiError | None = None
    hidden: set[int] = field(default_factory=set)
    """Left out of lists, and known by id."""
    windows: list[tuple[datetime, datetime]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    def make(
        self,
        order_id: int,
        comments: str | None = None,
        *,
        email: str | None = "jane@example.test",
        product: str = "Course",
        total: float = 0,
        at: datetime = NOW,
    ) -> CartOrder:
        customer = {"Customer ID": 5001, "Email": email or ""} if email is not None else None
        made = CartOrder.model_validate(
            {
                "Order ID": order_id,
                "Order Date": at.isoformat(),
                "Grand Total": total,
                "Customer Comments": comments,
                "Customer": customer,
                "OrderDetails": [{"Product": {"Product Name": product, "Price Name": "Seat"}}, {"Quantity": 1}],
            }
        )
        self.orders[order_id] = made
        return made

    def get_orders_by_date(self, begin_at: datetime | None, end_at: datetime | None = None) -> list[CartOrder]:
        assert begin_at is not None
        assert end_at is not None
        self.windows.append((begin_at, end_at))
        if self.broken is not None:
            raise self.broken
        return [
            each
            for each in self.orders.values()
            if each.order_id not in self.hidden and begin_at <= (each.ordered_at or NOW) <= end_at
        ]

    def get_order_by_id(self, order_id: int) -> CartOrder:
        self.asked.append(order_id)
        if self.lookups_broken is not None:
            raise self.lookups_broken
        if order_id not in self.orders:
            raise NotFoundError("no such order", system="learningcart", operation="getOrderByID", status=404)
        return self.orders[order_id]


def sentences(reconciled: Reconciled) -> list[tuple[str, str]]:
    return [(str(finding.kind), str(finding.cause)) for finding in reconciled.findings]


def only(reconciled: Reconciled) -> Finding:
    (finding,) = reconciled.findings
    return finding


def plan(ledger: Ledger, source: FakeSource, order: Order | None = None) -> str:
    """Sell an order that the ledger holds as it is; the id of its first run."""
    order = order or an_order()
    source.put(order)
    record(ledger, order)
    return str(rows(ledger, runs)[0].id)


def intend(ledger: Ledger, key: str = SEAT, *, result_id: str | None = None, outcome: str | None = "ok") -> str:
    """Leave the trace of a call of the comped order; its reference."""
    run = run_of(ledger, key)
    number = len(rows(ledger, attempts, attempts.c.run_id == run.id)) + 1
    reference = keys.reference(run.key, STEP, run.generation)
    with ledger.write() as connection:
        connection.execute(runs.update().where(runs.c.id == run.id).values(fence=runs.c.fence + 1))
        connection.execute(
            attempts.insert().values(
                run_id=run.id,
                step=STEP,
                number=number,
                kind="call",
                generation=run.generation,
                fence=1,
                holder="gone",
                reference=reference,
                started_at=NOW,
                outcome=outcome,
                result_id=result_id,
            )
        )
    return reference


def succeed(ledger: Ledger, result_id: str | None, key: str = SEAT) -> None:
    put_run(ledger, key, RunState.SUCCEEDED, result_id=result_id, finished_at=NOW)


def provide(ledger: Ledger, source: FakeSource, cart: FakeCart, result_id: int = 90001) -> str:
    """An order whose seat has its comped order; the run's id."""
    run_id = plan(ledger, source)
    reference = intend(ledger, result_id=str(result_id))
    cart.make(result_id, f"{reference} studiocart order 1109")
    succeed(ledger, str(result_id))
    return run_id
