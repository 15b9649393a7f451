from __future__ import annotations

from io import StringIO

from rich.console import Console

from tests.records import record
from worker.cli.demo.facts import Facts
from worker.cli.demo.view import Progress, View
from worker.ledger.views.records import DeliveryItem, RunItem


def progress(seconds: float) -> Progress:
    facts = Facts(
        runs=(record(RunItem, state="succeeded"), record(RunItem, state="review")),
        deliveries=(record(DeliveryItem, via="poll"), record(DeliveryItem, via="webhook", duplicate=True)),
    )
    return Progress(
        seconds=seconds,
        orders=3,
        orders_planned=4,
        comped_orders=1,
        comped_orders_expected=1,
        faults={"a cut": 1, "a hang": 0},
        kills=1,
        facts=facts,
    )


def test_lines_are_plain_when_nobody_watches() -> None:
    stream = StringIO()
    view = View(Console(file=stream, width=300))
    view.update(progress(1.0))
    view.say("something happened", 2.5)
    view.update(progress(4.0))
    view.update(progress(8.0))  # nothing new
    view.close()
    assert [line.rstrip() for line in stream.getvalue().splitlines()] == [
        "  2.5 s  something happened",
        (
            "  4.0 s      orders 3 of 4 sold, deliveries 1 by poll, 1 by webhook, duplicates 1 told nothing new and "
            "started nothing, "
            "runs 1 succeeded, 1 review, comped orders 1 of 1 in LearningCart's books, "
            "faults 1 of 2 have struck, kills 1 by SIGKILL, while a call was under way"
        ),
    ]


def test_counters_move_below_the_lines_when_somebody_watches() -> None:
    stream = StringIO()
    view = View(Console(file=stream, width=80, height=24, force_terminal=True, color_system=None))
    view.update(Progress())
    view.update(progress(12.5))
    view.say("something happened", 12.6)
    picture = stream.getvalue().rsplit("something happened", 1)[1]
    view.close()
    assert "12.5 s" in picture
    assert "3 of 4 sold" in picture
    assert "1 succeeded, 1 review" in picture
    assert max(len(line) for line in stream.getvalue().splitlines() if "\x1b" not in line) <= 80
