"""The catalog: reads the names of a source's products once a day."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from worker.ledger import leases
from worker.ledger.orders.catalog import write_names
from worker.ledger.periodic.list_polls import ListName, last_attempt_at, take_poll, write_poll
from worker.ledger.session import Ledger
from worker.sources.source import CatalogSource
from workflows.ingest.order_polling import is_due
from workflows.ingest.set_aside import describe_failure

_LIST: Final = ListName.CATALOG
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
    now = clock()
    with ledger.write() as connection:
        asked_at = last_attempt_at(connection, source.name, _LIST)
        if not is_due(asked_at, now=now, poll_seconds=TRY_AGAIN_AFTER.total_seconds()):
            return False
        row = take_poll(connection, source.name, _LIST, holder=holder, now=now, lease_seconds=lease_seconds)
        if row is None:
            return False
        if row.last_success_at is not None and abs(now - row.last_success_at) < REFRESH_EVERY and not row.failures:
            write_poll(connection, source.name, _LIST, holder=holder, **leases.FREE)
            return False
    try:
        names = source.product_names()
    except Exception as error:  # noqa: BLE001  (of any class: the lease must not outlast the look)
        why = describe_failure(error, ledger)
        with ledger.write() as connection:
            failed = {"last_error": why, "failures": row.failures + 1}
            write_poll(connection, source.name, _LIST, holder=holder, **failed, **leases.FREE)
        log.warning("the products of %s could not be read: %s", source.name, why)
        return False
    with ledger.write() as connection:
        is_own = write_poll(
            connection,
            source.name,
            _LIST,
            holder=holder,
            last_success_at=clock(),
            last_error=None,
            failures=0,
            **leases.FREE,
        )
        if is_own:
            write_names(connection, source.name, names, now=clock())
    return is_own
