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
from worker.sandbox import SECRET_MARKS, Effect
from workflows.planning.model import ENROLMENT

if TYPE_CHECKING:
    from worker.ledger.views.records import RunDetail

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


@dataclass(frozen=True, order=True)
class CompedOrder:
    """One comped order: as LearningCart's books have it, or as a succeeded run claims it."""

    id: str
    reference: str
    price_id: int
    email: str

    def __str__(self) -> str:
        return f"LearningCart order {self.id} under {self.reference}, price {self.price_id}, {self.email}"


def check_effects(effects: Iterable[Effect], facts: Facts) -> Iterator[Check]:
    """LearningCart's books against the ledger, in both directions. `facts` are in full."""
    made = Counter(_made(effect) for effect in effects if effect.operation == "addCompOrder")
    enrolments = [run for run in facts.details if run.workflow == ENROLMENT and run.state == RunState.SUCCEEDED]
    claimed = Counter(_claimed(run) for run in enrolments)
    yield Check(
        f"each of {counted(len(enrolments), 'succeeded enrolment')} has exactly one comped order, with its reference, "
        "price and learner",
        tuple(f"not in LearningCart's books: {order}" for order in sorted((claimed - made).elements())),
    )
    yield Check(
        f"none of {counted(made.total(), 'comped order')} is without its run",
        tuple(f"belongs to no succeeded run: {order}" for order in sorted((made - claimed).elements())),
    )
    references = Counter(order.reference for order in made.elements())
    yield Check(
        "no reference is in the books twice",
        tuple(f"{reference} is there {count} times" for reference, count in references.items() if count > 1),
    )
    members = Counter(
        (str(effect.facts["email"]).casefold(), int(effect.facts["group_id"]))
        for effect in effects
        if effect.operation == "addCustomerToGroup"
    )
    wanted = Counter(
        (str(run.email).casefold(), group) for run in enrolments for group in (run.grant or {})["group_ids"]
    )
    yield _same(
        f"each learner is in the groups of the course, and in no other: {counted(len(wanted), 'membership')}",
        Counter(wanted.keys()),
        Counter(members.keys()),
        ("{0[0]} is not in group {0[1]}", "{0[0]} is in group {0[1]}, for no run"),
    )


def _made(effect: Effect) -> CompedOrder:
    facts = effect.facts
    references = " ".join(sorted(references_in(str(facts["comments"])))) or "no reference"
    return CompedOrder(str(facts["order_id"]), references, int(facts["price_id"]), str(facts["email"]).casefold())


def _claimed(run: RunDetail) -> CompedOrder:
    attempts = [attempt for step in run.steps for attempt in step.attempts]
    references = " ".join(sorted({attempt.reference for attempt in attempts if attempt.reference}))
    return CompedOrder(str(run.result_id), references, run.price_id or 0, str(run.email).casefold())


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
    differing = sorted(statuses.items() ^ facts.statuses.items())
    return Check(
        f"nothing is left unfinished after {seconds:.0f} s: {counted(len(statuses), 'order')}, each as the shop has it",
        (
            *facts.unfinished(),
            *(
                f"order {order_id} is {status!r} in {'the shop' if statuses.get(order_id) == status else 'the ledger'} "
                "alone"
                for order_id, status in differing
            ),
        ),
    )


def check_faults(hits: dict[str, int]) -> Check:
    """Every fault that was planned took place: one that did not has proven nothing."""
    return Check(
        f"every fault has struck: {len(hits)} of them",
        tuple(f"this never happened: {name}" for name, count in hits.items() if not count),
    )


def check_ends(kills: int, *, stopped_well: bool) -> Check:
    """How the product ended, each time it did."""
    found = {
        "it was never killed": kills == 0,
        "when it was asked to stop it took too long, or ended with an error": not stopped_well,
    }
    return Check(
        "`cartbridge up` ended once by SIGKILL, and once cleanly when it was asked to",
        tuple(sentence for sentence, is_so in found.items() if is_so),
    )


def check_secrecy(places: dict[str, bytes]) -> Check:
    """No credential of the sandbox, each of which bears a mark, is in any of these places (`{name: content}`)."""
    return Check(
        f"no password, key or token is in {' or '.join(places)}",
        tuple(
            f"{name} holds one that begins with {mark}"
            for name, content in places.items()
            for mark in SECRET_MARKS
            if mark.encode() in content
        ),
    )
