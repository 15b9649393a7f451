"""What really happened: the append-only log of changes in the sandbox, and the count of every request."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Effect:
    """One change that took place, whether or not its answer ever arrived. Holds no password and no token."""

    number: int
    """1, 2, 3, … in the order in which the changes took place."""
    at: datetime
    system: str
    operation: str
    facts: Mapping[str, Any]
    """What changed: `customer_id`, `email`, `price_id`, `group_id`, `order_id`, `comments`, as far as they apply."""

    def to_json(self) -> dict[str, Any]:
        """Return the effect as one flat JSON object, `at` in ISO 8601."""
        head = {"number": self.number, "at": self.at.isoformat(), "system": self.system, "operation": self.operation}
        return head | dict(self.facts)


class EffectLog:
    """Append-only, thread-safe. With a `path`, every effect is also appended there as one JSON line before it counts.

    `OSError` from that file goes to the caller: a log that cannot be written must not be believed.
    """

    def __init__(self, now: Callable[[], datetime], path: Path | None = None) -> None:
        self._now = now
        self._path = path
        self._lock = threading.Lock()
        self._effects: list[Effect] = []
        self._requests: Counter[tuple[str, str]] = Counter()

    def record(self, system: str, operation: str, **facts: Any) -> Effect:
        """Append one change and return it with its number."""
        with self._lock:
            effect = Effect(len(self._effects) + 1, self._now(), system, operation, facts)
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(effect.to_json(), ensure_ascii=False) + "\n")
            self._effects.append(effect)
            return effect

    def count_request(self, system: str, operation: str) -> None:
        """Count one request, answered or not."""
        with self._lock:
            self._requests[system, operation] += 1

    def effects(self, system: str = "*", operation: str = "*", *, after: int = 0) -> list[Effect]:
        """Return the effects of a system and operation (`*` is any) with a number above `after`, oldest first."""
        with self._lock:
            return [
                effect
                for effect in self._effects[after:]
                if system in ("*", effect.system) and operation in ("*", effect.operation)
            ]

    def requests(self, system: str = "*", operation: str = "*") -> int:
        """Return how many requests of a system and operation (`*` is any) arrived."""
        with self._lock:
            return sum(
                count
                for (its_system, its_operation), count in self._requests.items()
                if system in ("*", its_system) and operation in ("*", its_operation)
            )

    def request_counts(self) -> dict[str, dict[str, int]]:
        """Return the counts as `{system: {operation: count}}`."""
        counts: dict[str, dict[str, int]] = {}
        with self._lock:
            for (system, operation), count in sorted(self._requests.items()):
                counts.setdefault(system, {})[operation] = count
        return counts

    def clear(self) -> None:
        """Forget effects and counts, and start numbering again. A file keeps what it has."""
        with self._lock:
            self._effects.clear()
            self._requests.clear()
