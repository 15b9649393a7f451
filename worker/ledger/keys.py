"""Run keys and references: what makes a run one run, and an effect one effect. Neither holds personal data."""

from __future__ import annotations

import re

from worker.ledger import references

UNMAPPED = "unmapped"
UNNAMED = "unnamed"
HELD = "held"
RENEWAL = "renewal"
UNKNOWN_STATUS = "unknown-status"
PAYMENT_UNPROVEN = "payment-unproven"
REVOKE = "revoke"
REGRANT = "regrant"
LEARNER = "learner"
DUPLICATE = "duplicate"
PARTIALLY_REFUNDED = "partially-refunded"

GENERATIONS_AHEAD = 3
"""So many repetitions on purpose (`--again`) of one run in the time that a restored ledger forgot are still found."""
REFERENCE_PATTERN = re.compile(r"(?<![A-Za-z0-9_-])cb-[a-z2-7]{20}(?![A-Za-z0-9_-])")
"""A whole reference, wherever it stands in a text."""


def seat_key(source: str, order_id: str, line_id: str, seat_id: str) -> str:
    """The part of the key that names a seat: `studiocart/1109/1107/buyer`."""
    return f"{source}/{order_id}/{line_id}/{seat_id}"


def run_key(source: str, order_id: str, line_id: str, seat_id: str, grant: str) -> str:
    """The unique key of a run: `studiocart/1109/1107/buyer/501`. `grant` is the price id, or a placeholder's word."""
    return f"{seat_key(source, order_id, line_id, seat_id)}/{grant}"


def reference(key: str, step: str, generation: int) -> str:
    """Our mark on one effect: `cb-` and 20 characters (100 bits), the same for the same key, step and generation."""
    return references.reference(key, step, generation)


def later_references(key: str, step: str, generation: int) -> frozenset[str]:
    """The marks of the next generations, which a ledger restored from an older copy may have forgotten."""
    return frozenset(reference(key, step, generation + ahead) for ahead in range(1, GENERATIONS_AHEAD + 1))


def references_in(text: str | None) -> set[str]:
    """Every whole reference in a text; case does not matter, since a destination may change it."""
    return set(REFERENCE_PATTERN.findall((text or "").lower()))
