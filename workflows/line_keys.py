"""Lines that were planned under a name: which line of the order each is now, so that it keeps its key. Pure.

An earlier version of Cartbridge, or of Studiocart's plugin, knew a line by its product's name alone, and a name follows
later renamings. A renamed line under a new key would be a second enrolment. So a line that was planned under a name is
found again by the product's id that the version it was planned from shows, else by its name. Where it is not found,
any line that came since may be it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from worker.sources.order import Line, Order
from worker.sources.studiocart_lines import is_name_id, is_same_name
from workflows.plan import ENROLMENT, KnownRun, PlannedLine

SOURCE = "studiocart"
"""The source whose lines may be known by names."""


@dataclass(frozen=True)
class LineKeys:
    """How the lines of an order bear the keys of before."""

    kept: Mapping[str, str] = field(default_factory=dict)
    """The id a line was planned under, by its own."""
    lost_beside: frozenset[str] | None = None
    """The lines that stood beside one that is lost; None while none is lost."""

    def apply(self, order: Order) -> Order:
        """The order whose lines bear the ids they were planned under."""
        if not self.kept:
            return order
        lines = tuple(line.model_copy(update={"id": self.kept.get(line.id, line.id)}) for line in order.lines)
        return order.model_copy(update={"lines": lines})

    def apply_to_runs(self, runs: Iterable[KnownRun]) -> tuple[KnownRun, ...]:
        """The runs at those ids, also any that were planned under a line's own."""
        return tuple(replace(run, line_id=self.kept.get(run.line_id, run.line_id)) for run in runs)

    def may_be_lost(self, line: Line) -> bool:
        """Whether a line may be the one that is lost, under another name."""
        return self.lost_beside is not None and line.id not in self.lost_beside


def names_planned_under(order: Order, runs: Iterable[KnownRun]) -> set[str]:
    """The line ids, made of names, that this order was planned under and does not show any more."""
    if order.source != SOURCE or not order.lines_known:
        return set()
    present = {line.id for line in order.lines}
    planned = {run.line_id for run in runs if run.workflow == ENROLMENT and run.cancelled_by != "superseded"}
    return {line_id for line_id in planned - present if is_name_id(line_id)}


def line_keys(order: Order, runs: Sequence[KnownRun], planned: Mapping[str, PlannedLine]) -> LineKeys:
    """Match lines planned under a name that are gone with the order's present lines."""
    gone = names_planned_under(order, runs)
    if not gone:
        return LineKeys()
    titles = {run.line_id: run.title for run in runs if run.workflow == ENROLMENT and run.title}
    kept: dict[str, str] = {}
    lost: set[str] = set()
    for line_id in sorted(gone):
        shown = planned.get(line_id, PlannedLine())
        found = _by_product(order, shown) or _by_name(order, shown.names | {titles.get(line_id, "")})
        if found is None or found in kept:
            lost.add(line_id)
        else:
            kept[found] = line_id
    if not lost:
        return LineKeys(kept)
    return LineKeys(kept, frozenset.intersection(*(_beside(planned.get(each)) for each in lost)))


def _by_product(order: Order, shown: PlannedLine) -> str | None:
    if len(shown.product_ids) != 1:
        return None
    return next((line.id for line in order.lines if line.product.product_id in shown.product_ids), None)


def _by_name(order: Order, names: Iterable[str]) -> str | None:
    """The one line of such a name; None where there are several."""
    found = {
        line.id for line in order.lines for name in names if is_same_name(name, line.product.product_name or line.title)
    }
    return found.pop() if len(found) == 1 else None


def _beside(shown: PlannedLine | None) -> frozenset[str]:
    return frozenset() if shown is None else shown.beside
