"""The demo's proof: what really happened in LearningCart, held against the ledger and against what was sold.

Pure: effects, ledger rows and expectations in, one check for each claim out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from worker.cli.demo.facts import Facts
from worker.formatting import counted
from worker.ledger.keys import references_in
from worker.ledger.states import RunState
from worker.sandbox import Effect
from workflows.planning.model import ENROLMENT

if TYPE_CHECKING:
    from worker.ledger.views.details import RunDetail

_T = TypeVar("_T", bound=tuple[object, ...])
_SOURCE_ORDER = re.compile(r"\bstudiocart order (\d+)\b")


@dataclass(frozen=True)
class Check:
    """One claim, and what speaks against it."""

    claim: str
    disagreements: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.disagreements


def check_effects(effects: Iterable[Effect], facts: Facts) -> Iterator[Check]:
    """LearningCart's books against the ledger, in both directions. `facts` are in full."""
    enrolments = [run for run in facts.details if run.workflow == ENROLMENT and run.state == RunState.SUCCEEDED]
    made = Counter(_made(effect) for effect in effects if effect.operation == "addCompOrder")
    order = "LearningCart order {0[0]} under {0[1]}, price {0[2]}, {0[3]}"
    yield _same(
        f"each of {counted(len(enrolments), 'succeeded enrolment')} has exactly one comped order, with a reference, "
        f"price and learner of its own, and none of {counted(made.total(), 'comped order')} is without its run",
        Counter(_claimed(run) for run in enrolments),
        made,
        (f"not in LearningCart's books: {order}", f"belongs to no succeeded run: {order}"),
    )
    wanted = {(str(run.email).casefold(), group) for run in enrolments for group in (run.grant or {})["group_ids"]}
    yield _same(
        f"each learner is in the groups of the course, and in no other: {counted(len(wanted), 'membership')}",
        Counter(wanted),
        Counter(
            {
                (str(effect.facts["email"]).casefold(), int(effect.facts["group_id"]))
                for effect in effects
                if effect.operation == "addCustomerToGroup"
            }
        ),
        ("{0[0]} is not in group {0[1]}", "{0[0]} is in group {0[1]}, for no run"),
    )


def _made(effect: Effect) -> tuple[str, str, int, str]:
    """A comped order as LearningCart's books have it: its id, our reference, the price and the learner."""
    facts = effect.facts
    references = " ".join(sorted(references_in(str(facts["comments"])))) or "no reference"
    return str(facts["order_id"]), references, int(facts["price_id"]), str(facts["email"]).casefold()


def _claimed(run: RunDetail) -> tuple[str, str, int, str]:
    """The comped order that a succeeded run claims."""
    attempts = [attempt for step in run.steps for attempt in step.attempts]
    references = " ".join(sorted({attempt.reference for attempt in attempts if attempt.reference}))
    return str(run.result_id), references, run.price_id or 0, str(run.email).casefold()


def _same(claim: str, wanted: Counter[_T], found: Counter[_T], sentences: tuple[str, str]) -> Check:
    """A claim that two counts agree; the sentences say what is missing, and what is too much."""
    pairs = zip(sentences, (wanted - found, found - wanted), strict=True)
    return Check(
        claim, tuple(sentence.format(each) for sentence, differing in pairs for each in sorted(differing.elements()))
    )


def check_sales(effects: Iterable[Effect], expected: Counter[tuple[str, int]]) -> Check:
    """LearningCart's books against what was sold, without asking the ledger."""
    given: Counter[tuple[str, int]] = Counter()
    for effect in effects:
        if effect.operation == "addCompOrder":
            order = _SOURCE_ORDER.search(str(effect.facts["comments"]))
            given[order[1] if order else "?", int(effect.facts["price_id"])] += 1
    return _same(
        f"every paid, mapped, named seat has its course: {expected.total()} sold, {given.total()} given",
        expected,
        given,
        ("order {0[0]}: no comped order of price {0[1]}", "order {0[0]}: a comped order of price {0[1]} too many"),
    )


def check_reviews(facts: Facts, expected: Counter[tuple[str, str]]) -> Check:
    """What waits for a person is what should, and nothing failed."""
    stopped = (RunState.REVIEW, RunState.FAILED)
    return _same(
        f"what needs a person is in review, with a reason, and nothing else is: {counted(expected.total(), 'run')}",
        Counter({(order_id, str(RunState.REVIEW), reason): count for (order_id, reason), count in expected.items()}),
        Counter((str(run.order_id), run.state, str(run.reason)) for run in facts.runs if run.state in stopped),
        ("order {0[0]} is not in {0[1]} as {0[2]}", "order {0[0]} is in {0[1]} as {0[2]}"),
    )


def check_finished(facts: Facts, statuses: dict[str, str], seconds: float) -> Check:
    """Nothing is left to do, and the ledger knows every order as the shop does (`{order id: status}`)."""
    shop, ledger = Counter(statuses.items()), Counter(facts.statuses.items())
    claim = (
        f"nothing is left unfinished after {seconds:.0f} s: {counted(len(statuses), 'order')}, each as the shop has it"
    )
    same = _same(
        claim,
        shop,
        ledger,
        ("order {0[0]} is {0[1]!r} in the shop alone", "order {0[0]} is {0[1]!r} in the ledger alone"),
    )
    return Check(claim, (*facts.unfinished(), *same.disagreements))


def check_faults(hits: dict[str, int]) -> Check:
    """Every fault that was planned took place: one that did not has proven nothing."""
    return Check(
        f"every fault has struck: {len(hits)} of them",
        tuple(f"this never happened: {name}" for name, count in hits.items() if not count),
    )
