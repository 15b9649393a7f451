"""Run keys and references: what makes a run one run, and an effect one effect. Neither holds personal data."""

from __future__ import annotations

import hashlib
import re
from base64 import b32encode

UNMAPPED = "unmapped"
UNNAMED = "unnamed"
HELD = "held"
RENEWAL = "renewal"
UNKNOWN_STATUS = "unknown-status"
REVOKE = "revoke"
REGRANT = "regrant"
LEARNER = "learner"
DUPLICATE = "duplicate"
PARTIALLY_REFUNDED = "partially-refunded"

_REFERENCE_CHARACTERS = 20
REFERENCE_PATTERN = re.compile(r"(?<![A-Za-z0-9-])cb-[a-z2-7]{20}(?![A-Za-z0-9-])")
"""A whole reference, wherever it stands in a text."""


def seat_key(source: str, order_id: str, line_id: str, seat_id: str) -> str:
    """The part of the key that names a seat: `studiocart/1109/1107/buyer`."""
    return f"{source}/{order_id}/{line_id}/{seat_id}"


def run_key(source: str, order_id: str, line_id: str, seat_id: str, grant: str) -> str:
    """The unique key of a run: `studiocart/1109/1107/buyer/501`. `grant` is the price id, or a placeholder's word."""
    return f"{seat_key(source, order_id, line_id, seat_id)}/{grant}"


def reference(key: str, step: str, generation: int) -> str:
    """Our mark on one effect: `cb-` and 20 characters (100 bits), the same for the same key, step and generation."""
    digest = hashlib.sha256(f"{key}\n{step}\n{generation}".encode()).digest()
    return "cb-" + b32encode(digest).decode().lower()[:_REFERENCE_CHARACTERS]


def references_in(text: str | None) -> set[str]:
    """Every whole reference in a text; case does not matter, since a destination may change it."""
    return set(REFERENCE_PATTERN.findall((text or "").lower()))
