from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from worker.cli.demo_facts import Facts
from worker.cli.demo_story import CHAPTERS, Score
from worker.cli.demo_view import LiveView, PlainView, marks


class AsciiStream(StringIO):
    encoding = "ascii"


def score(seconds: float, **fields: object) -> Score:
    facts = Facts(
        runs=({"state": "succeeded"}, {"state": "review"}),
        deliveries=({"via": "poll", "duplicate": False}, {"via": "webhook", "duplicate": True}),
    )
    made = Score(
        seconds=seconds,
        deadline_seconds=55,
        orders=3,
        orders_planned=4,
        comped_orders=1,
        comped_orders_expected=1,
        faults={"a cut": 1, "a hang": 0},
        kills=1,
        facts=facts,
    )
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_lines_are_plain_when_nobody_watches() -> None:
    stream = StringIO()
    view = PlainView(Console(file=stream, width=250))
    view.begin(0, 0.0)
    view.update(score(1.0))
    view.say("something happened", 2.5)
    view.update(score(4.0))
    view.update(score(8.0))  # nothing new
    view.begin(len(CHAPTERS), 9.0)
    view.close()
    assert [line.rstrip() for line in stream.getvalue().splitlines()] == [
        f"  0.0 s  1/{len(CHAPTERS)} {CHAPTERS[0]}",
        "  2.5 s      something happened",
        (
            "  4.0 s      deliveries 1 by poll, 1 by webhook, duplicates 1 refused, runs 1 succeeded, 1 review, "
            "comped orders 1 of 1 in LearningCart's books, faults 1 of 2 have struck, kills 1"
        ),
    ]


@pytest.mark.parametrize("width", [80, 140])
def test_picture_fits_when_the_terminal_is_narrow_or_wide(width: int) -> None:
    stream = StringIO()
    console = Console(file=stream, width=width, height=24, force_terminal=True, color_system=None)
    view = LiveView(console)
    view.update(Score())
    view.begin(1, 1.0)
    for number in range(7):
        view.say(f"news {number}", float(number))
    view.update(score(12.5))
    view.close()
    picture = stream.getvalue().rsplit("Cartbridge demo", 1)[1]
    assert "3 of 4 orders sold" in picture
    assert "12.5 of 55 s" in picture
    assert f"✓  {CHAPTERS[0]}" in picture
    assert f"▸  {CHAPTERS[1]}" in picture
    assert "1 succeeded, 1 review" in picture
    assert "news 6" in picture
    assert "news 1" not in picture
    assert max(len(line) for line in stream.getvalue().splitlines() if "\x1b" not in line) <= width


def test_marks_are_letters_when_the_terminal_knows_no_others() -> None:
    assert marks(Console(file=AsciiStream())) == ("ok", "NO")
    assert marks(Console(file=StringIO())) == ("✓", "✗")
