"""Lines that were planned under another identity: which line of the order each is now, so that it keeps its key. Pure.

A line is known by its product's id where its record shows one, else by what the record shows: a name, which follows
later renamings, or one of two numbers. Both change with the version of a plugin and with fields that are left out. A
line under a new key would be a second enrolment. So a line that was planned and is gone is found again by its product's
id, else by its names. Where it is not found, any line that came since and may be it is a question.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from worker.ledger.states import RunState
from worker.reasons import Reason
from worker.sources.order import Line, Order
from worker.sources.studiocart_lines import NAMELESS, is_name_id, is_same_name
from worker.sources.threedcart_lines import line_id_of
from workflows.planning.model import ENROLMENT, WHOLE_ORDER, KnownRun, PlaceBefore, PlannedLine

STUDIOCART = "studiocart"
THREEDCART = "threedcart"
_NUMBERS = re.compile(r"(?P<catalog>[0-9]+)(?:-(?P<sku>.+))?|sku-(?P<lone_sku>.+)|item")
"""The line ids of 3dcart's items: by CatalogID and ItemID, by either alone, or by none."""


@dataclass(frozen=True)
class LostLine:
    """A line that was planned, and is not found among the order's present lines."""

    line_id: str
    beside: frozenset[str] = frozenset()
    """The lines that stood beside it: none of them is it."""
    has_numbers: bool = False
    """It is known by 3dcart's numbers."""

    def may_be(self, line: Line) -> bool:
        """Whether a line may be this one, under another identity. One that shows another id is another product."""
        if self.has_numbers:
            return not _contradict(self.line_id, line.id)
        has_ids = not _is_of_name(self.line_id) and line.product.product_id is not None
        return line.id not in self.beside and not has_ids


@dataclass(frozen=True)
class LineKeys:
    """How the lines of an order bear the keys of before."""

    keys: Mapping[str, str] = field(default_factory=dict)
    """The id a line was planned under, by its own."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """The line that one which is gone is, where that was planned under its own id as well."""
    lost: tuple[LostLine, ...] = ()

    def apply(self, order: Order) -> Order:
        """The order whose lines bear the ids they were planned under."""
        if not self.keys:
            return order
        lines = tuple(line.model_copy(update={"id": self.keys.get(line.id, line.id)}) for line in order.lines)
        trial_lines = tuple(self.keys.get(line_id, line_id) for line_id in order.trial_lines)
        return order.model_copy(update={"lines": lines, "trial_lines": trial_lines})

    def apply_to_runs(self, runs: Iterable[KnownRun]) -> tuple[KnownRun, ...]:
        """The runs at those ids, also any that were planned under a line's own."""
        return tuple(replace(run, line_id=self._now(run.line_id)) for run in runs)

    def apply_to_places(
        self, places: Mapping[tuple[str, str], PlaceBefore] | None
    ) -> dict[tuple[str, str], PlaceBefore] | None:
        """An order's places, by line and seat, at those ids."""
        if places is None:
            return None
        return {(self.keys.get(line_id, line_id), seat_id): found for (line_id, seat_id), found in places.items()}

    def _now(self, line_id: str) -> str:
        found = self.aliases.get(line_id, line_id)
        return self.keys.get(found, found)

    def may_be_lost(self, line: Line) -> bool:
        """Whether a line may be one that is lost, under another identity."""
        return line.id not in self.keys.values() and any(each.may_be(line) for each in self.lost)


def planned_and_gone(order: Order, runs: Iterable[KnownRun]) -> set[str]:
    """The line ids that this order was planned under, does not show any more, and may show under another identity."""
    if order.source not in {STUDIOCART, THREEDCART} or not order.lines_known:
        return set()
    runs = list(runs)
    present = {line.id for line in order.lines}
    planned = {run.line_id for run in runs if _is_planned(run)}
    given = {run.line_id for run in runs if _is_planned(run) and not run.is_placeholder}
    gone = planned - present
    if order.source == THREEDCART:
        return {line_id for line_id in gone if _NUMBERS.fullmatch(line_id)}
    shows_names = any(line.product.product_id is None for line in order.lines)
    return {
        line_id for line_id in gone if (line_id in given if line_id == NAMELESS else is_name_id(line_id) or shows_names)
    }


