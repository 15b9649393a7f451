"""Our mark on one effect: what makes it findable by whoever knows the run, the step and the generation."""

from __future__ import annotations

import hashlib
from base64 import b32encode

_CHARACTERS = 20


def reference(key: str, step: str, generation: int) -> str:
    """`cb-` and 20 characters (100 bits), the same for the same run key, step and generation. No personal data."""
    digest = hashlib.sha256(f"{key}\n{step}\n{generation}".encode()).digest()
    return "cb-" + b32encode(digest).decode().lower()[:_CHARACTERS]
