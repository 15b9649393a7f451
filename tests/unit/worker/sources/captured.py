"""What Studiocart's own plugin sent and answered, whole: see `tests/captures/studiocart`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from worker.clients.studiocart import models as records
from worker.sources.order import Order
from worker.sources.studiocart import Trials, to_order

FOLDER = Path(__file__).parents[3] / "captures" / "studiocart"


def captured(name: str) -> Any:
    """One capture's JSON."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def body_of(name: str) -> Any:
    """The JSON body of a captured webhook."""
    return json.loads(captured(name)["request"]["body"])


def order_of(name: str, *, trials: Trials = "wait") -> Order:
    """An order from a captured REST answer; the first of a list."""
    answer = captured(name)
    return to_order(records.Order.model_validate(answer[0] if isinstance(answer, list) else answer), trials=trials)
