"""What stored versions of an order show of its lines that were planned and are gone."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError
from sqlalchemy import Connection, select

from worker.clients.studiocart import models as records
from worker.ledger.tables.runs import order_versions
from worker.sources.order import Order
from worker.sources.studiocart_lines import is_name_id, lines_of, named_lines
from workflows.planning.line_keys import STUDIOCART, planned_and_gone
from workflows.planning.model import KnownRun, PlannedLine


def planned_lines(connection: Connection, order: Order, runs: Iterable[KnownRun]) -> dict[str, PlannedLine]:
    """By the line's id: one made of a name from the first version that shows it, a product's from all of them.

    A name is what a line was called when it was first seen; a product's id is the same product under every name that
    it had. Nothing is read for an order none of whose lines needs it. A version that was forgotten with its learner
    shows nothing.
    """
    missing = planned_and_gone(order, runs) if order.source == STUDIOCART else set()
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
        for line_id, shown in _shown_by(record, missing).items():
            if line_id not in found:
                found[line_id] = shown
            elif not is_name_id(line_id):
                found[line_id] = _joined(found[line_id], shown)
    return found


def _joined(one: PlannedLine, other: PlannedLine) -> PlannedLine:
    return PlannedLine(one.product_ids | other.product_ids, one.names | other.names, one.beside | other.beside)


def _shown_by(record: records.Order, missing: set[str]) -> dict[str, PlannedLine]:
    shown = named_lines(record)
    beside = frozenset(line.id for line in lines_of(record))
    found = {}
    for line_id in missing:
        matching = [line for line in shown if line_id == line.product_id or line_id in line.line_ids]
        if matching:
            ids = frozenset(line.product_id for line in matching if line.product_id is not None)
            found[line_id] = PlannedLine(ids, frozenset(line.name for line in matching), beside)
    return found
