"""Names in which a shop's page left its entities."""

from __future__ import annotations

import html
from typing import Final

_LONGEST: Final = 20_000
"""What stands beyond is not read: no name is so long."""


def decoded(text: str | None) -> str:
    """Return a name as people read it: its entities decoded, white space evened out; empty for none."""
    return " ".join(html.unescape((text or "")[:_LONGEST]).split())
