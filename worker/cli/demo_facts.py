"""What the demo's ledger says at one moment: read while the product works on it, and once more when it has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from worker.ledger.listing import list_deliveries, list_orders, list_runs, show_run
from worker.ledger.models import orders
from worker.ledger.states import DeliveryState, RunState
from workflows.plan import ENROLMENT
from workflows.reasons import advice

if TYPE_CHECKING:
    from worker.ledger.session import Ledger
    from worker.ledger.shapes import Shape

OPEN_RUNS = frozenset({RunState.PENDING, RunState.RUNNING, RunState.WAITING})
OPEN_DELIVERIES = frozenset({DeliveryState.RECEIVED, DeliveryState.WAITING})


@dataclass(frozen=True)
class Facts:
    """The ledger's runs, orders and deliveries, as the command line shows them."""

    runs: tuple[Shape, ...] = ()
    orders: tuple[Shape, ...] = ()
    deliveries: tuple[Shape, ...] = ()
    to_look_at_again: int = 0
    """Orders with news that waits for a run to be let go."""

    def runs_by_state(self) -> Counter[str]:
        """How many runs are in each state."""
        return Counter(run["state"] for run in self.runs)

    def deliveries_by_way(self) -> Counter[str]:
        """How many deliveries came each way."""
        return Counter(delivery["via"] for delivery in self.deliveries)

    @property
    def duplicates(self) -> int:
        """Deliveries that told nothing new."""
        return sum(1 for delivery in self.deliveries if delivery["duplicate"])

    def knows(self, order_ids: Iterable[int]) -> bool:
        """Whether every one of these orders is recorded."""
        return {str(order_id) for order_id in order_ids} <= {order["order_id"] for order in self.orders}

    def has_enrolled(self, order_ids: Iterable[int]) -> bool:
        """Whether each of these orders has an enrolment, and every one that it has succeeded."""
        states: dict[str, set[str]] = {str(order_id): set() for order_id in order_ids}
        for run in self.runs:
            if run["order_id"] in states and run["workflow"] == ENROLMENT and run["grant"] is not None:
                states[run["order_id"]].add(run["state"])
        return all(found == {RunState.SUCCEEDED} for found in states.values())

    def has_statuses(self, statuses: dict[str, str]) -> bool:
        """Whether every order stands as given, `{order id: the shop's status}`, and no other is recorded."""
        return {order["order_id"]: order["status"] for order in self.orders} == statuses

    def unfinished(self) -> list[str]:
        """What is still to be done, a line each."""
        lines = [
            f"order {run['order_id']}: run {run['id']} is {run['state']}"
            + (f" ({run['reason']})" if run["reason"] else "")
            for run in self.runs
            if run["state"] in OPEN_RUNS
        ]
        lines += [
            f"order {delivery['order_id']}: a delivery by {delivery['via']} is {delivery['state']}"
            for delivery in self.deliveries
            if delivery["state"] in OPEN_DELIVERIES
        ]
        if self.to_look_at_again:
            lines.append(f"{self.to_look_at_again} orders are to be looked at again")
        return lines


def read_facts(ledger: Ledger, *, in_full: bool = False) -> Facts:
    """Read the ledger; `in_full` with every run's steps, attempts and events. Raises `SQLAlchemyError`."""
    with ledger.read() as connection:
        runs = tuple(list_runs(connection, advise=advice))
        return Facts(
            runs=tuple(show_run(connection, run["id"], advise=advice) for run in runs) if in_full else runs,
            orders=tuple(list_orders(connection, advise=advice)),
            deliveries=tuple(list_deliveries(connection, advise=advice)),
            to_look_at_again=connection.scalar(
                select(func.count()).select_from(orders).where(orders.c.replan_at.is_not(None))
            )
            or 0,
        )
