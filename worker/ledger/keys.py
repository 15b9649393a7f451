"""Run keys, references and row ids: what makes a run one run, and an effect one effect. None holds personal data."""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import b32encode
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, and_, tuple_

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
_REFERENCE_CHARACTERS = 20
REFERENCE_PATTERN = re.compile(r"(?<![A-Za-z0-9_-])cb-[a-z2-7]{20}(?![A-Za-z0-9_-])")
"""A whole reference, wherever it stands in a text."""
_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_RANDOM_CHARACTERS = 10


def new_id(now: datetime) -> str:
    """A new id for a row: 20 characters in lower-case Crockford base 32: 10 of the time in milliseconds, 10 of chance.

    Sorts by time. The time part is not secret and the chance part is not a credential.
    """
    milliseconds = int(now.timestamp() * 1000)
    head = "".join(_ID_ALPHABET[(milliseconds >> shift) & 31] for shift in range(45, -1, -5))
    return head + "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_RANDOM_CHARACTERS))


def seat_key(source: str, order_id: str, line_id: str, seat_id: str) -> str:
    """The part of the key that names a seat: `studiocart/1109/1107/buyer`."""
    return f"{source}/{order_id}/{line_id}/{seat_id}"


def run_key(source: str, order_id: str, line_id: str, seat_id: str, grant: str) -> str:
    """The unique key of a run: `studiocart/1109/1107/buyer/501`. `grant` is the price id, or a placeholder's word."""
    return f"{seat_key(source, order_id, line_id, seat_id)}/{grant}"


def reference(key: str, step: str, generation: int) -> str:
    """Our mark on one effect: `cb-` and 20 characters (100 bits), the same for the same key, step and generation."""
    digest = hashlib.sha256(f"{key}\n{step}\n{generation}".encode()).digest()[:15]
    return "cb-" + b32encode(digest).decode().lower()[:_REFERENCE_CHARACTERS]


def later_references(key: str, step: str, generation: int) -> frozenset[str]:
    """The marks of the next generations, which a ledger restored from an older copy may have forgotten."""
    return frozenset(reference(key, step, generation + ahead) for ahead in range(1, GENERATIONS_AHEAD + 1))


def references_in(text: str | None) -> set[str]:
    """Every whole reference in a text; case does not matter, since a destination may change it."""
    return set(REFERENCE_PATTERN.findall((text or "").lower()))


def is_of_order(table: Table, source: str | None, order_id: str | None) -> ColumnElement[bool]:
    """A condition: a row is of this order, or is it."""
    return and_(table.c.source == source, table.c.order_id == order_id)


def is_among(columns: Sequence[Column[Any]], keys: Sequence[Sequence[Any]]) -> ColumnElement[bool]:
    """A condition: these columns hold one of the keys, of a part a column.

    Each column's values are named by themselves too, as SQLite finds no index for a list of rows alone.
    """
    each = (column.in_(sorted(set(values))) for column, values in zip(columns, zip(*keys, strict=True), strict=True))
    return and_(*each, tuple_(*columns).in_([tuple(key) for key in keys]))
