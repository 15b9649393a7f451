"""Whether an order was made before its source's start, and what follows from that. Pure.

A date decides, where the source keeps one. Studiocart computes its dates from the site's present time zone, and shifts
them when a payment is confirmed by a gateway's event: there the order's id decides as well, because ids only rise. The
mark is the highest id at the start; what lies above it was made since, unless it was imported.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from worker.sources.order import Order
from workflows.planning.model import WHOLE_ORDER, KnownRun, Situation

REDATED_BY_AT_MOST = timedelta(hours=48)
"""Zones lie at most 26 hours apart; a gateway's event shifts a date by twice the site's offset, at most 28 hours."""


class Age(Enum):
    """What is known of the moment an order was made."""

    NEW = "new"
    """Since the start."""
    OLDER = "older"
    """Before it."""
    UNDATED = "undated"
    """Its source does not say when."""
    CONTRADICTED = "contradicted"
    """Its id says one thing and its date the other: an import, a restore, or a date that was shifted."""


class StartDecision(Enum):
    """What the start means for a paid order."""

    PLAN = "plan"
    IGNORE = "ignore"
    """It is taken as handled."""
    HOLD = "hold"
    """Its seats are a question to a person."""


@dataclass(frozen=True)
class Start:
    """Where a source starts."""

    at: datetime | None = None
    """None: it has no start, and everything is new."""
    mark: int | None = None
    """The highest id at the start; None where ids say nothing, or no list was read yet: then dates decide alone."""
    is_swept: bool = False
    """The first sweep is complete: what it did not find at or below the mark was not there."""


def age_of(order_id: str, created_at: datetime | None, start: Start) -> Age:
    """When an order was made, as far as its id and its date tell."""
    if start.at is None:
        return Age.NEW
    if start.mark is not None and order_id.isdecimal():
        if int(order_id) > start.mark:
            is_imported = created_at is not None and created_at < start.at - REDATED_BY_AT_MOST
            return Age.CONTRADICTED if is_imported else Age.NEW
        if start.is_swept:
            return _below_mark(created_at, start.at)
    if created_at is None:
        return Age.UNDATED
    return Age.OLDER if created_at < start.at else Age.NEW


def _below_mark(created_at: datetime | None, start_at: datetime) -> Age:
    """An id of before the mark that the first sweep did not find; new only by a date that no shift explains."""
    if created_at is None or start_at <= created_at < start_at + REDATED_BY_AT_MOST:
        return Age.CONTRADICTED
    return Age.OLDER if created_at < start_at else Age.NEW


def misdated(orders: Iterable[tuple[str, datetime | None]], start_at: datetime) -> frozenset[str]:
    """The ids that are dated shortly before the start although a lower one is dated since. `orders`: ids and dates."""
    found: set[str] = set()
    is_since = False
    dated = [(int(order_id), order_id, at) for order_id, at in orders if at is not None and order_id.isdecimal()]
    for _, order_id, created_at in sorted(dated, key=lambda each: each[0]):
        if created_at >= start_at:
            is_since = True
        elif is_since and created_at >= start_at - REDATED_BY_AT_MOST:
            found.add(order_id)
    return frozenset(found)


@dataclass(frozen=True)
class Sighting:
    """How a paid order was come by, for the decision of the start."""

    is_decided: bool = False
    """It was taken to be from before the start, and that is final."""
    seen_before: bool = False
    is_sweep: bool = False
    """The look takes note of what exists, as the first sweep does."""
    is_manual: bool = False
    """The operator named the order."""
    is_in_hand: bool = False
    """It has runs, or waits for its subscription: it is a question already."""
    is_another_buyers: bool = False
    """Its id was another buyer's when that was decided: a restored shop gives ids anew."""


def decide(age: Age, sighting: Sighting) -> StartDecision:
    """Whether a paid order is planned, ignored or held.

    A decision stays, whatever the date says later; the operator who names the order makes it a question.
    """
    if sighting.is_decided:
        is_question = sighting.is_manual or sighting.is_in_hand or sighting.is_another_buyers
        return StartDecision.HOLD if is_question else StartDecision.IGNORE
    if sighting.seen_before or age is Age.NEW or (age is Age.UNDATED and not sighting.is_sweep):
        return StartDecision.PLAN
    if age is Age.OLDER and sighting.is_sweep and not sighting.is_manual and not sighting.is_in_hand:
        return StartDecision.IGNORE
    return StartDecision.HOLD


def start_decision(order: Order, situation: Situation, runs: Collection[KnownRun]) -> StartDecision:
    """What the source's start means for a paid order in its situation, given all of its runs.

    Of an order that was refunded, or of a status nobody had ruled on, and of one that a setting makes paid, nobody
    knows whether it was handled before the start, unless its seats were planned since.
    """
    is_planned = any(run.line_id != WHOLE_ORDER for run in runs)
    start = Start(situation.start_at, situation.mark, is_swept=situation.is_swept)
    age = age_of(order.id, order.created_at, start)
    sighting = Sighting(
        is_decided=situation.before_start,
        seen_before=situation.seen_before and (situation.is_tracked or is_planned),
        is_sweep=situation.baseline,
        is_manual=situation.manual,
        is_in_hand=bool(runs) or situation.is_awaited,
        is_another_buyers=situation.is_another_buyers,
    )
    return decide(Age.CONTRADICTED if situation.is_misdated and age is Age.OLDER else age, sighting)
