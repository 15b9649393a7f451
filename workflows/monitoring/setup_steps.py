"""What is left to do until the first order has gone through: shown on the page and by `cartbridge check`."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from worker.ledger.states import OrderState, RunState
from worker.ledger.tables.runs import cursors, orders, runs
from worker.settings.settings import Settings
from workflows.planning.offers import Offers


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupStep:
    """One step, and how it is done: a sentence with commands between backticks."""

    what: str
    is_done: bool
    how: str


def setup_steps(connection: Connection | None, settings: Settings, offers: Offers) -> list[SetupStep]:
    """All steps, done or not, in their order; none once somebody was given access.

    `connection` is None where there is no ledger yet.
    """
    succeeded = select(runs.c.id).where(runs.c.state == RunState.SUCCEEDED).limit(1)
    if connection is not None and connection.scalar(succeeded) is not None:
        return []
    sources = settings.sources()
    is_read, has_order = False, False
    if connection is not None:
        read = set(connection.scalars(select(cursors.c.source).where(cursors.c.last_success_at.is_not(None))))
        is_read = bool(sources) and read.issuperset(name for name, each in sources.items() if each.is_configured)
        arrived = select(orders.c.order_id).where(orders.c.state != OrderState.IGNORED).limit(1)
        has_order = connection.scalar(arrived) is not None
    learningcart = settings.learningcart
    steps = [
        (
            "LearningCart is set",
            learningcart.is_configured,
            f"`cartbridge init`; by hand, set {', '.join(learningcart.missing())}.",
        ),
        ("A shop is set, where orders come from", bool(sources), "`cartbridge init`; by hand, as .env.example says."),
        (
            "An offer says what a product gives",
            bool(offers.offers),
            f"In {settings.offers_file}; for what was sold, `cartbridge offers unmapped` has the lines.",
        ),
        (
            f"Orders are read from {' and '.join(sources) or 'it'}",
            is_read,
            "By `cartbridge up`, within minutes. If they are not, `cartbridge check` says why.",
        ),
        (
            "An order has come in",
            has_order,
            "By itself, with the next sale. To take in one that is there: `cartbridge ingest SOURCE ORDER_ID`.",
        ),
        ("Somebody was given access", False, "By itself, when an offer matches. If not: `cartbridge why ORDER`."),
    ]
    return [SetupStep(what=what, is_done=is_done, how=how) for what, is_done, how in steps]
