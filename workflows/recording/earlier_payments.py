"""What was paid for a subscription before an order of its: it tells whether that renews it, or buys something else."""

from __future__ import annotations

from sqlalchemy import Connection

from worker.ledger.orders import order_rows, recorded_orders, subscription_rows
from worker.ledger.states import RunState
from worker.sources.order import Order, Payment
from workflows.planning.model import ENROLMENT, WHOLE_ORDER, KnownRun
from workflows.planning.seat_matching import taken_back
from workflows.recording.known_runs import known_runs


def earlier_payments(
    connection: Connection, order: Order, subscription_id: str, purchase_id: str | None
) -> tuple[Order, ...]:
    """The purchase, and the payment right before the order, as far as the ledger holds them; none for the purchase."""
    if purchase_id in {None, order.id}:
        return ()
    ids = subscription_rows.orders_of(connection, order.source, subscription_id)
    before = max((each for each in ids if int(each) < int(order.id)), key=int, default=None)
    wanted = [each for each in {purchase_id, before} if each is not None]
    found = (order_rows.load_order(connection, order.source, each) for each in wanted)
    return tuple(each for each in found if each is not None)


def is_unserved(connection: Connection, order: Order, subscription_id: str, purchase_id: str | None) -> bool:
    """Whether a later payment is paid by somebody to whom nothing was given: its purchase is not paid (any more).

    Nobody is to be asked twice: what another payment gave, or is asked about, counts as given.
    """
    if purchase_id in {None, order.id} or order.payment is not Payment.PAID:
        return False
    purchase = recorded_orders.recorded_order(connection, order.source, purchase_id or "")
    if purchase is None or purchase.version == 0 or purchase.payment == Payment.PAID or purchase.before_start:
        return False
    ids = subscription_rows.orders_of(connection, order.source, subscription_id)
    return not any(_is_served(known_runs(connection, order.source, each)) for each in ids if each != order.id)


def _is_served(runs: list[KnownRun]) -> bool:
    lost = taken_back(runs)
    return any(
        run.workflow == ENROLMENT
        and run.state is not RunState.CANCELLED
        and run.key not in lost
        and (run.line_id != WHOLE_ORDER or run.state is RunState.SUCCEEDED)
        for run in runs
    )
