"""The catalog: reads the names of a source's products once a day."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from worker.ledger import leases
from worker.ledger.orders import subscription_rows
from worker.ledger.orders.catalog import write_names
from worker.ledger.session import Ledger
from worker.sources.source import CatalogSource
from workflows.ingest.order_polling import poll_due
from workflows.ingest.set_aside import describe_failure

log = logging.getLogger(__name__)

REFRESH_EVERY: Final = timedelta(days=1)
TRY_AGAIN_AFTER: Final = timedelta(hours=1)
"""A source that failed is asked again after this."""


def refresh(
    ledger: Ledger,
    source: CatalogSource,
    *,
    holder: str,
    clock: Callable[[], datetime],
    lease_seconds: float = 300.0,
) -> bool:
    """Read the names of a source's products if they were not read for a day; whether they were read now.

    Commits the names with their cursor. Safe to double: the cursor's lease lets one in. Never raises for what the
    source does; the names from before stay.
    """
    cursor, now = f"{source.name}:catalog", clock()
    with ledger.write() as connection:
        if not poll_due(connection, cursor, now=now, poll_seconds=TRY_AGAIN_AFTER.total_seconds()):
            return False
        row = subscription_rows.take_cursor(connection, cursor, holder=holder, now=now, lease_seconds=lease_seconds)
        if row is None:
            return False
        if row.last_success_at is not None and abs(now - row.last_success_at) < REFRESH_EVERY and not row.failures:
            subscription_rows.write_cursor(connection, cursor, holder=holder, **leases.FREE)
            return False
    try:
        names = source.product_names()
    except Exception as error:  # noqa: BLE001  (of any class: the lease must not outlast the look)
        with ledger.write() as connection:
            failed = {"last_error": describe_failure(error), "failures": row.failures + 1}
            subscription_rows.write_cursor(connection, cursor, holder=holder, **failed, **leases.FREE)
        log.warning("the products of %s could not be read: %s", source.name, describe_failure(error))
        return False
    with ledger.write() as connection:
        is_mine = subscription_rows.write_cursor(
            connection, cursor, holder=holder, last_success_at=clock(), last_error=None, failures=0, **leases.FREE
        )
        if is_mine:
            write_names(connection, source.name, names, now=clock())
    return is_mine
