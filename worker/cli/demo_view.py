"""How the demo's progress is shown: a picture that moves on a terminal, plain lines everywhere else."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from worker.cli.demo_story import CHAPTERS, Score
from worker.cli.printing import STATE_STYLES
from worker.ledger.states import RunState

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEWS_LINES: Final = 5
_SIDE_BY_SIDE_COLUMNS: Final = 118
_BAR_COLUMNS: Final = 24
_LINE_EVERY_SECONDS: Final = 3.0


def marks(console: Console) -> tuple[str, str]:
    """The signs for what holds and what does not, as far as the console can write them."""
    return ("ok", "NO") if console.options.ascii_only else ("✓", "✗")


class PlainView:
    """A line for each thing that happens, and how things stand every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told_at = 0.0
        self._told = ""

    def begin(self, chapter: int, seconds: float) -> None:
        """Show a chapter's heading."""
        if chapter < len(CHAPTERS):
            self._line(f"{chapter + 1}/{len(CHAPTERS)} {CHAPTERS[chapter]}", seconds, "bold")

    def say(self, text: str, seconds: float) -> None:
        """Show a line."""
        self._line(f"    {text}", seconds)

    def update(self, score: Score) -> None:
        """Show a line if something has changed, and not too often."""
        if score.seconds - self._told_at < _LINE_EVERY_SECONDS:
            return
        text = ", ".join(f"{name} {value.plain}" for name, value in _counters(score))
        if text != self._told:
            self._told_at, self._told = score.seconds, text
            self._line(f"    {text}", score.seconds, "dim")

    def close(self) -> None:
        """Nothing is left to be closed."""

    def _line(self, text: str, seconds: float, style: str = "") -> None:
        self._console.print(Text(f"{seconds:5.1f} s  {text}", style=style))


class LiveView:
    """Chapters, counters and the latest news, drawn anew on every update. Close it before anything else is printed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._chapter = 0
        self._news: deque[Text] = deque(maxlen=_NEWS_LINES)
        self._score = Score()
        # Drawn by us alone: no thread of Rich's shares the story's state.
        self._live = Live(console=console, auto_refresh=False, get_renderable=self._picture, vertical_overflow="crop")
        self._live.start()

    def begin(self, chapter: int, seconds: float) -> None:  # noqa: ARG002 -- the heading shows the time
        """Move the mark to a chapter."""
        self._chapter = chapter
        self._live.refresh()

    def say(self, text: str, seconds: float) -> None:
        """Add to the news."""
        self._news.append(Text.assemble((f"{seconds:5.1f} s  ", "dim"), text))
        self._live.refresh()

    def update(self, score: Score) -> None:
        """Draw how things stand."""
        self._score = score
        self._live.refresh()

    def close(self) -> None:
        """Leave the last picture standing. Safe to repeat."""
        self._live.stop()

    def _picture(self) -> Group:
        chapters, counters = self._chapters(), self._counters()
        if self._console.width >= _SIDE_BY_SIDE_COLUMNS:
            body = Table.grid(padding=(0, 3))
            body.add_row(chapters, counters)
            parts: list[RenderableType] = [self._heading(), Text(), body, Text(), *self._news]
        else:
            parts = [self._heading(), Text(), chapters, Text(), counters, Text(), *self._news]
        return Group(*parts, *(Text() for _ in range(_NEWS_LINES - len(self._news))))

    def _heading(self) -> Table:
        score = self._score
        heading = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=max(score.orders_planned, 1), completed=score.orders, width=_BAR_COLUMNS)
        heading.add_row(
            Text("Cartbridge demo", style="bold"),
            bar,
            Text(f"{score.orders} of {score.orders_planned} orders sold"),
            Text(f"{score.seconds:.1f} of {score.deadline_seconds:.0f} s", style="dim"),
        )
        return heading

    def _chapters(self) -> Table:
        table = Table.grid(padding=(0, 1))
        table.add_column(width=2)
        table.add_column(overflow="ellipsis", no_wrap=True)
        done, _ = marks(self._console)
        now = ">" if self._console.options.ascii_only else "▸"
        for number, title in enumerate(CHAPTERS):
            if number < self._chapter:
                table.add_row(Text(done, style="green"), Text(title, style="green"))
            elif number == self._chapter:
                table.add_row(Text(now, style="bold cyan"), Text(title, style="bold"))
            else:
                table.add_row("", Text(title, style="dim"))
        return table

    def _counters(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="ellipsis", no_wrap=True)
        for name, value in _counters(self._score):
            table.add_row(name, value)
        return table


def _counters(score: Score) -> Iterator[tuple[str, Text]]:
    ways = score.facts.deliveries_by_way()
    yield "deliveries", Text(", ".join(f"{count} by {way}" for way, count in sorted(ways.items())) or "0")
    yield "duplicates", Text(f"{score.facts.duplicates} refused")
    states = score.facts.runs_by_state()
    shown = [(f"{states[state]} {state}", STATE_STYLES[state]) for state in RunState if states[state]]
    yield "runs", Text(", ").join(Text(text, style) for text, style in shown) if shown else Text("0")
    complete = score.comped_orders == score.comped_orders_expected
    comped = f"{score.comped_orders} of {score.comped_orders_expected} in LearningCart's books"
    yield "comped orders", Text(comped, style="green" if complete else "")
    yield (
        "faults",
        Text(f"{score.faults_hit} of {len(score.faults)} have struck", style="yellow" if score.faults_hit else ""),
    )
    yield "kills", Text(str(score.kills), style="red" if score.kills else "")
