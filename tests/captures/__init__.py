"""Payloads as the vendors' systems sent them, or in their shape: tests read them whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


def capture(system: str, name: str) -> Any:
    """One payload, parsed from JSON."""
    return json.loads((_HERE / system / name).read_text(encoding="utf-8"))
