"""What a reconciliation finds: each with its kind, a sentence, ids without personal data, and a command to act by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """How two books differ."""

    MISSING = "missing"
    """Something that should be there is not: an order, a seat's run, an effect."""
    EXTRA = "extra"
    """An effect that no succeeded run claims."""
    DUPLICATE = "duplicate"
    """Two effects where there should be one."""
    STALE = "stale"
    """Access whose order is refunded, cancelled, removed or gone."""
    UNCHECKED = "unchecked"
    """A comparison that could not be made. It says nothing about what it would have found."""


class Cause(StrEnum):
    """What exactly was found. Stable: findings are filtered by it."""

    ORDER_NOT_INGESTED = "order_not_ingested"
    ORDER_OUTDATED = "order_outdated"
    SEAT_WITHOUT_RUN = "seat_without_run"
    EFFECT_GONE = "effect_gone"
    EFFECT_NEVER_MADE = "effect_never_made"
    LANDED_EFFECT = "landed_effect"
    UNKNOWN_REFERENCE = "unknown_reference"
    LOST_REVOCATION = "lost_revocation"
    SECOND_EFFECT = "second_effect"
    DUPLICATE_OPEN = "duplicate_open"
    HANDMADE_TWIN = "handmade_twin"
    REVOCATION_OPEN = "revocation_open"
    ORDER_GONE = "order_gone"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True)
class Finding:
    """One difference between two books."""

    kind: Kind
    cause: Cause
    sentence: str
    command: str
    """What to do about it, as it can be typed; TEXT is the operator's to write."""
    source: str | None = None
    order_id: str | None = None
    run_id: str | None = None
    effect_ids: tuple[str, ...] = ()
    """LearningCart's order ids."""
    reference: str | None = None
    """Our mark on the effect, where it carries one."""
    is_safe_to_fix: bool = False
    """`--fix` may act: take the order in by the normal rules, adopt an effect that is there, or ask a person. It never
    makes an effect."""
    is_sign_of_restore: bool = False
    """An effect of ours that the ledger does not know, and that no recovery explains."""
    done: str | None = None
    """What `--fix` did about it, or why it could not."""
    is_settled: bool = False
    """`--fix` left nothing to do."""

    @property
    def mark(self) -> str:
        """The same for the same finding, whenever it is found."""
        return "/".join(
            [self.cause, self.source or "", self.order_id or "", self.run_id or "", ",".join(self.effect_ids)]
        )

    def with_result(self, done: str, *, is_settled: bool) -> Finding:
        """The finding after `--fix`."""
        return replace(self, done=done, is_settled=is_settled)

    def shape(self) -> dict[str, Any]:
        """As JSON; ids are strings."""
        return {
            "kind": self.kind,
            "cause": self.cause,
            "sentence": self.sentence,
            "command": self.command,
            "source": self.source,
            "order_id": self.order_id,
            "run_id": self.run_id,
            "learningcart_order_ids": list(self.effect_ids),
            "reference": self.reference,
            "fixable": self.is_safe_to_fix,
            "done": self.done,
            "settled": self.is_settled,
        }


def fix_command(since: datetime) -> str:
    """The command that settles what is safe to settle."""
    return f"cartbridge reconcile --since {since:%Y-%m-%dT%H:%M}Z --fix"


def unchecked(sentence: str, command: str = "cartbridge check", **ids: Any) -> Finding:
    """A comparison that could not be made."""
    return Finding(Kind.UNCHECKED, Cause.NOT_CHECKED, sentence, command, **ids)
