from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.records import record
from worker.cli.demo.facts import Facts
from worker.cli.demo.proof import Check
from worker.cli.demo.report import Result, print_report, where_kept
from worker.cli.demo.scenario import Progress
from worker.ledger.views.details import AttemptItem, EventItem, RunDetail, StepItem
from worker.ledger.views.overview import ReasonCount
from worker.ledger.views.records import DeliveryItem, OrderItem
from worker.ledger.views.serializers import to_json

BEGUN = datetime(2026, 3, 4, 12, tzinfo=UTC)
FOLDER = Path("/tmp/cartbridge-demo-x")


def attempt(number: int, second: int, **fields: Any) -> AttemptItem:
    values = {"kind": "call", "outcome": "ok"} | fields
    return record(AttemptItem, number=number, started_at=BEGUN + timedelta(seconds=second), **values)


def event(second: int, kind: str, actor: str, reason: str | None) -> EventItem:
    return record(EventItem, at=BEGUN + timedelta(seconds=second), kind=kind, actor=actor, reason=reason)


def run(**fields: Any) -> RunDetail:
    calls = [
        attempt(1, 1, outcome="unknown", error="the connection was cut", reference="cb-aaaa"),
        attempt(2, 3, kind="lookup", outcome="adopted", result_id="90001"),
    ]
    values: dict[str, Any] = {
        "id": "r1",
        "workflow": "enrolment",
        "state": "succeeded",
        "reason": None,
        "order_id": "3201",
        "email": "kim@example.test",
        "grant": {"price_id": 502},
        "steps": [
            record(StepItem, name="add_comped_order", state="succeeded", attempts=calls),
            record(StepItem, name="add_customer", state="pending"),
        ],
        "events": [
            event(0, "run_planned", "source", None),
            event(2, "run_recovered", "engine", "worker_vanished"),
            event(4, "run_succeeded", "engine", "a word of its own"),
        ],
    }
    return record(RunDetail, **(values | fields))


def result(*checks: Check, reviews: int = 8, trail: bool = True) -> Result:
    waiting = [run(id=f"w{number}", state="review", grant=None, steps=[]) for number in range(reviews)]
    why = record(ReasonCount, reason="unnamed_seat", count=reviews, orders=2, action="Ask the buyer.")
    facts = Facts(
        runs=(run(), *waiting),
        details=(run(), *waiting),
        orders=tuple(record(OrderItem, state=state) for state in ("planned", "planned", "ignored")),
        deliveries=(record(DeliveryItem, via="webhook", duplicate=True), record(DeliveryItem, via="poll")),
        reviews=(why,) if reviews else (),
    )
    progress = Progress(
        seconds=12.34,
        orders=3,
        webhooks=Counter(accepted=1, lost=2),
        comped_orders=1,
        comped_orders_expected=1,
        faults={"a cut": 1},
        kills=1,
        facts=facts,
    )
    return Result(progress, checks, run() if trail else None)


def printed(found: Result, folder: Path | None) -> str:
    stream = StringIO()
    print_report(Console(file=stream, width=200), found, folder)
    return stream.getvalue()


def test_everything_is_told_when_all_holds() -> None:
    text = printed(result(Check("all is well")), None)
    assert "3 sold, 2 planned, 1 ignored" in text
    assert "1 poll, 1 webhook, 1 duplicates" in text
    assert "1 made, 1 expected" in text
    assert "1 succeeded, 8 review" in text
    assert "   8  review: unnamed_seat, of 2 orders" in text
    assert "      Ask the buyer." in text
    assert "Run r1: order 3201, kim@example.test, price 502" in text
    assert "the connection was cut" in text
    assert "order 90001" in text
    assert "a word of its own" in text
    assert text.index("the connection was cut") < text.index("lookup")
    assert text.index("run_planned") < text.index("run_recovered") < text.index("run_succeeded")
    assert " ✓ all is well" in text
    assert "Everything agrees, after 12.3 s." in text
    assert "kept" not in text


def test_disagreement_and_place_are_told_when_something_does_not_hold() -> None:
    found = result(Check("all is well", ("it is [not]",)), Check("and this"), reviews=0, trail=False)
    text = printed(found, FOLDER)
    assert " ✗ all is well" in text
    assert "     it is [not]" in text
    assert "1 claim of 2 not proven." in text
    assert str(FOLDER) in text
    assert "Needs a person" not in text
    assert "Audit trail" not in text


def test_way_to_look_is_a_command_when_kept() -> None:
    assert list(where_kept(FOLDER))[1] == (f"Look into it: cartbridge --env-file {FOLDER / '.env'} runs list")


def test_summary_is_one_object_when_asked_for_json() -> None:
    found = to_json(result(Check("a", ("b",))).to_json(FOLDER))
    assert found["ok"] is False
    assert found["orders"] == {"sold": 3, "planned": 2, "ignored": 1}
    assert found["deliveries"] == {"webhook": 1, "poll": 1, "duplicates": 1}
    assert found["adopted"] == 1
    assert found["reviews"][0]["count"] == 8
    assert found["checks"] == [{"claim": "a", "holds": False, "disagreements": ["b"]}]
    assert found["folder"] == str(FOLDER)
    assert found["trail"]["id"] == "r1"
    assert result().to_json(None)["folder"] is None