def line_keys(order: Order, runs: Sequence[KnownRun], planned: Mapping[str, PlannedLine]) -> LineKeys:
    """Match the lines that were planned and are gone with the order's present lines."""
    gone = planned_and_gone(order, runs)
    titles = {run.line_id: run.title for run in runs if run.workflow == ENROLMENT and run.title}
    with_runs = {run.line_id for run in runs if _is_planned(run) and not run.is_placeholder}
    keys: dict[str, str] = {}
    aliases: dict[str, str] = {}
    lost: list[LostLine] = []
    for line_id in sorted(gone):
        shown = planned.get(line_id, PlannedLine())
        if order.source == THREEDCART:
            found = _by_numbers(order, line_id)
        else:
            found = _by_product(order, shown) or _by_name(order, line_id, shown.names | {titles.get(line_id, "")})
        if found is None or found in keys:
            lost.append(LostLine(line_id, shown.beside, has_numbers=order.source == THREEDCART))
        elif found not in with_runs:
            keys[found] = line_id
        elif found not in shown.beside:
            aliases[line_id] = found
    return LineKeys(keys, aliases, tuple(lost))


def of_one_identity(fixed: list[KnownRun], alias_ids: frozenset[str]) -> tuple[list[KnownRun], list[KnownRun]]:
    """A seat's planned runs under the identity that access was given by, and the questions that are settled by it.

    `alias_ids` are the runs of a line that was planned a second time, under another identity: whether it is another
    line is no question any more.
    """
    by_alias = [run for run in fixed if run.id in alias_ids]
    if not by_alias:
        return fixed, []
    own = [run for run in fixed if run.id not in alias_ids]
    stands = {run.id for run in fixed if run.state is not RunState.CANCELLED and run.reason != Reason.LINE_RENAMED}
    chosen = [run for run in by_alias if run.id in stands]
    if not chosen or any(run.id in stands for run in own):
        chosen += own
    left = [run for run in fixed if run not in chosen]
    return chosen, [run for run in left if run.state is RunState.REVIEW]


def _is_planned(run: KnownRun) -> bool:
    return run.workflow == ENROLMENT and run.line_id != WHOLE_ORDER and run.cancelled_by != "superseded"


def _is_of_name(line_id: str) -> bool:
    return line_id == NAMELESS or is_name_id(line_id)


def _by_product(order: Order, shown: PlannedLine) -> str | None:
    if len(shown.product_ids) != 1:
        return None
    return next((line.id for line in order.lines if line.product.product_id in shown.product_ids), None)


def _by_name(order: Order, line_id: str, names: Iterable[str]) -> str | None:
    """The one line of such a name; None where there are several. One that shows another id is another product."""
    lines = [line for line in order.lines if _is_of_name(line_id) or line.product.product_id is None]
    found = {line.id for line in lines for name in names if is_same_name(name, line.product.product_name or line.title)}
    return found.pop() if len(found) == 1 else None


def _by_numbers(order: Order, line_id: str) -> str | None:
    """The one line that shows a gone line's numbers, or one of them where either leaves the other out."""
    numbers = _numbers_of(line_id)
    found = {
        line.id
        for line in order.lines
        for spelled in _spellings_of(line)
        if not _contradict(line_id, spelled)
        and any(one == other is not None for one, other in zip(numbers, _numbers_of(spelled), strict=True))
    }
    return found.pop() if len(found) == 1 else None


def _spellings_of(line: Line) -> set[str]:
    """The ids that an item's line may have by its SKU in another case: of one with unusual letters the id is a hash."""
    sku = line.product.sku or ""
    written = {sku.lower(), sku.upper(), sku.title()} if sku else set()
    return {line.id, *(line_id_of(line.product.product_id, each) for each in written)}


def _contradict(one: str, other: str) -> bool:
    """Whether the line ids of two items show that they are of different products."""
    pairs = zip(_numbers_of(one), _numbers_of(other), strict=True)
    return any(None not in pair and pair[0] != pair[1] for pair in pairs)


def _numbers_of(line_id: str) -> tuple[str | None, str | None]:
    """The CatalogID and the ItemID, which a store may write in another case."""
    found = _NUMBERS.fullmatch(line_id)
    if found is None:
        return None, None
    sku = found["sku"] or found["lone_sku"]
    return found["catalog"], None if sku is None else sku.lower()
