"""Ids for the ledger's rows: short, sortable by time, readable aloud."""

from __future__ import annotations

import secrets
from datetime import datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_RANDOM_CHARACTERS = 10


def new_id(now: datetime) -> str:
    """A new id of 20 characters in lower-case Crockford base 32: 10 of the time in milliseconds, 10 of chance.

    Sorts by time. The time part is not secret and the chance part is not a credential.
    """
    milliseconds = int(now.timestamp() * 1000)
    head = "".join(_ALPHABET[(milliseconds >> shift) & 31] for shift in range(45, -1, -5))
    return head + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARACTERS))
