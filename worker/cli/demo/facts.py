"""What the demo's ledger says at one moment: read while the product works on it, and once more when it has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from worker.formatting import counted
from worker.ledger.states import DeliveryState, RunState
from worker.ledger.tables.runs import orders
from worker.ledger.views.details import show_run
from worker.ledger.views.listing import list_deliveries, list_orders, list_runs
from worker.ledger.views.overview import reviews
from workflows.planning.model import ENROLMENT

if TYPE_CHECKING:
    from worker.ledger.session import Ledger
    from worker.ledger.views.details import RunDetail
    from worker.ledger.views.overview import ReasonCount
    from worker.ledger.views.records import DeliveryItem, OrderItem, RunItem

_OPEN_RUNS = frozenset({RunState.PENDING, RunState.RUNNING, RunState.WAITING})
_OPEN_DELIVERIES = frozenset({DeliveryState.RECEIVED, DeliveryState.WAITING})


@dataclass(frozen=True)
class Facts:
    """The ledger's runs, orders and deliveries, as the command line shows them."""

    runs: tuple[RunItem, ...] = ()
    details: tuple[RunDetail, ...] = ()
    """The runs in full, where they were read so."""
    orders: tuple[OrderItem, ...] = ()
    deliveries: tuple[DeliveryItem, ...] = ()
    to_look_at_again: int = 0
    """Orders with a change that waits until a run is released."""
    reviews: tuple[ReasonCount, ...] = ()
    """What needs a person, as `status` tells it."""

    def runs_by_state(self) -> Counter[str]:
        """How many runs are in each state."""
        return Counter(run.state for run in self.runs)

    def deliveries_by_way(self) -> dict[str, int]:
        """How many deliveries came each way."""
        return dict(sorted(Counter(delivery.via for delivery in self.deliveries).items()))

    @property
    def duplicates(self) -> int:
        """Deliveries that brought nothing new."""
        return sum(1 for delivery in self.deliveries if delivery.duplicate)

    @property
    def statuses(self) -> dict[str, str]:
        """Every recorded order with the shop's status: `{order id: status}`."""
        return {order.order_id: order.status for order in self.orders}

    def knows(self, order_ids: Iterable[int]) -> bool:
        """Whether every one of these orders is recorded."""
        return {str(order_id) for order_id in order_ids} <= self.statuses.keys()

    def has_enrolled(self, wanted: Mapping[int, int]) -> bool:
        """Whether each order has its enrolments, `{order id: how many}`, and all of them succeeded."""
        enrolments = [run for run in self.runs if run.workflow == ENROLMENT and run.grant is not None]
        states = Counter((run.order_id, run.state) for run in enrolments if int(run.order_id or 0) in wanted)
        return states == Counter({(str(order), RunState.SUCCEEDED): count for order, count in wanted.items() if count})

    def unfinished(self) -> list[str]:
        """What is still to be done, a line each."""
        lines = [
            f"order {run.order_id}: run {run.id} is {run.state}" + (f" ({run.reason})" if run.reason else "")
            for run in self.runs
            if run.state in _OPEN_RUNS
        ]
        lines += [
            f"order {delivery.order_id}: a delivery by {delivery.via} is {delivery.state}"
            for delivery in self.deliveries
            if delivery.state in _OPEN_DELIVERIES
        ]
        if self.to_look_at_again:
            lines.append(f"{counted(self.to_look_at_again, 'order')} to be looked at again")
        return lines


def read_facts(ledger: Ledger, *, in_full: bool = False) -> Facts:
    """Read the ledger; `in_full` with every run's steps, attempts and events. Raises `SQLAlchemyError`."""
    to_look_at_again = select(func.count()).select_from(orders).where(orders.c.replan_at.is_not(None))
    with ledger.read() as connection:
        runs = tuple(list_runs(connection))
        return Facts(
            runs=runs,
            details=tuple(show_run(connection, run.id) for run in runs) if in_full else (),
            orders=tuple(list_orders(connection)),
            deliveries=tuple(list_deliveries(connection)),
            to_look_at_again=connection.scalar(to_look_at_again) or 0,
            reviews=tuple(reviews(connection)),
        )
