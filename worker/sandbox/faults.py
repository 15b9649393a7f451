"""Faults: which requests go wrong, how, and on which side of the effect."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, Self, get_args

from worker.sandbox.wire import Answer, Call, Request

Kind = Literal["hang", "cut", "half_answer", "status", "html", "slow", "dribble", "empty", "late", "stall"]
When = Literal["before", "after", "late"]

_ANSWERS_IN_FULL: frozenset[str] = frozenset({"slow", "dribble", "stall"})
_MAY_BE_LATE: frozenset[str] = frozenset({"cut", "late", "status", "html", "empty"})


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong, for the requests that match.

    ============ ==========================================================================================
    kind         what the client sees
    ============ ==========================================================================================
    hang         no answer for `seconds` (for ever when 0), then a cut connection
    cut          the connection is reset without a byte (closed in an orderly way with `reset=False`)
    half_answer  headers with the whole's length, the first half of the body, then a closed connection
    status       `status`, with `headers` (`{"Retry-After": "1"}`) and an error page, or `body` if given
    html         a page of HTML with `status` 200, or `body`
    slow         the right answer, `seconds` late
    dribble      the right answer, one byte every `seconds`
    empty        status 200 with nothing in it
    late         `cut`, and the effect takes place `seconds` after the connection was cut
    stall        nothing for all until `seconds` after the injection; then all are carried out, the given-up ones too
    ============ ==========================================================================================

    Error pages echo the full URL of the request, query included, as the real ones do.

    `when` says on which side of the effect it goes wrong. `before`: the request is not carried out. `after`: it is, and
    only the answer suffers. `late`: it is carried out `seconds` after the faulty answer (for cut, status, html, empty).
    Left out, it is `before` for a `status` below 500, which is a refusal, and `after` for everything else. A `slow` or
    `dribble` request is always carried out: `before` waits first, `after` waits with the answer in hand.
    """

    system: str = "*"
    operation: str = "*"
    kind: Kind = "status"
    times: int | None = 1
    """How many requests it hits; None is every one."""
    after: int = 0
    """How many matching requests it lets pass first."""
    probability: float = 1.0
    seconds: float = 0.0
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    match: Mapping[str, Any] = field(default_factory=dict)
    """Values of the query, the body's top level or the path (`id`) that must be equal as text; names in any case."""
    contains: str = ""
    """A text that some value of the query must contain, in any case: what a firewall or validation looks for."""
    gateway_seconds: float | None = None
    """Of a `stall`: when a gateway gives up on a request and answers 504 in the system's stead."""
    when: When | None = None
    reset: bool = True

    def __post_init__(self) -> None:
        """Raise `ValueError` for a fault that means nothing."""
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind is one of {', '.join(get_args(Kind))}")
        if self.when not in (None, *get_args(When)):
            raise ValueError(f"when is one of {', '.join(get_args(When))}")
        if self.when == "late" and self.kind not in _MAY_BE_LATE:
            raise ValueError(f"a {self.kind} fault cannot have a late effect")
        if self.seconds < 0 or self.after < 0 or not 0 <= self.probability <= 1:
            raise ValueError("seconds and after are at least 0, probability is between 0 and 1")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Build a fault from its JSON form; an unknown or unusable field raises `ValueError` naming it."""
        unknown = sorted(set(value) - {item.name for item in fields(cls)})
        if unknown:
            raise ValueError(f"unknown fault fields: {', '.join(unknown)}")
        try:
            return cls(**value)
        except TypeError as error:
            raise ValueError("a fault field has the wrong type") from error

    def to_json(self) -> dict[str, Any]:
        """Return the fault as a JSON object that `from_json` takes."""
        return asdict(self)

    @property
    def effect(self) -> When:
        """On which side of the effect this fault stands, defaults worked out."""
        if self.kind == "late":
            return "late"
        if self.kind in _ANSWERS_IN_FULL:
            return "after"
        if self.when is not None:
            return self.when
        return "before" if self.kind == "status" and self.status < 500 else "after"

    def matches(self, system: str, call: Call, request: Request) -> bool:
        """Tell whether a request is one that this fault is for."""
        if self.system not in ("*", system) or self.operation not in ("*", call.operation):
            return False
        wanted = self.contains.casefold()
        if wanted and not any(wanted in value.casefold() for value in request.query.values()):
            return False
        if not self.match:
            return True
        values = {name.casefold(): _text(value) for name, value in _values(call, request).items()}
        return all(values.get(name.casefold()) == _text(value) for name, value in self.match.items())

    def faulty_answer(self, request: Request) -> Answer:
        """Return what is answered in place of the truth: the error page, or nothing at all for `empty`."""
        if self.kind == "empty":
            return Answer(headers=self.headers)
        status = self.status if self.kind == "status" else 200
        if self.body is not None:
            content_type = "application/json" if self.body.lstrip()[:1] in ("{", "[", '"') else "text/html"
            return Answer(status, self.body.encode(), f"{content_type}; charset=utf-8", self.headers)
        title = f"Error {status}" if self.kind == "status" else "Site maintenance"
        page = Answer.of_html(title, f"The request {request.method} {request.url} could not be served.", status)
        return Answer(status, page.body, page.content_type, self.headers)


def _values(call: Call, request: Request) -> dict[str, Any]:
    try:
        body = request.json_object
    except ValueError:
        body = {}
    return {**body, **request.query, **call.ids}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


class FaultPlan:
    """The faults in force, in the order in which they were injected; the first that hits decides. Thread-safe."""

    def __init__(self, random_seed: int = 1) -> None:
        self._lock = threading.Lock()
        self._rng = random.Random(random_seed)  # noqa: S311 -- a repeatable choice, not a secret
        self._entries: list[_Entry] = []

    def inject(self, fault: Fault) -> None:
        """Put one more fault in force."""
        with self._lock:
            self._entries.append(_Entry(fault))

    def clear(self) -> None:
        """Put every fault out of force; requests that are already hit stay hit."""
        with self._lock:
            self._entries.clear()

    def take(self, system: str, call: Call, request: Request) -> Fault | None:
        """Return the fault that hits this request, and count it as spent once."""
        with self._lock:
            for entry in self._entries:
                if entry.spent or not entry.fault.matches(system, call, request):
                    continue
                entry.seen += 1
                if entry.seen <= entry.fault.after or self._rng.random() >= entry.fault.probability:
                    continue
                entry.hits += 1
                if entry.fault.kind != "stall":
                    return entry.fault
                return replace(entry.fault, seconds=max(entry.stall_ends_at - time.monotonic(), 0.0))
        return None

    @property
    def hits(self) -> int:
        """How many requests were hit by the faults now in force, spent ones included."""
        with self._lock:
            return sum(entry.hits for entry in self._entries)

    def describe(self) -> list[dict[str, Any]]:
        """Return each fault as JSON, with `seen` (matching requests) and `hits`."""
        with self._lock:
            return [entry.fault.to_json() | {"seen": entry.seen, "hits": entry.hits} for entry in self._entries]


@dataclass
class _Entry:
    fault: Fault
    seen: int = 0
    hits: int = 0
    injected_at: float = field(default_factory=time.monotonic)

    @property
    def stall_ends_at(self) -> float:
        return self.injected_at + self.fault.seconds

    @property
    def spent(self) -> bool:
        if self.fault.kind == "stall" and time.monotonic() >= self.stall_ends_at:
            return True
        return self.fault.times is not None and self.hits >= self.fault.times


class Waits:
    """Every wait of the sandbox, so that all of them can be ended at once: by a reset, and for good by a stop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._stopped = False

    def wait(self, seconds: float | None) -> bool:
        """Wait (None: until released); True when the time went by, False when the wait was ended early."""
        with self._lock:
            released = self._released
        return not released.wait(seconds)

    def release(self) -> None:
        """End the waits that are under way now; later ones wait again, unless stopped."""
        with self._lock:
            self._released.set()
            if not self._stopped:
                self._released = threading.Event()

    def stop(self) -> None:
        """End the waits that are under way and let no later one begin."""
        with self._lock:
            self._stopped = True
            self._released.set()
