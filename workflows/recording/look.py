"""How an order came to be looked at, and what a look came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from worker.ledger.orders.operator_entries import NamedSeat
from worker.ledger.states import Actor, Via
from worker.reasons import Reason
from workflows.planning.model import Plan
from workflows.planning.seat_matching import Place


@dataclass(frozen=True)
class Look:
    """How an order came to be looked at."""

    fetched_at: datetime
    """When the request for it was sent."""
    actor: str = Actor.SOURCE
    baseline: bool = False
    manual: bool = False
    replan: bool = False
    delivery_ids: tuple[str, ...] = ()
    """Leased deliveries this look answers."""
    via: Via | None = None
    """How the order arrived, where no delivery of before says so: the look adds one of its own."""
    polled: bool = False
    is_misdated: bool = False
    """In the list that showed it, its date contradicts those of the orders around it."""
    accepted: frozenset[Place] = frozenset()
    """Seats whose learners' names and addresses the operator says go together."""
    named: tuple[NamedSeat, ...] = ()
    """In a preview: seats that the operator would name."""
    start_at: datetime | None = None
    """The operator's own start for this look: what was made since then counts as new, also where the first sweep took
    it as handled. None: the source's."""
    doubt: Reason | None = None
    """Why what was read may be old news: what it would start or settle is asked instead."""


@dataclass
class Recorded:
    """What a look came to."""

    plan: Plan
    changed: bool
    """The order's content was new to the ledger."""
    stale: bool = False
    """Newer content was recorded before: nothing was done."""
    created: list[str] = field(default_factory=list)
    """The runs that were made, in any state."""
    ready: list[str] = field(default_factory=list)
    """The runs that are due now and should be sent to the workers."""
    refused: list[str] = field(default_factory=list)
    """Actions that the ledger's state, changed meanwhile, did not allow; they are looked at again."""
