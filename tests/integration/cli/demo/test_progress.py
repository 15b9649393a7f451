from __future__ import annotations

from tests.records import record
from worker.cli.demo.facts import Facts
from worker.cli.demo.progress import Progress
from worker.ledger.views.records import DeliveryItem, RunItem


def test_counters_say_how_things_stand() -> None:
    facts = Facts(
        runs=(record(RunItem, state="succeeded"), record(RunItem, state="review")),
        deliveries=(record(DeliveryItem, via="poll"), record(DeliveryItem, via="webhook", duplicate=True)),
    )
    progress = Progress(
        orders=3,
        orders_planned=4,
        comped_orders=1,
        comped_orders_expected=1,
        faults={"a cut": 1, "a hang": 0},
        kills=1,
        facts=facts,
    )
    assert {name: str(value) for name, value in progress.counters()} == {
        "orders": "3 of 4 sold",
        "deliveries": "1 by poll, 1 by webhook",
        "duplicates": "1 told nothing new and started nothing",
        "runs": "1 succeeded, 1 review",
        "comped orders": "1 of 1 in LearningCart's books",
        "faults": "1 of 2 have struck",
        "kills": "1 by SIGKILL, while a call was under way",
    }
