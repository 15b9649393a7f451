"""How a destination breaks down in these tests, and what its breaker makes of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.faults.harness.product import Rig
from worker.ledger.runs import breaker
from worker.ledger.runs.breaker import PROBE_SECONDS, Breaker, BreakerState
from worker.sandbox import Fault


def break_down(rig: Rig, operation: str = "*", kind: Any = "status", **fault: Any) -> None:
    """From now on no request is carried out, and each is answered by a page that says so."""
    rig.sandbox.inject(Fault("learningcart", operation, kind=kind, **({"when": "before", "times": None} | fault)))


def enrol_many(rig: Rig, count: int, *, first: int = 7001) -> list[str]:
    return [rig.enrol(number, email=f"learner-{number}@example.test") for number in range(first, first + count)]


def breaker_of(rig: Rig) -> Breaker | None:
    with rig.ledger.read() as connection:
        return breaker.read(connection, "learningcart")


def state_of(rig: Rig) -> BreakerState | None:
    found = breaker_of(rig)
    return None if found is None else found.state


def opened(rig: Rig, count: int = 8, operation: str = "*", **fault: Any) -> list[str]:
    """Runs that were due when LearningCart broke down, and the breaker open by them."""
    run_ids = enrol_many(rig, count)
    break_down(rig, operation, **fault)
    rig.go_on()
    assert state_of(rig) is BreakerState.OPEN
    return run_ids


def let_probe_come(rig: Rig) -> None:
    rig.clock.move(PROBE_SECONDS + 1)


def states(rig: Rig) -> Counter[str]:
    return Counter(row["state"] for row in rig.rows("runs"))


def kinds_of_breaker_events(rig: Rig) -> list[str]:
    return [row["kind"] for row in rig.rows("events") if row["kind"].startswith("breaker_")]
