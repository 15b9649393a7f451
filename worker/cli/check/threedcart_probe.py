"""Asking a 3dcart store whether it works: its carts, its orders, its statuses, and whether carts may be deleted."""

from __future__ import annotations

from contextlib import closing

from worker.cli.check.result import StatusReading, with_notes
from worker.clients.threedcart.client import ThreedcartClient
from worker.errors import ApiError, NotFoundError
from worker.observability.logs import known_secrets
from worker.settings.settings import ThreedcartSettings
from worker.sources.threedcart_statuses import NOT_COMPLETED, STATUS_NAMES, reading_of


def ask_threedcart(settings: ThreedcartSettings) -> tuple[str, tuple[StatusReading, ...]]:
    """What the store answered, in words, and how each of its statuses is read. Raises `ApiError`."""
    with closing(ThreedcartClient(settings, secrets=known_secrets)) as client:
        if not settings.orders_enabled:
            # A token for carts may not read orders, and carts cannot be listed.
            _ask_for_no_cart(client)
            variable = settings.variable("orders_enabled")
            return f"looked for a cart; deletes no unused cart, as {variable} is off and orders are not looked for", ()
        order = client.check_paging()
        said = ["has no orders yet" if order is None else f"listed order {order.id}"]
        if not _lists_unfinished(client):
            said.append("cannot list its unfinished orders, so no unused cart is deleted")
        readings = _readings(client, settings.paid_status_ids)
        if readings is None:
            said.append("cannot read the labels of its order statuses")
    return with_notes("; ".join(said), client.notes), readings or ()


def _ask_for_no_cart(client: ThreedcartClient) -> None:
    """Ask for a cart that there is not: the store says so itself, where anything else on the way has no word for it."""
    try:
        client.retrieve_cart("cartbridge-check")
    except NotFoundError:
        return


def _lists_unfinished(client: ThreedcartClient) -> bool:
    try:
        next(client.list_orders(limit=1, order_status=NOT_COMPLETED), None)
    except ApiError:
        return False
    return True


def _readings(client: ThreedcartClient, paid_statuses: frozenset[int]) -> tuple[StatusReading, ...] | None:
    """The store's statuses, and those beside them that a setting or the vendor names; None where they are refused."""
    try:
        labels = {status.order_status_id: status.label for status in client.list_order_statuses()}
    except ApiError:
        return None
    return tuple(
        StatusReading(str(number), labels.get(number, ""), reading_of(number, paid_statuses).value)
        for number in sorted({*labels, *paid_statuses, *STATUS_NAMES})
    )
