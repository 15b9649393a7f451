"""What was sold, as the shops know it, and what LearningCart made of it, as its own log has it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

_NAMED_ORDER = re.compile(r"\b(studiocart|frontcore) order (\d+)\b")


class Access(StrEnum):
    """What a seat's learner must have at the end."""

    DUE = "due"
    WITHDRAWN = "withdrawn"
    """It was paid, and the source took it back."""
    NOT_DUE = "not due"
    """Nobody paid for it, or it gives no access."""


@dataclass(frozen=True)
class Seat:
    """One learner's access from one order line: one comped order at one of the prices, whatever happens."""

    source: str
    order_id: str
    email: str
    price_ids: tuple[int, ...]
    """Several: an offer's choice by a name."""
    line_id: str | None = None
    """None: the order's lines are not told apart; so with the place on the line."""
    seat_id: str | None = None

    @property
    def key(self) -> str:
        """The run's key at the first price, as DESIGN's promise 2 spells it."""
        return f"{self.source}/{self.order_id}/{self.line_id}/{self.seat_id}/{self.price_ids[0]}"

    def __str__(self) -> str:
        return f"{self.source} order {self.order_id}, {self.email}, price {self.price_ids[0]}"


@dataclass(frozen=True)
class CompedOrder:
    """One comped order that was made. Its comments name the source's order: this is independent of the ledger."""

    id: str
    source: str
    order_id: str
    """The source's; empty where the comments name none."""
    email: str
    price_id: int
    at: datetime

    @classmethod
    def of_effect(cls, effect: Mapping[str, Any]) -> Self:
        """From an `addCompOrder` in the sandbox's log, as JSON has it."""
        named = _NAMED_ORDER.search(effect["comments"])
        source, order_id = named.groups() if named else ("", "")
        made_at = datetime.fromisoformat(effect["at"])
        return cls(str(effect["order_id"]), source, order_id, effect["email"], int(effect["price_id"]), made_at)

    def is_for(self, seat: Seat) -> bool:
        """Whether it gives this seat its access."""
        return (
            (self.source, self.order_id) == (seat.source, seat.order_id)
            and self.price_id in seat.price_ids
            and self.email.casefold() == seat.email.casefold()
        )

    def __str__(self) -> str:
        return f"order {self.id} at {self.at:%H:%M:%S.%f}"


def comped_orders(effects: Iterable[Mapping[str, Any]]) -> list[CompedOrder]:
    """Every comped order among the sandbox's effects, oldest first."""
    return [CompedOrder.of_effect(effect) for effect in effects if effect["operation"] == "addCompOrder"]
