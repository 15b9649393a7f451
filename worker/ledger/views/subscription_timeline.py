"""One line for people on how an order's subscription stands."""

from __future__ import annotations

from sqlalchemy import Connection

from worker.ledger.orders.subscription_rows import subscription_of
from worker.sources.subscription import Access, Subscription


def subscription_line(connection: Connection, source: str, order_id: str) -> str | None:
    """`Payment 2 of 3 of subscription 1108 (active, next bill 2026-04-10).`; None for an order that none lists.

    Holds no personal data.
    """
    row = subscription_of(connection, source, order_id)
    if row is None:
        return None
    subscription = Subscription.model_validate(row.document)
    begun = sorted(int(each.order_id) for each in subscription.invoices or () if each.is_begun)
    number = begun.index(int(order_id)) + 1 if int(order_id) in begun else None
    if number is None:
        payment = "A payment"
    elif subscription.installments is None:
        payments = "payment" if len(begun) == 1 else "payments"
        payment = f"{'First' if number == 1 else f'Number {number}'} of {len(begun)} {payments}"
    else:
        payment = f"Payment {number} of {subscription.installments}"
    stands = [subscription.status or "no status"]
    if subscription.access in {Access.LIVE, Access.TRIAL}:
        stands += [f"next bill {subscription.next_bill_on}"] if subscription.next_bill_on is not None else []
    elif subscription.access is not Access.COMPLETE and subscription.period_ends_on is not None:
        stands.append(f"paid until {subscription.period_ends_on}")
    return f"{payment} of subscription {subscription.id} ({', '.join(stands)})."
