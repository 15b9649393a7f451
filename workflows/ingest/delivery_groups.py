"""Which of an order's deliveries one look answers."""

from __future__ import annotations

from worker.ledger.orders.order_rows import TakenDelivery


class WebhookOnlyError(Exception):
    """The source cannot be asked, and several bodies tell of the order: each is news of its own, and is looked at."""


def by_body(taken: list[TakenDelivery]) -> list[list[TakenDelivery]]:
    """The deliveries up to each webhook's body, which is news of its own: those without one go with the body before."""
    groups: list[list[TakenDelivery]] = [[]]
    for row in taken:
        if row.body is not None and any(each.body is not None for each in groups[-1]):
            groups.append([])
        groups[-1].append(row)
    return groups
