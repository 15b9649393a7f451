"""What stored versions of an order show of its lines that were planned under a name."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError
from sqlalchemy import Connection, select

from worker.clients import studiocart_models as records
from worker.ledger.models import order_versions
from worker.sources.order import Order
from worker.sources.studiocart_lines import lines_of, named_lines
from workflows.line_keys import names_planned_under
from workflows.plan import KnownRun, PlannedLine


def planned_lines(connection: Connection, order: Order, runs: Iterable[KnownRun]) -> dict[str, PlannedLine]:
    """By the line's id, from the first version that shows it: a line gets its id when it is first seen.

    Nothing is read for an order none of whose lines needs it. A version that was forgotten with its learner shows
    nothing.
    """
    missing = names_planned_under(order, runs)
    if not missing:
        return {}
    versions = select(order_versions.c.raw).where(
        order_versions.c.source == order.source, order_versions.c.order_id == order.id
    )
    found: dict[str, PlannedLine] = {}
    for raw in connection.scalars(versions.order_by(order_versions.c.number)):
        try:
            record = records.Order.model_validate(raw)
        except ValidationError:
            continue
        found |= _shown_by(record, missing - found.keys())
    return found


def _shown_by(record: records.Order, missing: set[str]) -> dict[str, PlannedLine]:
    shown = named_lines(record)
    beside = frozenset(line.id for line in lines_of(record))
    found = {}
    for line_id in missing:
        mine = [line for line in shown if line_id in line.line_ids]
        if mine:
            ids = frozenset(line.product_id for line in mine if line.product_id is not None)
            found[line_id] = PlannedLine(ids, frozenset(line.name for line in mine), beside)
    return found
